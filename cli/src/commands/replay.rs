use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use meshwright_replay::{Mesh, Options, Tally, human, json, open, replay};

use super::BAD_INPUT;
use crate::output::{self, Format, PATIENCE};

/// Decide the requests of an access log once more, and list every decision that flips.
///
/// Reads the records that the sidecars write (access.log, also compressed with gzip) and decides each by the documents of --policy; --against
/// names those that were in force when the log was made. What a rule looks at and the log does not hold is never guessed: such records are
/// counted as undecided, with what is missing, unless it could change nothing (docs/replay.md).
///
/// Exit codes: 0 nothing flips; 1 the log cannot be read; 2 the command line or a document is wrong; 3 decisions flip; 4 nothing flips, but lines
/// are no records, or, with --require-decided, records are undecided.
///
/// Example: meshwright replay --log access.log --policy new/ --against mesh/
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// The access log; `-` for standard input, which is not compressed.
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// The candidate: a directory of YAML documents, or files of it. Repeatable.
    #[arg(long, required = true, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// The documents in force when the log was made. Without them decisions are compared with those in the log. Repeatable.
    #[arg(long, value_name = "PATH")]
    against: Vec<PathBuf>,
    /// Take it that tokens are checked now as when the log was made. Otherwise, without --against, what becomes of them is not known.
    #[arg(long, conflicts_with = "against")]
    same_tokens: bool,
    /// End with exit code 4 when records are undecided.
    #[arg(long)]
    require_decided: bool,
    /// Threads that decide [default: as many as there are cores].
    #[arg(long, value_name = "NUMBER")]
    threads: Option<NonZeroUsize>,
    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

/// How often something is said where no bar can be drawn.
const PAUSE: Duration = Duration::from_secs(10);
const FLIPPED: u8 = 3;
const UNDECIDED: u8 = 4;

impl Replay {
    pub(crate) fn run(self) -> ExitCode {
        let meshes = self.meshes();
        let answered = match &meshes {
            Ok((candidate, current)) => self.answer(candidate, current.as_ref()),
            Err(error) => {
                output::error(error);
                return ExitCode::from(BAD_INPUT);
            }
        };
        match answered {
            Ok(tally) => self.code(&tally),
            Err(error) => {
                output::error(&error);
                ExitCode::FAILURE
            }
        }
    }

    fn meshes(&self) -> anyhow::Result<(Mesh, Option<Mesh>)> {
        let candidate = Mesh::load(&self.policy)?;
        let current = (!self.against.is_empty()).then(|| Mesh::load(&self.against)).transpose()?;
        Ok((candidate, current))
    }

    fn answer(&self, candidate: &Mesh, current: Option<&Mesh>) -> anyhow::Result<Tally> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let threads = self.threads.unwrap_or(cores);
        let options = Options { candidate, current, same_tokens: self.same_tokens, threads };
        let progress = Progress::new(&self.log);
        let heard = |bytes| progress.at(bytes);
        let mut log = reader(&self.log, &heard)?;
        let tally = replay(&mut *log, options);
        progress.end();
        let tally = tally.with_context(|| format!("`{}`", self.log.display()))?;
        match self.output {
            Format::Text => {
                if current.is_none() {
                    output::progress("taken for granted without --against: pathNormalization is what it was when the log was made");
                }
                output::line(human(&tally).trim_end());
            }
            Format::Json => output::json(&json(&tally)),
        }
        Ok(tally)
    }

    fn code(&self, tally: &Tally) -> ExitCode {
        let open = tally.bad > 0 || (self.require_decided && tally.undecided > 0);
        match (tally.flipped > 0, open) {
            (true, _) => ExitCode::from(FLIPPED),
            (false, true) => ExitCode::from(UNDECIDED),
            (false, false) => ExitCode::SUCCESS,
        }
    }
}

fn reader<'p>(log: &Path, progress: &'p (dyn Fn(u64) + Sync)) -> anyhow::Result<Box<dyn Read + Send + 'p>> {
    if log.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin()));
    }
    open(log, progress).with_context(|| format!("`{}` cannot be read", log.display()))
}

/// A bar on a terminal, a line now and then elsewhere, and nothing at all if all is over before.
struct Progress {
    bar: ProgressBar,
    start: Instant,
    said: std::sync::Mutex<Instant>,
}

impl Progress {
    fn new(log: &Path) -> Self {
        let length = std::fs::metadata(log).map(|metadata| metadata.len()).ok().filter(|length| *length > 0);
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent} % of {total_bytes}, {eta} to go") {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self { bar, start: now, said: std::sync::Mutex::new(now) }
    }

    fn at(&self, bytes: u64) {
        if self.start.elapsed() < PATIENCE {
            return;
        }
        let Ok(mut said) = self.said.lock() else { return };
        if *said == self.start {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(bytes);
        if *said == self.start || (self.bar.is_hidden() && said.elapsed() >= PAUSE) {
            *said = Instant::now();
            if self.bar.is_hidden() {
                let of = self.bar.length().map(|length| format!(" of {} MiB", length >> 20)).unwrap_or_default();
                output::progress(&format!("{} MiB{of} read", bytes >> 20));
            }
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
