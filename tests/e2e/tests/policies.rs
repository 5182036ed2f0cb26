//! What a policy does and for whom: AUDIT and dry-run refuse nothing, and `targetRefs` hold at the gateway alone.

use std::time::Duration;

use meshwright_demo::bookshop::{Bookshop, INGRESS_HOST};
use meshwright_e2e::cases::{AT_THE_GATEWAY, ENFORCEMENTS};
use meshwright_e2e::pair::{self, HOST, Pair};
use meshwright_test_support as support;

const ENFORCED: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_enforced_refuses() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let mesh = Pair::start(environment, network, &pair::documents(network, "", "")).await?;
    let client = mesh.calls()?;
    for case in ENFORCEMENTS {
        mesh.edit(&pair::documents(network, "", &case.document())).await?;
        let answer = client.get(&format!("http://{HOST}/")).await?;
        assert_eq!(answer.status(), Some(case.status), "{}: {}", case.what, answer.summary());
    }
    mesh.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_for_a_gateway_is_for_no_sidecar() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let mesh = Bookshop::start(environment, support::network(), &|_| {}).await?;
    let (browser, gateway) = (mesh.browser()?, mesh.client("gateway")?);
    let outside = format!("https://{INGRESS_HOST}:{}", mesh.address("gateway")?.port());
    let statuses = async || {
        let at_gateway = browser.get(&format!("{outside}/closed")).await?.status();
        let other = browser.get(&format!("{outside}/open")).await?.status();
        // Past the gateway's listener, as its own app would call.
        let at_sidecar = gateway.get("http://frontend.bookshop.mesh/closed").await?.status();
        anyhow::Ok([at_gateway, other, at_sidecar])
    };
    assert_eq!(statuses().await?, [Some(200), Some(200), Some(200)]);
    mesh.apply("closed.yaml", AT_THE_GATEWAY, ENFORCED).await?;
    assert_eq!(statuses().await?, [Some(403), Some(200), Some(200)]);
    mesh.stop().await
}
