//! The admin API: what docs/admin-api.md shows is what it answers, nothing secret is in any answer, and nobody else may ask.

use std::path::Path;

use anyhow::Context as _;
use meshwright_demo::bookshop::Bookshop;
use meshwright_demo::launcher::{ControlPlane, Process, STARTUP};
use meshwright_e2e::{any_ports, configure, refusal, smallest_mesh};
use meshwright_test_support as support;
use reqwest::StatusCode;
use serde_json::Value;

const WHERE: &str = "http://127.0.0.1:15014";

/// Each address that the document shows, and the fields that it says the answer has.
fn examples() -> anyhow::Result<Vec<(String, Vec<String>)>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/admin-api.md"))?;
    let mut found = Vec::new();
    for block in text.split("```sh\n").skip(1) {
        let (commands, rest) = block.split_once("```").context("a block has an end")?;
        let shown = rest.trim_start().strip_prefix("```json\n").and_then(|json| json.split("```").next());
        let fields = match shown {
            Some(json) => serde_json::from_str::<serde_json::Map<String, Value>>(json)?.into_iter().map(|(field, _)| field).collect(),
            None => Vec::new(),
        };
        let lines: Vec<&str> = commands.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let url = line.strip_prefix("curl -s ").with_context(|| format!("`{line}` is no example"))?.trim_matches('"');
            let path = url.strip_prefix(WHERE).with_context(|| format!("`{url}` is not the default address"))?;
            // The answer that is shown is that of the last command.
            found.push((path.to_owned(), if index + 1 == lines.len() { fields.clone() } else { Vec::new() }));
        }
    }
    Ok(found)
}

/// The lines of every private key in the configuration, without headers.
fn private_keys(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let text = std::fs::read_to_string(entry?.path())?;
        for key in text.split("PRIVATE KEY-----").skip(1).step_by(2) {
            lines.extend(key.lines().map(str::trim).filter(|line| line.len() >= 20 && !line.starts_with('-')).map(str::to_owned));
        }
    }
    Ok(lines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_answers_are_given_and_hold_no_secret() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let mesh = Bookshop::start(environment, support::network(), &|_| {}).await?;
    let keys = private_keys(&mesh.environment.config_dir())?;
    assert!(keys.len() >= 2, "the example has a certificate with its key");
    let admin = format!("http://{}", mesh.control_plane.admin());
    let client = reqwest::Client::builder().no_proxy().build()?;
    let get = async |path: &str| {
        let response = client.get(format!("{admin}{path}")).send().await?;
        anyhow::Ok((response.status(), response.text().await?))
    };
    let mut paths: Vec<(String, Vec<String>)> = examples()?;
    assert!(paths.len() >= 10, "{paths:?}");
    paths.extend(mesh.workloads.keys().map(|name| (format!("/v1/proxies/bookshop/{name}/config"), vec!["resources".to_owned()])));
    for (path, fields) in paths {
        let (status, text) = get(&path).await?;
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        for key in &keys {
            assert!(!text.contains(key) && !text.contains("PRIVATE KEY"), "{path} has a private key in it");
        }
        if !fields.is_empty() {
            let answer: serde_json::Map<String, Value> = serde_json::from_str(&text)?;
            let missing: Vec<&String> = fields.iter().filter(|field| !answer.contains_key(*field)).collect();
            assert!(missing.is_empty(), "{path} has no {missing:?}: {text}");
        }
    }
    // The secret is there, without its key; its certificate is no secret.
    let (_, gateway) = get("/v1/proxies/bookshop/gateway/config?type=SDS").await?;
    assert!(
        gateway.contains("credential/bookshop/") && gateway.contains("[redacted]") && gateway.contains("certificate_chain"),
        "{gateway}"
    );
    let (_, diff) = get("/v1/diff?left=bookshop/catalog-v1&right=bookshop/ledger").await?;
    let diff: Value = serde_json::from_str(&diff)?;
    assert!(diff["only_right"].as_array().is_some_and(|only| only.contains(&Value::from("LDS inbound|9000"))), "{diff}");
    assert!(diff["same"].as_u64().is_some_and(|same| same > 5), "{diff}");
    let (_, metrics) = get("/metrics").await?;
    for family in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(metrics.contains(&format!("# HELP {family} ")), "{family} has no HELP");
    }
    for (path, status) in [
        ("/v1/proxies/bookshop/nobody", 404),
        ("/v1/proxies/bookshop/orders/config?type=XDS", 400),
        ("/v1/proxies/bookshop/orders/config?secrets=true", 400),
        ("/v1/diff?left=orders&right=bookshop/orders", 400),
        ("/v1/documents/Teapot/bookshop/orders", 404),
        ("/v1/documents/AuthorizationPolicy/bookshop/nothing", 404),
    ] {
        let found = get(path).await?;
        assert_eq!(found.0.as_u16(), status, "{path}: {}", found.1);
    }
    let from_a_page = client.get(format!("{admin}/v1/status")).header("origin", "https://evil.example").send().await?;
    assert_eq!(from_a_page.status(), StatusCode::FORBIDDEN);
    mesh.stop().await
}

