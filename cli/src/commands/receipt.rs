//! How far a document has come, for people and as an exit code.

use std::process::ExitCode;

use serde_json::Value;

use crate::output::{self, Format};

/// Not yet.
const PENDING: u8 = 4;
/// Not as it is: refused, quarantined or held.
const CANNOT: u8 = 5;

/// 0 when all is done.
pub(crate) fn exit_code(receipt: &Value) -> ExitCode {
    match receipt["state"].as_str() {
        Some("enforced" | "removed") => ExitCode::SUCCESS,
        Some("pending") => ExitCode::from(PENDING),
        _ => ExitCode::from(CANNOT),
    }
}

pub(crate) fn print(receipt: &Value, format: Format) {
    match format {
        Format::Json => output::json(receipt),
        Format::Text => lines(receipt).iter().for_each(|line| output::line(line)),
    }
}

/// `AuthorizationPolicy bank/ledger 8f3a…: enforced on 3 of 4 proxies, p99 12.5 ms`, and a line for each that does not.
fn lines(receipt: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = receipt["version"].as_str().map_or_else(|| "not in force".to_owned(), |version| format!("version {version}"));
    let verb = if receipt["version"].is_null() { "its removal is taken" } else { "enforced" };
    let mut first =
        format!("{}, {version}: {verb} on {} of {} proxies", text(&receipt["document"]), receipt["enforced"], receipt["proxies"]);
    if let (Some(p99), Some(max)) = (receipt["p99_ms"].as_f64(), receipt["max_ms"].as_f64()) {
        first.push_str(&format!(", p99 {p99:.1} ms, slowest {max:.1} ms after the save (of {} measured)", receipt["measured"]));
    }
    let mut lines = vec![first];
    for proxy in receipt["waiting"].as_array().into_iter().flatten() {
        let resources: Vec<String> = proxy["resources"].as_array().into_iter().flatten().map(text).collect();
        let of = if resources.is_empty() { String::new() } else { format!(" ({})", resources.join(", ")) };
        lines.push(format!("{}: {}{of}", text(&proxy["node"]), text(&proxy["reason"])));
    }
    if receipt["state"] == "held" {
        lines.push("its removal is held back: see `meshwright status`".to_owned());
    }
    if let Some(error) = receipt["error"].as_str() {
        lines.push(format!("what the directory holds is not in force: {error}"));
    }
    lines
}
