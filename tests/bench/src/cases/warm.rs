use std::time::Duration;

use hyper::StatusCode;
use meshwright_test_support::signing::{self, SigningKey};

use crate::bench::{Bench, CONNECTIONS};
use crate::load::{Bearer, Load};
use crate::measured::{Measured, middle, table};
use crate::report::{Row, Section, Target};
use crate::rounds::alternate;
use crate::{filters, floor, policies, tokens};

const ROUND: Duration = Duration::from_millis(1500);

const TEXT: &str = "Each request carries the same ES256 token, which both sides have verified before, and one policy asks for its claim.\n\
    `jwt_authn` (with its token cache, payload in metadata, token forwarded) and `rbac` against `set_filter_state` (of each connection) and the module: both look the token up,\n\
    check its times, match method, path and claim, and forward the token; the module also keeps the record of the decision for the access log.\n\
    As in a sidecar, the module is told that its log is in the same VM (`log_in_vm`), and there it is; an Envoy filter before the log keeps it from writing, since the other side\n\
    writes no log either.\n\n\
    All requests of the first table are alike but for `x-request-id`, and the module knows each as a whole after the first; of the second table no two\n\
    are: each has a header with a number of its own, so that the module decides about each.\n\n\
    The last two configurations have a module instead that decides nothing, whose callbacks are those that ours has for a request: one that returns at once,\n\
    and one that also makes the host calls that ours makes. No module that does as much costs less.";

pub(crate) async fn run(bench: &Bench, case: String) -> anyhow::Result<Section> {
    let key = SigningKey::es256()?;
    let jwks = signing::jwks(&[&key]);
    let policies = policies::with_token(&jwks);
    let contenders = [
        bench.start_filters("no filter", &[]).await?,
        bench.start_filters("jwt_authn + rbac", &[filters::jwt_authn(&jwks), filters::rbac(&policies.native)]).await?,
        bench.start_ours(&policies.ours).await?,
        bench.start_module("a module of callbacks", &floor::callbacks()?).await?,
        bench.start_module("and of host calls", &floor::host_calls()?).await?,
    ];
    let load = Load {
        connections: CONNECTIONS,
        path: "/books/1".to_owned(),
        headers: Vec::new(),
        bearer: Bearer::Same(tokens::bearer(&key, 0)?),
        expected: StatusCode::OK,
        differing: false,
    };
    let measured = alternate(bench, &case, &contenders, &load, bench.shortened(ROUND)).await?;
    let [_, native, ours, ..] = measured.as_slice() else { anyhow::bail!("five configurations are compared") };
    let (ours, peer) = middle(ours, native, |sample| sample.cpu_microseconds);
    let row = Row { case: case.clone(), unit: "µs CPU per request", ours, peer, target: Target::AtMost(1.0) };
    let differing = Load { differing: true, ..load };
    let differing = alternate(bench, &format!("{case}: no two alike"), &contenders, &differing, bench.shortened(ROUND / 2)).await?;
    Ok(Section {
        title: "One token, seen before".to_owned(),
        text: TEXT.to_owned(),
        tables: [measured, differing.into_iter().map(no_two_alike).collect()]
            .iter()
            .map(|all| table(&all.iter().collect::<Vec<_>>()))
            .collect(),
        rows: vec![row],
    })
}

fn no_two_alike(measured: Measured) -> Measured {
    Measured { name: format!("{}, no two alike", measured.name), ..measured }
}