#[tokio::test]
async fn beyond_this_machine_it_takes_tls_and_the_token() -> anyhow::Result<()> {
    let (folder, environment) = support::environment()?;
    configure(&environment, &smallest_mesh("mesh.example", "127.0.0.1", 8080))?;
    let token = folder.path().join("admin.token");
    let secret = "0123456789abcdef0123456789abcdef0123456789abcdef";
    std::fs::write(&token, secret)?;
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    // Any address that is not loopback; the firewall is not asked, since only this machine connects.
    let mut command = tokio::process::Command::new(&environment.binary);
    command.arg("control-plane").arg("--config-dir").arg(environment.config_dir()).arg("--data-dir").arg(environment.data_dir());
    command.arg("--module").arg(&environment.module).args(["--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"]);
    let refused = refusal(Process::start("control-plane", &mut command, &environment.log("refused")).await?).await?;
    assert!(refused.contains("needs a token"), "{refused}");
    command.arg("--admin-token-file").arg(&token);
    let mut process = Process::start("control-plane", &mut command, &environment.log("control-plane")).await?;
    let line = process.line_with("control plane ready", STARTUP).await?;
    let port = line.rsplit(':').next().context("the line ends in the port")?.to_owned();

    // The fingerprint is what the authority says when it is made.
    let made = process.line_with("a new root certificate", STARTUP).await?;
    let fingerprint =
        made.split("fingerprint=").nth(1).and_then(|rest| rest.split_whitespace().next()).context("it is in the log")?.to_owned();
    let url = format!("https://127.0.0.1:{port}");
    let file = token.to_string_lossy().into_owned();
    let status = |fingerprint: String, with_token: bool| {
        let mut arguments = vec!["status".to_owned(), "--output".to_owned(), "json".to_owned(), "--admin".to_owned(), url.clone()];
        arguments.extend(["--admin-fingerprint".to_owned(), fingerprint]);
        if with_token {
            arguments.extend(["--admin-token-file".to_owned(), file.clone()]);
        }
        arguments
    };
    let run = async |arguments: Vec<String>| environment.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let answer: Value = serde_json::from_str(&run(status(fingerprint.clone(), true)).await?)?;
    assert_eq!(answer["root_fingerprint"], Value::from(fingerprint.clone()));
    let without = run(status(fingerprint.clone(), false)).await.unwrap_err().to_string();
    assert!(without.contains("admin token"), "{without}");
    let other = run(status("00".repeat(32), true)).await.unwrap_err().to_string();
    assert!(other.contains("no answer from"), "another root is another control plane: {other}");
    assert!(process.lines().iter().all(|line| !line.contains(secret)));
    process.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_held_removal_is_shown_and_released_by_name() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    configure(&environment, &smallest_mesh("mesh.example", "127.0.0.1", 8080))?;
    let policies: Vec<String> = (0..12)
        .map(|n| format!("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p{n}, namespace: test}}\nspec: {{action: DENY, rules: [{{}}]}}\n"))
        .collect();
    let file = environment.config_dir().join("policies.yaml");
    std::fs::write(&file, policies.join("---\n"))?;
    let control_plane = ControlPlane::start(&environment, any_ports()).await?;
    let admin = format!("http://{}", control_plane.admin());
    std::fs::remove_file(&file)?;
    let wait = ["wait", "AuthorizationPolicy/test/p1", "--for", "removed", "--timeout", "1s", "--admin", &admin];
    let held = environment.command(&wait).await.unwrap_err().to_string();
    assert!(held.contains("its removal is held back"), "{held}");
    let status = control_plane.status().await?;
    assert_eq!(status["held"]["removed"]["policies"], serde_json::json!({"removed": 12, "of": 12}), "{status}");
    let shown = environment.command(&["status", "--admin", &admin]).await?;
    let name = status["held"]["name"].as_str().context("it has a name")?;
    assert!(shown.contains(&format!("meshwright release {name}")) && shown.contains("AuthorizationPolicy test/p11"), "{shown}");
    let wrong = environment.command(&["release", "00000000", "--admin", &admin]).await.unwrap_err().to_string();
    assert!(wrong.contains("no removal `00000000` is held"), "{wrong}");
    environment.command(&["release", name, "--admin", &admin]).await?;
    environment.command(&wait).await?;
    assert_eq!(control_plane.status().await?["held"], Value::Null);
    control_plane.into_process().stop().await?;
    Ok(())
}
