//! Broken documents under a running mesh: one clear error each, the last good state in force, nothing lost.

use std::time::Duration;

use anyhow::Context as _;
use meshwright_demo::bookshop::Bookshop;
use meshwright_test_support as support;
use serde_json::Value;

const SETTLED: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// The status, once `holds` is true of it.
async fn status_when(mesh: &Bookshop, what: &str, holds: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    let waiting = async {
        loop {
            let status = mesh.control_plane.status().await?;
            if holds(&status) {
                return anyhow::Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(SETTLED, waiting).await.with_context(|| format!("never: {what}"))?
}

fn errors(status: &Value) -> String {
    status["quarantined"].as_array().into_iter().flatten().filter_map(|document| document["error"].as_str()).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_documents_are_quarantined_one_by_one() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let mesh = Bookshop::start(environment, support::network(), &|_| {}).await?;
    let frontend = mesh.client("frontend")?;
    let still_decides = async |what: &str| {
        let allowed = frontend.get("http://catalog.bookshop.mesh/books").await?;
        let denied = frontend.get("http://catalog.bookshop.mesh/admin").await?;
        assert_eq!((allowed.status(), denied.status()), (Some(200), Some(403)), "{what}");
        anyhow::Ok(())
    };
    let policy = |spec: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: broken\n  namespace: bookshop\nspec:\n{spec}"
        )
    };
    let tokens = mesh.read("tokens.yaml")?;
    for (what, text, words) in [
        ("malformed YAML", "kind: [".to_owned(), vec!["broken.yaml:2:1", "not YAML"]),
        ("an unknown kind", "apiVersion: v1\nkind: Teapot\nmetadata:\n  name: t\n".to_owned(), vec!["broken.yaml", "Teapot"]),
        ("an unknown field", policy("  acton: DENY\n"), vec!["broken.yaml", "acton", "action"]),
        ("a wrong type", policy("  rules: yes\n"), vec!["broken.yaml", "rules"]),
        (
            "an unknown when key",
            policy("  action: DENY\n  rules:\n  - when:\n    - key: request.teapot\n      values: [x]\n"),
            vec!["rules[0].when[0].key", "request.teapot"],
        ),
        ("a field not built yet", policy("  targetRef: {}\n"), vec!["targetRef", "not supported yet"]),
        ("a JWKS that is not one", tokens.replace("\"keys\"", "\"locks\"").replace("name: ", "name: broken-"), vec!["broken.yaml", "jwks"]),
        ("a duplicate name", tokens.clone(), vec!["broken.yaml", "tokens.yaml"]),
        ("two meshes", mesh.read("mesh.yaml")?.replace("name: ", "name: second-"), vec!["Mesh"]),
    ] {
        mesh.write("broken.yaml", &text)?;
        let status = status_when(&mesh, what, |status| !errors(status).is_empty()).await?;
        let found = errors(&status);
        for word in words {
            assert!(found.contains(word), "{what}: the error does not say `{word}`: {found}");
        }
        still_decides(what).await?;
        std::fs::remove_file(mesh.environment.config_dir().join("broken.yaml"))?;
        status_when(&mesh, "quarantine ends with its document", |status| errors(status).is_empty()).await?;
    }
    mesh.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_vanishes_or_empties_removes_nothing() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let mesh = Bookshop::start(environment, support::network(), &|_| {}).await?;
    let frontend = mesh.client("frontend")?;
    let (config, aside) = (mesh.environment.config_dir(), mesh.environment.folder.join("aside"));
    for emptied in [false, true] {
        std::fs::rename(&config, &aside)?;
        if emptied {
            std::fs::create_dir(&config)?;
        }
        let status = status_when(&mesh, "the source reports an error", |status| status["source_error"].is_string()).await?;
        assert_eq!(status["proxies"].as_array().map(Vec::len), Some(mesh.workloads.len()));
        assert_eq!(frontend.get("http://catalog.bookshop.mesh/books").await?.status(), Some(200));
        assert_eq!(frontend.get("http://catalog.bookshop.mesh/admin").await?.status(), Some(403));
        if emptied {
            std::fs::remove_dir(&config)?;
        }
        std::fs::rename(&aside, &config)?;
        status_when(&mesh, "the source recovers", |status| status["source_error"].is_null()).await?;
    }
    assert_eq!(frontend.get("http://catalog.bookshop.mesh/books").await?.status(), Some(200));
    mesh.stop().await
}
