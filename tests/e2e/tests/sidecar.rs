//! A sidecar's life under a running mesh: killed, stopped, its app ending.

use std::time::Duration;

use meshwright_demo::bookshop::Bookshop;
use meshwright_demo::launcher::STARTUP;
use meshwright_test_support as support;
use nix::sys::signal::Signal;

const STOPPED: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sidecar_leaves_its_proxy_deciding() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let mut mesh = Bookshop::start(environment, support::network(), &|_| {}).await?;
    let (frontend, payments) = (mesh.client("frontend")?, mesh.client("payments")?);
    for catalog in ["catalog-v1", "catalog-v2"] {
        let workload = mesh.workloads.get_mut(catalog).ok_or_else(|| anyhow::anyhow!("no {catalog}"))?;
        workload.process().kill().await?;
    }
    for _ in 0..20 {
        let denied = payments.get("http://catalog.bookshop.mesh/books").await?;
        assert_eq!(denied.status(), Some(403), "nobody is let in: {}", denied.summary());
        let allowed = frontend.get("http://catalog.bookshop.mesh/books").await?;
        assert_eq!(allowed.status(), Some(200), "the proxy and the app go on: {}", allowed.summary());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_sidecar_lets_running_requests_end() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let mut mesh = Bookshop::start(environment, support::network(), &|_| {}).await?;
    let frontend = mesh.client("frontend")?;
    let slow = tokio::spawn(async move { frontend.get("http://catalog.bookshop.mesh/books?delay_ms=2000").await });
    // The request is at the app once the app's log, or the drain, has seen it; what must hold is only that it is answered.
    let accepted = mesh.client("frontend")?.get("http://catalog.bookshop.mesh/books").await?;
    assert_eq!(accepted.status(), Some(200));
    for catalog in ["catalog-v1", "catalog-v2"] {
        let workload = mesh.workloads.get_mut(catalog).ok_or_else(|| anyhow::anyhow!("no {catalog}"))?;
        workload.process().signal(Signal::SIGTERM)?;
    }
    assert_eq!(slow.await??.status(), Some(200), "a request that was running when the drain began");
    for catalog in ["catalog-v1", "catalog-v2"] {
        let workload = mesh.workloads.get_mut(catalog).ok_or_else(|| anyhow::anyhow!("no {catalog}"))?;
        let ended = workload.process().wait(STOPPED).await?;
        assert!(ended.success(), "{catalog}: {ended}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_ends_ends_its_sidecar() -> anyhow::Result<()> {
    use meshwright_demo::launcher::{ControlPlane, Workload, WorkloadSpec};
    let (folder, environment) = support::environment()?;
    let network = support::network();
    meshwright_e2e::configure(&environment, &meshwright_e2e::smallest_mesh("mesh.example", &network.at(1, 0).ip().to_string(), 8080))?;
    let control_plane = ControlPlane::start(&environment, meshwright_e2e::any_ports()).await?;
    let token = folder.path().join("token");
    environment.join_token("test", "one", &token).await?;
    let spec = WorkloadSpec {
        namespace: "test".to_owned(),
        name: "one".to_owned(),
        service_account: "one".to_owned(),
        outbound: network.at(1, 15_001),
        apps: vec![(8080, network.at(1, 9080))],
        tcp: Vec::new(),
        echo: None,
        extra: ["--", "sh", "-c", "exit 7"].map(str::to_owned).to_vec(),
    };
    let mut process = Workload::spawn(&environment, control_plane.xds(), &spec, &token).await?;
    process.line_with("sidecar ready", STARTUP).await?;
    assert_eq!(process.wait(STOPPED).await?.code(), Some(7), "its code is the app's");
    control_plane.into_process().stop().await?;
    Ok(())
}
