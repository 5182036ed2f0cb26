use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use meshwright_test_support::signing::{self, SigningKey};

use crate::bench::{Bench, CONNECTIONS};
use crate::load::{Bearer, Load, Tokens};
use crate::measured::{middle, table};
use crate::report::{Row, Section, Target};
use crate::rounds::{Loads, alternate};
use crate::{filters, policies, tokens};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
}

/// A round ends when its tokens are used up; this long only on a machine that is much too slow.
const LONGEST: Duration = Duration::from_secs(30);
/// Tokens of a round: more than either side's cache holds.
const ROUND: usize = 4000;
const WARM_UP: usize = 2000;

/// The same tokens for both sides: each is new to each of them.
struct New {
    tokens: Arc<[HeaderValue]>,
    round: usize,
    warm_up: usize,
}

impl Loads for New {
    fn of(&self, round: usize) -> Load {
        let end = self.warm_up.saturating_add(round.saturating_mul(self.round));
        let start = if round == 0 { 0 } else { end.saturating_sub(self.round) };
        Load {
            connections: CONNECTIONS,
            path: "/books/1".to_owned(),
            headers: Vec::new(),
            bearer: Bearer::Each(Tokens::new(&self.tokens, start, end)),
            expected: StatusCode::OK,
            differing: false,
        }
    }
}

pub(crate) async fn run(bench: &Bench, case: String, algorithm: Algorithm) -> anyhow::Result<Section> {
    let (name, key) = match algorithm {
        Algorithm::Rs256 => ("RS256 (2048 bits)", SigningKey::rs256()?),
        Algorithm::Es256 => ("ES256", SigningKey::es256()?),
    };
    let (round, warm_up) = (bench.fewer(ROUND), bench.fewer(WARM_UP));
    let tokens = tokens::many(&case, &key, warm_up.saturating_add(bench.rounds().saturating_mul(round)))?;
    let jwks = signing::jwks(&[&key]);
    let policies = policies::with_token(&jwks);
    let contenders = [
        bench.start_filters("jwt_authn + rbac", &[filters::jwt_authn(&jwks), filters::rbac(&policies.native)]).await?,
        bench.start_ours(&policies.ours).await?,
    ];
    let loads = New { tokens, round, warm_up };
    let measured = alternate(bench, &case, &contenders, &loads, LONGEST).await?;
    let [native, ours] = measured.as_slice() else { anyhow::bail!("two configurations are compared") };
    let (ours_then, peer) = middle(ours, native, |sample| sample.per_second);
    let row = Row { case, unit: "requests/s", ours: ours_then, peer, target: Target::AtLeast(0.9) };
    let text = format!(
        "No request carries a token that its Envoy has seen: {round} new {name} tokens a round, the same ones in the same order for both sides. \
         The configurations\nare those of the first case; both sides verify the signature with BoringSSL, and both put the token in their cache.",
    );
    Ok(Section { title: format!("Every token new, {name}"), text, tables: vec![table(&[native, ours])], rows: vec![row] })
}
