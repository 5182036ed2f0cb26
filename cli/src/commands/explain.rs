mod question;

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use meshwright_explain::{Case, Explainer, Story, Verdict};

use super::BAD_INPUT;
use super::deciding::Deciding;
use crate::output::{self, Format};
use crate::progress::Progress;
use question::Question;

/// The request or connection is denied.
const DENIED: u8 = 3;

/// Say what the mesh would do with a request, and why, without a mesh.
///
/// Asks the filter module itself, with the documents of a directory. Prints the decision, every rule with the fields that did not match, and
/// what the app would receive. With --batch it answers JSON Lines (docs/explain.md), one line each, in order.
///
/// Exit code 0 when the request is allowed, 3 when it is denied, 2 when the question or a document is wrong, 1 when there is no answer
/// for another reason. With --batch 0 when every line was answered, whatever the answers.
///
/// Example: meshwright explain --config mesh/ --workload shop/cart-1 --port 8080 --principal spiffe://mesh.test/ns/shop/sa/web --path /books
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// Answer the cases of this file, `-` for standard input: one JSON object a line.
    #[arg(long, value_name = "FILE", conflicts_with_all = question::NAMES)]
    batch: Option<PathBuf>,
    #[command(flatten)]
    deciding: Deciding,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
    #[command(flatten)]
    question: Question,
}

impl Explain {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let progress = Progress::compiling();
        let mut explainer = Explainer::new(self.deciding.engines()?());
        drop(progress);
        match self.batch {
            Some(file) => batch(&mut explainer, &file),
            None => one(&mut explainer, self.question, self.output),
        }
    }
}

fn one(explainer: &mut Explainer, question: Question, form: Format) -> anyhow::Result<ExitCode> {
    let case = question.case().and_then(|case| Ok(Case::from_json(case.to_string().as_bytes())?));
    let case = match case {
        Ok(case) => case,
        Err(error) => {
            output::error(&error);
            return Ok(ExitCode::from(BAD_INPUT));
        }
    };
    let story = explainer.story(&case, now());
    match form {
        Format::Text => output::line(story.to_string().trim_end()),
        Format::Json => output::json(&serde_json::to_value(&story)?),
    }
    Ok(code(&story))
}

fn code(story: &Story) -> ExitCode {
    match story.answer().decision {
        Verdict::Allow => ExitCode::SUCCESS,
        Verdict::Deny => ExitCode::from(DENIED),
        Verdict::Error if story.answer().reason.starts_with("invalid_") => ExitCode::from(BAD_INPUT),
        Verdict::Error => ExitCode::FAILURE,
    }
}

fn batch(explainer: &mut Explainer, file: &PathBuf) -> anyhow::Result<ExitCode> {
    let output = std::io::stdout().lock();
    let answered = if file.as_os_str() == "-" {
        explainer.batch(std::io::stdin().lock(), output, now)
    } else {
        let file = File::open(file).with_context(|| format!("`{}` cannot be read", file.display()))?;
        explainer.batch(file, output, now)
    };
    match answered {
        // Whoever read the answers has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        answered => answered.map(|()| ExitCode::SUCCESS).context("not every line could be answered"),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
