//! What the README shows works as it stands there: its policy passes `check`, its command lines are understood.

use std::path::Path;

use meshwright_e2e::smallest_mesh;
use meshwright_test_support as support;

fn readme() -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md"))?)
}

fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_policies_in_the_readme_are_valid() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let policies = blocks(&readme()?, "yaml");
    assert!(!policies.is_empty(), "the README shows a policy");
    let mesh = smallest_mesh("bookshop.local", "127.0.0.1", 8080);
    meshwright_e2e::configure(&environment, &format!("{mesh}---\n{}", policies.join("---\n")))?;
    let checked = environment.command(&["check", "--output", "json", &environment.config_dir().to_string_lossy()]).await?;
    let answer: serde_json::Value = serde_json::from_str(&checked)?;
    assert_eq!(answer.get("errors"), Some(&serde_json::json!([])));
    assert_eq!(answer.get("documents"), Some(&serde_json::json!(3 + policies.len())));
    Ok(())
}

#[tokio::test]
async fn the_command_lines_in_the_readme_are_understood() -> anyhow::Result<()> {
    understood(&readme()?).await
}

#[tokio::test]
async fn the_command_lines_of_the_identity_page_are_understood() -> anyhow::Result<()> {
    understood(&std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/identity.md"))?).await
}

#[tokio::test]
async fn the_command_lines_of_the_admin_page_are_understood() -> anyhow::Result<()> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/admin-api.md"))?;
    let fingerprint = "0f".repeat(32);
    understood(&page.replace("```bash", "```sh").replace("SHA256", &fingerprint)).await
}

#[tokio::test]
async fn the_documents_of_the_identity_page_are_valid() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/identity.md"))?;
    let documents = blocks(&page, "yaml");
    assert!(!documents.is_empty());
    meshwright_e2e::configure(&environment, &documents.join("---\n"))?;
    let checked = environment.command(&["check", "--output", "json", &environment.config_dir().to_string_lossy()]).await?;
    let answer: serde_json::Value = serde_json::from_str(&checked)?;
    assert_eq!(
        (answer.get("errors"), answer.get("documents")),
        (Some(&serde_json::json!([])), Some(&serde_json::json!(documents.len()))),
        "{checked}"
    );
    Ok(())
}

async fn understood(page: &str) -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let mut tried = 0;
    for line in blocks(page, "sh").iter().flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>()) {
        let Some(arguments) = line.strip_prefix("meshwright ") else { continue };
        let own = arguments.split('#').next().unwrap_or_default().split(" -- ").next().unwrap_or_default();
        // The parser reads all that stands before --help, and refuses what it does not know.
        let words: Vec<&str> = own.split_whitespace().chain(["--help"]).collect();
        environment.command(&words).await?;
        tried += 1;
    }
    assert!(tried >= 5, "the page shows {tried} command lines");
    Ok(())
}

#[tokio::test]
async fn the_command_lines_of_the_units_are_understood() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
    let mut tried = 0;
    for unit in std::fs::read_dir(units)? {
        let text = std::fs::read_to_string(unit?.path())?;
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/meshwright ")).unwrap_or_default();
        // What systemd fills in.
        let values = [
            ("${CONTROL_PLANE}", "127.0.0.1:15012"),
            ("${NAMESPACE}", "bookshop"),
            ("${SERVICE_ACCOUNT}", "orders"),
            ("%d", "/run"),
            ("${APP}", "8080=127.0.0.1:9080"),
            ("%i", "orders"),
        ];
        let line = values.iter().fold(line.to_owned(), |line, (name, value)| line.replace(name, value));
        assert!(!line.is_empty() && !line.contains(['$', '%']), "{line}");
        environment.command(&line.split_whitespace().chain(["--help"]).collect::<Vec<_>>()).await?;
        tried += 1;
    }
    assert_eq!(tried, 2);
    Ok(())
}

#[tokio::test]
async fn check_prints_every_error_and_fails() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let broken = "---\napiVersion: v1\nkind: Teapot\nmetadata:\n  name: t\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: p\nspec:\n  acton: DENY\n";
    meshwright_e2e::configure(&environment, &format!("{}{broken}", smallest_mesh("mesh.example", "127.0.0.1", 8080)))?;
    let failed = environment.command(&["check", &environment.config_dir().to_string_lossy()]).await.map_err(|error| error.to_string());
    let Err(text) = failed else { anyhow::bail!("check accepts a broken directory") };
    assert!(text.contains("Teapot") && text.contains("acton") && text.contains("2 errors"), "{text}");
    Ok(())
}
