use std::time::Duration;

use hyper::StatusCode;
use meshwright_test_support::signing::{self, SigningKey};

use crate::bench::{Bench, CONNECTIONS};
use crate::load::{Bearer, Load};
use crate::measured::table;
use crate::report::{Row, Section, Target};
use crate::rounds::alternate;
use crate::{filters, policies, tokens};

const ROUND: Duration = Duration::from_secs(4);

const TEXT: &str = "Each request carries the same ES256 token, which both sides have verified before, and one policy asks for its claim.\n\
    `jwt_authn` (with its token cache, payload in metadata, token forwarded) and `rbac` against `set_filter_state` (of each connection) and the module: both look the token up,\n\
    check its times, match method, path and claim, and forward the token; the module also records the decision for the access log.";

pub(crate) async fn run(bench: &Bench, case: String) -> anyhow::Result<Section> {
    let key = SigningKey::es256()?;
    let jwks = signing::jwks(&[&key]);
    let policies = policies::with_token(&jwks);
    let contenders = [
        bench.start_filters("no filter", &[]).await?,
        bench.start_filters("jwt_authn + rbac", &[filters::jwt_authn(&jwks), filters::rbac(&policies.native)]).await?,
        bench.start_ours(&policies.ours).await?,
    ];
    let load = Load {
        connections: CONNECTIONS,
        path: "/books/1".to_owned(),
        headers: Vec::new(),
        bearer: Bearer::Same(tokens::bearer(&key, 0)?),
        expected: StatusCode::OK,
    };
    let measured = alternate(bench, &case, &contenders, &load, bench.shortened(ROUND)).await?;
    let [bare, native, ours] = measured.as_slice() else { anyhow::bail!("three configurations are compared") };
    let row = Row { case, unit: "µs CPU per request", ours: ours.cpu(), peer: native.cpu(), target: Target::AtMost(1.0) };
    Ok(Section {
        title: "One token, seen before".to_owned(),
        text: TEXT.to_owned(),
        tables: vec![table(&[bare, native, ours])],
        rows: vec![row],
    })
}
