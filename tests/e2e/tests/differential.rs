//! The same policies, the same requests, two enforcements in one Envoy: our filter, and Envoy's own jwt_authn and rbac configured as Istio
//! configures them. Every difference in an answer is listed by name with its reason, or is a failure.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "tests fail by panicking")]

#[path = "differential/authentication.rs"]
mod authentication;
#[path = "differential/authorization.rs"]
mod authorization;
#[path = "differential/client.rs"]
mod client;
#[path = "differential/differences.rs"]
mod differences;
#[path = "differential/envoy.rs"]
mod envoy;
#[path = "differential/policies.rs"]
mod policies;
#[path = "differential/requests.rs"]
mod requests;
#[path = "differential/tokens.rs"]
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

use client::Client;
use differences::{DIFFERENCES, explain, shown, summary};
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use tokens::Issuers;

const SETS: usize = 120;
/// For each policy set.
const REQUESTS: usize = 100;

/// The same values in each run.
fn generated<S: Strategy>(strategy: &S, count: usize, seed: u8) -> Vec<S::Value> {
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

#[tokio::test]
async fn generated_requests_are_answered_alike() -> anyhow::Result<()> {
    let issuers = Issuers::new()?;
    let sets = generated(&policies::policy_set(&issuers), SETS, 1);
    let sent = generated(&requests::request(&issuers.good()?, &issuers.bad()?), SETS * REQUESTS, 2);
    let folder = tempfile::tempdir()?;
    let (envoy, pairs) = envoy::start(&sets, folder.path()).await?;
    let mut client = Client::default();
    let (mut statuses, mut failures) = (BTreeMap::<u16, usize>::new(), Vec::new());
    for ((set, pair), requests) in sets.iter().zip(pairs).zip(sent.chunks(REQUESTS)) {
        for (request, tokens) in requests {
            let (ours, native) = (client.send(pair.ours, request).await?, client.send(pair.native, request).await?);
            *statuses.entry(native.status).or_default() += 1;
            if explain(set, request, tokens, &ours, &native).is_none() {
                let set = json!({"authentication": set.authentication, "authorization": set.authorization});
                failures.push(format!("{set}\n{request:?} with tokens {tokens:?}\n  ours   {ours:?}\n  native {native:?}"));
            }
        }
    }
    let first: Vec<&String> = failures.iter().take(5).collect();
    assert!(failures.is_empty(), "{} of {} answers differ, the first:\n{first:#?}", failures.len(), sent.len());
    for status in [200, 401, 403] {
        assert!(statuses[&status] > sent.len() / 10, "too few answers are {status}: {statuses:?}");
    }
    envoy.stop().await?;
    Ok(())
}

#[tokio::test]
async fn each_listed_difference_is_one() -> anyhow::Result<()> {
    let issuers = Issuers::new()?;
    let cases = shown(&issuers)?;
    let listed: BTreeSet<&str> = DIFFERENCES.iter().map(|(name, _)| *name).collect();
    assert_eq!(cases.iter().map(|case| case.name).collect::<BTreeSet<_>>(), listed, "each difference is shown, and none is shown unlisted");
    let sets: Vec<_> = cases.iter().map(|case| case.set.clone()).collect();
    let folder = tempfile::tempdir()?;
    let (envoy, pairs) = envoy::start(&sets, folder.path()).await?;
    let (mut client, minor) = (Client::default(), envoy::minor_version().await?);
    for (case, pair) in cases.iter().zip(pairs) {
        let (ours, native) = (client.send(pair.ours, &case.request).await?, client.send(pair.native, &case.request).await?);
        let expected = if minor < case.since { &case.ours } else { &case.native };
        assert_eq!((&summary(&ours), &summary(&native)), (&case.ours, expected), "{}: ours, then Envoy's", case.name);
        assert_ne!(case.ours, case.native, "{} is no difference", case.name);
    }
    envoy.stop().await?;
    Ok(())
}
