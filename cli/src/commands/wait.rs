use std::process::ExitCode;
use std::time::Duration;

use super::admin::{Admin, DocumentName};
use super::receipt;
use crate::output::Format;

/// Longer waits are several.
const LONGEST: Duration = Duration::from_secs(300);

/// Wait until every proxy that a document concerns enforces it, as the directory holds it when the command starts.
///
/// A proxy counts when it has acknowledged everything that was made of the document. One that has gone in the last ten minutes counts too:
/// it decides by what it has. For a document that was removed, wait until every proxy has taken that.
///
/// Exit code 0 when it is enforced everywhere (or gone everywhere); 1 when there is no such document or no answer; 4 when the time passed
/// first: the proxies that lack it are named; 5 when waiting is no use: a proxy refused it, or it is quarantined or held back.
///
/// Example: meshwright wait AuthorizationPolicy/bookshop/catalog --for enforced --timeout 30s
#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// KIND/NAMESPACE/NAME.
    document: DocumentName,
    /// What to wait for.
    #[arg(long = "for", value_enum, default_value = "enforced")]
    goal: Goal,
    /// How long, as in `30s`, `500ms` or `5m`.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    admin: Admin,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Goal {
    /// All proxies that it concerns enforce it.
    Enforced,
    /// It is gone, and no proxy has it any more.
    Removed,
}

impl Wait {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let found = self.admin.receipt(&self.document, self.timeout).await?;
        receipt::print(&found, self.output);
        let is_gone = found.get("version").is_none_or(serde_json::Value::is_null);
        if is_gone != (self.goal == Goal::Removed) {
            let what = if is_gone { "is not in the directory" } else { "is still in force" };
            anyhow::bail!("{} {what}", self.document);
        }
        Ok(receipt::exit_code(&found))
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a time such as `30s`, `500ms` or `5m`, at most {} s", LONGEST.as_secs());
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let found = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    };
    found.filter(|found| *found <= LONGEST).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_an_end() {
        for (text, expected) in [("30s", Some(30_000)), ("500ms", Some(500)), ("5m", Some(300_000))] {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_millis), "{text}");
        }
        for bad in ["", "s", "30", "-1s", "1.5s", "6m", "1h", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
