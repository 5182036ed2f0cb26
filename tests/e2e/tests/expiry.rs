//! A gateway's certificates that have ended are told of, with their date: those of Secrets by the control plane, those in files of the gateway's
//! host by its sidecar, which alone sees them.

use std::time::Duration;

use meshwright_e2e::certificates::{Authority, Life, secret};
use meshwright_e2e::pair::{self, HOST, HTTP, Pair};
use meshwright_test_support as support;

const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_is_told_by_who_sees_it() -> anyhow::Result<()> {
    let (folder, environment) = support::environment()?;
    let network = support::network();
    let authority = Authority::new("edge")?;
    let (in_secret, in_files) = (authority.issue(&["secret.example"], Life::Ended)?, authority.issue(&["files.example"], Life::Ended)?);
    let file = |name: &str, text: &str| -> anyhow::Result<String> {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let (chain, key) = (file("tls.crt", &in_files.chain)?, file("tls.key", &in_files.key)?);
    let gateway = format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: test}}
spec:
  selector: {{app: client}}
  servers:
  - {{port: {{number: 8443, name: a, protocol: HTTPS}}, hosts: [secret.example], tls: {{mode: SIMPLE, credentialName: edge}}}}
  - {{port: {{number: 8443, name: b, protocol: HTTPS}}, hosts: [files.example], tls: {{mode: SIMPLE, serverCertificate: {chain}, privateKey: {key}}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: edge, namespace: test}}
spec:
  hosts: ['*']
  gateways: [edge]
  http:
  - route: [{{destination: {{host: {HOST}, port: {{number: {HTTP}}}}}}}]
---
"
    );
    let secret = secret("edge", "kubernetes.io/tls", &[("tls.crt", &in_secret.chain), ("tls.key", &in_secret.key)]);
    let mut mesh = Pair::start(environment, network, &pair::documents(network, "", &[gateway, secret].concat())).await?;

    let told = mesh.client.process().line_with("(files.example)", TIMEOUT).await?;
    assert!(told.contains("ERROR") && told.contains("ended at 2021-01-01T00:00:00Z"), "{told}");
    let told = mesh.control_plane.process().line_with("the certificate ended at", TIMEOUT).await?;
    assert!(told.contains("ERROR") && told.contains("Secret test/edge") && told.contains("2021-01-01"), "{told}");
    let checked = mesh.environment.command(&["check", &mesh.environment.config_dir().to_string_lossy()]).await?;
    assert!(checked.contains("the certificate ended at 2021-01-01"), "{checked}");
    let of_file = format!("Gateway test/edge: spec.servers[1].tls.serverCertificate: `{chain}`: the certificate ended at 2021-01-01");
    assert!(checked.contains(&of_file), "{checked}");
    let metrics = reqwest::get(format!("http://{}/metrics", mesh.control_plane.admin())).await?.text().await?;
    let metric = "meshwright_credential_time_to_expiry_seconds{namespace=\"test\",name=\"edge\"} 0";
    assert!(metrics.contains(metric), "{metrics}");
    // The other proxy shows nothing but the mesh's own.
    let others = mesh.server.process().lines();
    assert!(others.iter().all(|line| !line.contains("ended at")), "{others:?}");
    mesh.stop().await
}
