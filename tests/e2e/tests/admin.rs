//! The admin API: what docs/admin-api.md shows is what it answers, nothing secret is in any answer, and nobody else may ask.

use std::path::Path;

use anyhow::Context as _;
use meshwright_demo::bookshop::Bookshop;
use meshwright_demo::launcher::ControlPlane;
use meshwright_e2e::tls_admin::TlsAdmin;
use meshwright_e2e::{any_ports, configure, smallest_mesh};
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

fn admin_token(folder: &Path, secret: &str) -> anyhow::Result<String> {
    let file = folder.join("admin.token");
    std::fs::write(&file, secret)?;
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file.to_string_lossy().into_owned())
}

#[tokio::test]
async fn beyond_this_machine_it_takes_tls_and_the_token() -> anyhow::Result<()> {
    let (folder, environment) = support::environment()?;
    configure(&environment, &smallest_mesh("mesh.example", "127.0.0.1", 8080))?;
    let secret = "0123456789abcdef0123456789abcdef0123456789abcdef";
    let token = admin_token(folder.path(), secret)?;
    // Any address that is not loopback; the firewall is not asked, since only this machine connects.
    let anywhere = "0.0.0.0:0";
    let refused = TlsAdmin::refusal(&environment, anywhere, &[]).await?;
    assert!(refused.contains("needs a token or an identity") && refused.contains("--admin-identity"), "{refused}");
    let shown = ["--admin-token-file", &token];
    let control_plane = TlsAdmin::start(&environment, anywhere, &shown).await?;
    let answer: Value = serde_json::from_str(&control_plane.status(&shown).await?)?;
    assert_eq!(answer["root_fingerprint"], Value::from(control_plane.fingerprint()));
    let without = control_plane.status(&[]).await.unwrap_err().to_string();
    assert!(without.contains("admin token"), "{without}");
    let other = control_plane.ask_by(&"00".repeat(32), &["status"], &shown).await.unwrap_err().to_string();
    assert!(other.contains("no answer from"), "another root is another control plane: {other}");
    assert!(control_plane.process.lines().iter().all(|line| !line.contains(secret)));
    control_plane.process.stop().await?;
    Ok(())
}

#[tokio::test]
async fn by_a_certificate_only_those_may_ask_whom_the_operator_names() -> anyhow::Result<()> {
    let (folder, environment) = support::environment()?;
    configure(&environment, &smallest_mesh("mesh.example", "127.0.0.1", 8080))?;
    let (loopback, operator) = ("127.0.0.1:0", "spiffe://mesh.example/ns/ops/sa/operator");
    let foreign = TlsAdmin::refusal(&environment, loopback, &["--admin-identity", "spiffe://other.example/ns/ops/sa/operator"]).await?;
    assert!(foreign.contains("can never ask") && foreign.contains("`mesh.example`"), "{foreign}");
    let token = admin_token(folder.path(), &"t".repeat(32))?;
    let by_token = ["--admin-token-file", &token];
    let control_plane = TlsAdmin::start(&environment, loopback, &["--admin-identity", operator, by_token[0], by_token[1]]).await?;
    let named = control_plane.certificate(folder.path(), "operator").await?;
    let another = control_plane.certificate(folder.path(), "cleaner").await?;
    let status = async |certificate: &[String]| control_plane.status(&certificate.iter().map(String::as_str).collect::<Vec<_>>()).await;

    let answer: Value = serde_json::from_str(&status(&named).await?)?;
    assert_eq!(answer["trust_domain"], "mesh.example");
    let none = status(&[]).await.unwrap_err().to_string();
    assert!(none.contains("a client certificate of the mesh is needed"), "{none}");
    let refused = status(&another).await.unwrap_err().to_string();
    assert!(refused.contains("`spiffe://mesh.example/ns/ops/sa/cleaner` may not ask"), "{refused}");
    // The right name in a certificate of another mesh, and of another mesh that calls itself the same.
    for trust_domain in ["other.example", "mesh.example"] {
        let (other_folder, other_environment) = support::environment()?;
        configure(&other_environment, &smallest_mesh(trust_domain, "127.0.0.1", 8080))?;
        let other =
            TlsAdmin::start(&other_environment, loopback, &["--admin-identity", &operator.replace("mesh.example", trust_domain)]).await?;
        let theirs = other.certificate(other_folder.path(), "operator").await?;
        let refused = format!("{:#}", status(&theirs).await.unwrap_err());
        assert!(refused.contains("UnknownCA"), "{refused}");
        other.process.stop().await?;
    }

    // A named identity that the mesh denies is refused as soon as the list is in force.
    let denied = format!(
        "---\napiVersion: meshwright.dev/v1alpha1\nkind: IdentityDenyList\nmetadata: {{name: lost, namespace: ops}}\n\
         spec: {{entries: [{{spiffeId: {operator}, reason: stolen}}]}}\n"
    );
    configure(&environment, &format!("{}{denied}", smallest_mesh("mesh.example", "127.0.0.1", 8080)))?;
    control_plane.ask_by(control_plane.fingerprint(), &["wait", "IdentityDenyList/ops/lost"], &by_token).await?;
    let refused = status(&named).await.unwrap_err().to_string();
    assert!(refused.contains("is denied by IdentityDenyList ops/lost") && refused.contains("stolen"), "{refused}");
    let audit = std::fs::read_to_string(environment.data_dir().join("audit.log"))?;
    assert!(audit.lines().any(|line| line.contains(r#""proof":"admin""#) && line.contains(operator)), "{audit}");
    control_plane.process.stop().await?;
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
