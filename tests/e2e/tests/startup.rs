//! What cannot start says why in one line, and leaves what is there as it was.

use std::net::TcpListener;

use meshwright_demo::launcher::{ControlPlane, ControlPlaneSpec, Workload, WorkloadSpec};
use meshwright_e2e::{any_ports, configure, contained_below, refusal, refused_control_plane, smallest_mesh};
use meshwright_test_support as support;

fn one(outbound: std::net::SocketAddr) -> WorkloadSpec {
    WorkloadSpec {
        namespace: "test".to_owned(),
        name: "one".to_owned(),
        service_account: "one".to_owned(),
        outbound,
        apps: Vec::new(),
        tcp: Vec::new(),
        echo: None,
        extra: Vec::new(),
    }
}

#[tokio::test]
async fn an_empty_or_missing_configuration_directory_is_an_error_not_an_open_mesh() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let missing = refused_control_plane(&environment, any_ports()).await?;
    assert!(missing.contains(&environment.config_dir().display().to_string()), "{missing}");
    std::fs::create_dir_all(environment.config_dir())?;
    let empty = refused_control_plane(&environment, any_ports()).await?;
    assert!(empty.contains("no document") || empty.contains("empty"), "{empty}");
    Ok(())
}

#[tokio::test]
async fn a_data_directory_of_another_mesh_is_refused_and_left_alone() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    configure(&environment, &smallest_mesh("first.example", "127.0.0.1", 8080))?;
    ControlPlane::start(&environment, any_ports()).await?.into_process().stop().await?;
    let before = contained_below(&environment.data_dir(), "")?;
    configure(&environment, &smallest_mesh("second.example", "127.0.0.1", 8080))?;
    let error = refused_control_plane(&environment, any_ports()).await?;
    assert!(error.contains("first.example") && error.contains("second.example"), "{error}");
    assert_eq!(contained_below(&environment.data_dir(), "")?, before);
    configure(&environment, &smallest_mesh("first.example", "127.0.0.1", 8080))?;
    ControlPlane::start(&environment, any_ports()).await?.into_process().stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    configure(&environment, &smallest_mesh("mesh.example", "127.0.0.1", 8080))?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    for spec in [ControlPlaneSpec { xds: address, ..any_ports() }, ControlPlaneSpec { admin: address, ..any_ports() }] {
        let error = refused_control_plane(&environment, spec).await?;
        assert!(error.contains(&address.to_string()) && error.contains("in use"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_or_truncated_module_is_refused() -> anyhow::Result<()> {
    let (folder, mut environment) = support::environment()?;
    configure(&environment, &smallest_mesh("mesh.example", "127.0.0.1", 8080))?;
    let whole = std::fs::read(&environment.module)?;
    environment.module = folder.path().join("module.wasm");
    for (bytes, words) in [
        (&whole[..whole.len() / 2], "cut short"),
        (b"not wasm".as_slice(), "not WebAssembly"),
        (b"\0asm\x01\0\0\0".as_slice(), "proxy_abi_version"),
    ] {
        std::fs::write(&environment.module, bytes)?;
        let error = refused_control_plane(&environment, any_ports()).await?;
        assert!(error.contains("module.wasm") && error.contains(words), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_join_token_is_good_once_for_its_own_identity_and_not_for_long() -> anyhow::Result<()> {
    let (folder, environment) = support::environment()?;
    let network = support::network();
    configure(&environment, &smallest_mesh("mesh.example", &network.at(1, 0).ip().to_string(), 8080))?;
    let control_plane = ControlPlane::start(&environment, any_ports()).await?;
    let spec = one(network.at(1, 15_001));
    let token = folder.path().join("token");
    let start = || Workload::spawn(&environment, control_plane.xds(), &spec, &token);

    environment.join_token("test", "one", &token).await?;
    let secret = std::fs::read_to_string(&token)?;
    let mut first = start().await?;
    first.line_with("sidecar ready", meshwright_demo::launcher::STARTUP).await?;
    first.stop().await?;
    let again = refusal(start().await?).await?;
    assert!(again.contains("token"), "{again}");

    environment.join_token("test", "another", &token).await?;
    let foreign = refusal(start().await?).await?;
    assert!(foreign.contains("another"), "{foreign}");

    let data = environment.data_dir();
    let expiring = ["token", "create", "--data-dir", &data.to_string_lossy(), "--service-account", "test/one", "--ttl", "1"];
    let text = environment.command(&expiring).await?;
    std::fs::write(&token, text)?;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let expired = refusal(start().await?).await?;
    assert!(expired.contains("token"), "{expired}");

    std::fs::write(&token, secret.replace('a', "b"))?;
    let forged = refusal(start().await?).await?;
    assert!(forged.contains("token") || forged.contains("fingerprint"), "{forged}");
    std::fs::remove_file(&token)?;
    assert_eq!(contained_below(folder.path(), secret.trim())?, Vec::<String>::new(), "a token must be in no log and no file");
    control_plane.into_process().stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_sidecar_whose_outbound_port_is_taken_says_so() -> anyhow::Result<()> {
    let (folder, environment) = support::environment()?;
    let network = support::network();
    configure(&environment, &smallest_mesh("mesh.example", &network.at(1, 0).ip().to_string(), 8080))?;
    let control_plane = ControlPlane::start(&environment, any_ports()).await?;
    let taken = TcpListener::bind(network.at(1, 15_001))?;
    let token = folder.path().join("token");
    environment.join_token("test", "one", &token).await?;
    let error = refusal(Workload::spawn(&environment, control_plane.xds(), &one(taken.local_addr()?), &token).await?).await?;
    assert!(error.contains(&taken.local_addr()?.to_string()) && error.contains("in use"), "{error}");
    control_plane.into_process().stop().await?;
    Ok(())
}
