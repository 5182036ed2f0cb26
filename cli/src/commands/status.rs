#![expect(clippy::indexing_slicing, reason = "to index a JSON value gives null, never a panic")]

use std::process::ExitCode;
use std::time::Duration;

use comfy_table::Table;
use serde_json::Value;

use super::admin::{Admin, DocumentName};
use super::receipt;
use crate::output::{self, Format, counted};

/// Show the proxies, what each has acknowledged and refused, fetched keys, the documents that are quarantined, and, with --rules, what
/// becomes of each rule on each port.
///
/// Of a DOCUMENT: on how many of the proxies that it concerns it is enforced, how long that took, and why not on the others.
///
/// Exit code 0; of a DOCUMENT 0 when it is enforced on all of them, 4 when it is not yet, 5 when a proxy refused it or it is quarantined or
/// held back. Without one 0 also when something is quarantined or refused: read `quarantined` and `nacks` of the JSON output in scripts.
///
/// Example: meshwright status --output json
///
/// Example: meshwright status AuthorizationPolicy/bookshop/catalog
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// KIND/NAMESPACE/NAME.
    #[arg(conflicts_with = "rules")]
    document: Option<DocumentName>,
    #[command(flatten)]
    admin: Admin,
    /// Say of each rule of each AuthorizationPolicy on which ports it is enforced and where it can never match.
    #[arg(long)]
    rules: bool,
    /// Show what each proxy is told of the mesh, and what it would be told without scoping.
    #[arg(long, conflicts_with = "document")]
    scope: bool,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(document) = &self.document {
            let receipt = self.admin.receipt(document, Duration::ZERO).await?;
            receipt::print(&receipt, self.output);
            return Ok(receipt::exit_code(&receipt));
        }
        let mut status = self.admin.get("/v1/status").await?;
        let rules = if self.rules { Some(self.admin.get("/v1/rules").await?) } else { None };
        let scope = if self.scope { Some(self.admin.get("/v1/scope").await?) } else { None };
        match self.output {
            Format::Json => {
                if let (Some(scope), Some(fields)) = (&scope, status.as_object_mut()) {
                    fields.insert("scope".to_owned(), scope["proxies"].clone());
                }
                if let (Some(rules), Some(fields)) = (rules, status.as_object_mut()) {
                    fields.insert("rules".to_owned(), rules["rules"].clone());
                }
                output::json(&status);
            }
            Format::Text => {
                print(&status);
                scope.unwrap_or_default()["proxies"].as_array().into_iter().flatten().for_each(print_scope);
                let rules = rules.unwrap_or_default();
                rules["lines"].as_array().into_iter().flatten().filter_map(Value::as_str).for_each(output::line);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(status: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    output::line(&format!(
        "trust domain {}, revision {}, {}, root certificate {} until {}",
        text(&status["trust_domain"]),
        status["revision"],
        counted(status["documents"].as_u64().unwrap_or_default(), "document"),
        text(&status["root_fingerprint"]),
        text(&status["root_expires"]),
    ));
    if let Some(problem) = status["source_error"].as_str() {
        output::line(&format!("CONFIGURATION DIRECTORY: {problem} (the last good configuration stays)"));
    }
    let ca = &status["ca"];
    if ca["rollover"]["phase"] != "stable" {
        output::line(&format!("ROLLOVER OF THE ROOT: phase {}; see `meshwright ca status`", text(&ca["rollover"]["phase"])));
    }
    for late in ca["overdue_certificates"].as_array().into_iter().flatten() {
        let (identity, percent, until) = (text(&late["identity"]), &late["life_over_percent"], text(&late["not_after"]));
        output::line(&format!("CERTIFICATE NOT RENEWED: {identity}, {percent} % of its life is over, until {until}"));
    }
    status["denied"].as_array().into_iter().flatten().for_each(print_denied);
    if let Some(name) = status["held"]["name"].as_str() {
        output::line(&format!(
            "HELD: {}; what is there already stays until the documents are back, or `meshwright release {name}`",
            text(&status["held"]["message"])
        ));
        status["held"]["documents"].as_array().into_iter().flatten().for_each(|document| output::line(&format!("  {}", text(document))));
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["proxy", "state", "envoy", "bytes", "CDS", "EDS", "LDS", "RDS", "SDS", "ECDS", "certificate until"]);
    let proxies = status["proxies"].as_array().map(Vec::as_slice).unwrap_or_default();
    for proxy in proxies {
        let mut row = vec![text(&proxy["node"]), state(proxy).to_owned(), text(&proxy["envoy"]), proxy["bytes"].to_string()];
        row.extend(["CDS", "EDS", "LDS", "RDS", "SDS", "ECDS"].map(|kind| acknowledged(&proxy["types"][kind])));
        row.push(text(&proxy["certificate_expires"]));
        table.add_row(row);
    }
    output::line(&table.to_string());
    for proxy in proxies {
        let node = text(&proxy["node"]);
        if let Some(error) = proxy["error"].as_str() {
            output::line(&format!("{node}: {error}"));
        }
        for (kind, of_type) in proxy["types"].as_object().into_iter().flatten() {
            for nack in of_type["nacks"].as_array().into_iter().flatten() {
                output::line(&format!("{node}: {kind} refused {}: {}", nack["resources"], text(&nack["message"])));
            }
        }
    }
    status["trust_domains"].as_array().into_iter().flatten().for_each(print_domain);
    status["key_sources"].as_array().into_iter().flatten().for_each(print_keys);
    for document in status["quarantined"].as_array().into_iter().flatten() {
        let kept = if document["last_good"] == true { "its last good version stays in force" } else { "it has no effect" };
        output::line(&format!("quarantined: {}; {kept}", text(&document["error"])));
    }
    for warning in status["warnings"].as_array().into_iter().flatten() {
        output::line(&format!("warning: {}", text(warning)));
    }
}

fn print_denied(entry: &Value) {
    let text = |field: &str| entry[field].as_str().unwrap_or("-").to_owned();
    let more = |field: &str, word: &str| entry[field].as_str().map(|found| format!("{word}{found}")).unwrap_or_default();
    let refused = match entry["refused_here"].as_u64().unwrap_or_default() {
        0 => String::new(),
        count => format!("; refused here {}, last at {}", counted(count, "time"), text("last_refused_here")),
    };
    output::line(&format!(
        "DENIED: {} by IdentityDenyList {}{}{}{refused}",
        text("denied"),
        text("list"),
        more("until", " until "),
        more("reason", ": ")
    ));
}

fn print_scope(proxy: &Value) {
    let number = |field: &str| proxy[field].as_u64().unwrap_or_default();
    let (bytes, all) = (number("bytes"), number("unscoped_bytes"));
    let saved = all.saturating_sub(bytes).saturating_mul(100).checked_div(all).unwrap_or_default();
    output::line(&format!(
        "{}: {} resources, {bytes} bytes; without scoping {} resources, {all} bytes: {saved} % saved",
        proxy["node"].as_str().unwrap_or("-"),
        number("resources"),
        number("unscoped_resources"),
    ));
}

fn print_keys(source: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let issuers: Vec<String> = source["issuers"].as_array().into_iter().flatten().map(text).collect();
    let held = match source["keys"].as_u64() {
        Some(0) | None => "NO KEYS YET: every token is refused".to_owned(),
        Some(count) => format!("{count} in force, fetched {} ({} s ago)", text(&source["last_success"]), source["age_seconds"]),
    };
    let failed = source["last_error"].as_str().map(|error| format!("; the last fetch failed: {error}")).unwrap_or_default();
    output::line(&format!("keys of {} from {}: {held}{failed}", issuers.join(", "), text(&source["url"])));
}

fn print_domain(domain: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let held = match (domain["roots"].as_u64(), domain["url"].as_str(), domain["last_success"].as_str()) {
        (Some(0) | None, ..) => "NO BUNDLE YET: nobody of it is believed".to_owned(),
        (Some(count), None, _) => format!("{count} roots of the document"),
        (Some(count), Some(url), None) => format!("{count} roots of the document, none fetched yet from {url}"),
        (Some(count), Some(url), Some(at)) => format!("{count} roots from {url}, fetched {at} ({} s ago)", domain["age_seconds"]),
    };
    let failed = domain["last_error"].as_str().map(|error| format!("; the last fetch failed: {error}")).unwrap_or_default();
    output::line(&format!("trust domain {}: {held}{failed}", text(&domain["name"])));
}

fn state(proxy: &Value) -> &'static str {
    match (proxy["connected"] == true, proxy["in_sync"] == true) {
        (true, true) => "in sync",
        (true, false) => "behind",
        (false, _) => "disconnected",
    }
}

/// `3/3 9f2c`: acknowledged of all, and a hash of the versions, the same for proxies that hold the same.
fn acknowledged(of_type: &Value) -> String {
    if of_type.is_null() {
        return "-".to_owned();
    }
    let version: String = of_type["version"].as_str().unwrap_or_default().chars().take(4).collect();
    format!("{}/{} {version}", of_type["acknowledged"], of_type["target"])
}
