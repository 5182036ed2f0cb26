//! `meshwright explain` as scripts and people run it, and every example of docs/explain.md.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use meshwright_test_support as support;

const GUIDE: &str = include_str!("../../../docs/explain.md");

/// The text of each block with its language, in order.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let parts = GUIDE.split("```").skip(1).step_by(2);
    parts.filter_map(|block| block.split_once('\n')).collect()
}

fn of(language: &str) -> Vec<&'static str> {
    blocks().into_iter().filter(|(found, _)| *found == language).map(|(_, text)| text).collect()
}

/// A folder with the guide's mesh in it, as long as the value lives.
fn folder() -> anyhow::Result<impl AsRef<Path>> {
    let (folder, _) = support::environment()?;
    std::fs::create_dir(folder.path().join("mesh"))?;
    std::fs::write(folder.path().join("mesh/mesh.yaml"), of("yaml").concat())?;
    Ok(folder)
}

fn explain(folder: &Path, arguments: &[&str], input: &str) -> anyhow::Result<Output> {
    let mut child = Command::new(support::binary()?)
        .current_dir(folder)
        .arg("explain")
        .args(arguments)
        .arg("--module")
        .arg(support::module()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    Ok(child.wait_with_output()?)
}

#[test]
fn the_examples_of_the_guide_print_what_it_says() -> anyhow::Result<()> {
    let folder = folder()?;
    let (commands, answers) = (of("sh"), of("text"));
    assert_eq!((commands.len(), answers.len()), (2, 2));
    for (command, answer) in commands.iter().zip(answers) {
        let arguments: Vec<&str> = command.trim().strip_prefix("meshwright explain ").unwrap_or_default().split(' ').collect();
        let output = explain(folder.as_ref(), &arguments, "")?;
        assert_eq!(String::from_utf8_lossy(&output.stdout), answer, "{command}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(if answer.starts_with("ALLOW") { 0 } else { 3 }), "{command}");
    }
    Ok(())
}

#[test]
fn the_batch_of_the_guide_is_answered_as_it_says_by_both_engines() -> anyhow::Result<()> {
    let folder = folder()?;
    let lines = of("jsonl");
    let [cases, answers] = lines.as_slice() else { anyhow::bail!("the guide has {} batches", lines.len()) };
    for engine in ["wasm", "native"] {
        let output = explain(folder.as_ref(), &["--batch", "-", "--engine", engine], cases)?;
        assert_eq!(String::from_utf8_lossy(&output.stdout), *answers, "{engine}");
        assert_eq!(output.status.code(), Some(0));
    }
    std::fs::write(folder.as_ref().join("cases.jsonl"), cases)?;
    let output = explain(folder.as_ref(), &["--batch", "cases.jsonl"], "")?;
    assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), output.status.code()), (*answers, Some(0)));
    Ok(())
}

#[test]
fn what_is_wrong_has_an_exit_code_of_its_own() -> anyhow::Result<()> {
    let folder = folder()?;
    std::fs::create_dir(folder.as_ref().join("broken"))?;
    std::fs::write(folder.as_ref().join("broken/mesh.yaml"), "kind: Teapot")?;
    let good = ["--config", "mesh/", "--workload", "shop/catalog"];
    for (arguments, code, message) in [
        (&["--config", "broken", "--workload", "shop/catalog"][..], 2, "Teapot"),
        (&["--config", "nowhere", "--workload", "shop/catalog"], 2, "nowhere"),
        (&["--config", "mesh/"], 2, "--workload"),
        (&["--config", "mesh/", "--workload", "catalog"], 2, "NAMESPACE/NAME"),
        (&["--batch", "nowhere.jsonl"], 1, "nowhere.jsonl"),
        (&["--batch", "-", "--config", "mesh/"], 2, "--config"),
    ] {
        let output = explain(folder.as_ref(), arguments, "")?;
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {printed}");
        assert!(printed.contains(message), "{arguments:?}: {printed}");
    }
    for (more, message) in
        [(&["--principal", "a b"][..], "tls.principal"), (&["--now", "yesterday"], "now: "), (&["--token-file", "x"], "`x`")]
    {
        let output = explain(folder.as_ref(), &[&good[..], more].concat(), "")?;
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(message), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[test]
fn every_option_of_a_question_counts() -> anyhow::Result<()> {
    let folder = folder()?;
    std::fs::write(folder.as_ref().join("token"), "a.b.c\n")?;
    let arguments = "--config mesh/ --workload shop/catalog --service-account catalog --label app=other --label v=1 --method GET --path /x --host h \
        --header a:b --token-file token --principal spiffe://shop.test/ns/shop/sa/web --sni s --source-ip 10.0.0.1 --remote-ip 192.0.2.1 \
        --destination-ip 10.0.0.2 --port 81 --now 2026-01-01T00:00:00Z --engine native --output json";
    let output = explain(folder.as_ref(), &arguments.split_whitespace().collect::<Vec<_>>(), "")?;
    let story: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let field = |name: &str| story.get(name).cloned().unwrap_or_default();
    assert_eq!(field("requestHeaders"), serde_json::json!([["a", "b"], ["authorization", "Bearer a.b.c"]]));
    assert_eq!((field("workload"), field("host"), field("reason")), ("shop/catalog:81".into(), "h".into(), "no_allow_policy".into()));
    let output = explain(folder.as_ref(), &["--config", "mesh/", "--workload", "shop/catalog", "--tcp", "--label", "app=catalog"], "")?;
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("DENY: no_allow_rule_matched\n"));
    Ok(())
}

#[test]
fn a_reader_that_goes_away_ends_the_batch_quietly() -> anyhow::Result<()> {
    let folder = folder()?;
    let mut child = Command::new(support::binary()?)
        .current_dir(folder.as_ref())
        .args(["explain", "--engine", "native", "--batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(child.stdout.take());
    if let Some(mut stdin) = child.stdin.take() {
        // It may be gone before it has read all.
        let _ = (0..10_000).try_for_each(|_| stdin.write_all(b"{}\n"));
    }
    let output = child.wait_with_output()?;
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    Ok(())
}
