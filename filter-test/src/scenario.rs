//! A scenario that is ready to run: one case of one file.

use std::path::{Component, Path, PathBuf};

use meshwright_test_files::{FileError, Wrong};
use serde_json::Value;

use crate::build::{self, Input, Setup};
use crate::check;
use crate::read;
use crate::wire::{Expectation, ScenarioWire};

/// One case: a plugin with its world, what happens to it, and what must come of that.
#[derive(Debug, Clone)]
pub struct Scenario {
    file: PathBuf,
    case: Option<String>,
    pub(crate) setup: Setup,
    pub(crate) input: Input,
    pub(crate) expected: Expectation,
    pub(crate) snapshot: Option<PathBuf>,
}

impl Scenario {
    /// All cases of a file whose text is `text`. The file is not read, only named.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(file: &Path, text: &str) -> Result<Vec<Self>, FileError> {
        let cases = read::cases(file, text)?;
        let several = cases.len() > 1;
        let made = cases.into_iter().map(|case| {
            let name = case.name.clone();
            Self::new(file, case.name, case.scenario, several).map_err(|Wrong { path, message }| {
                let path = match name {
                    Some(name) if path.is_empty() => format!("matrix.{name}"),
                    Some(name) => format!("matrix.{name}: with the scenario's own parts, {path}"),
                    None => path,
                };
                FileError { file: file.display().to_string(), line: None, path, message }
            })
        });
        made.collect()
    }

    fn new(file: &Path, case: Option<String>, wire: ScenarioWire, several: bool) -> Result<Self, Wrong> {
        let input = build::input(&wire)?;
        expectation_fits(&wire.expect, &input)?;
        let snapshot = wire.expect.snapshot.as_ref().map(|name| snapshot(file, name, case.as_deref(), several)).transpose()?;
        let setup = Setup::new(wire.module, wire.world)?;
        Ok(Self { file: file.to_owned(), case, setup, input, expected: wire.expect, snapshot })
    }

    /// `FILE`, or `FILE::CASE` for a case of a matrix.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.case {
            Some(case) => format!("{}::{case}", self.file.display()),
            None => self.file.display().to_string(),
        }
    }

    /// Whether it expects a cost that only a metered engine knows.
    #[must_use]
    pub const fn needs_fuel(&self) -> bool {
        self.expected.cost.max_fuel.is_some()
    }

    /// The file that it is from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The matrix case that it is.
    #[must_use]
    pub fn case(&self) -> Option<&str> {
        self.case.as_deref()
    }
}

/// An expectation about what cannot be would never fail.
fn expectation_fits(expected: &Expectation, input: &Input) -> Result<(), Wrong> {
    let is_refusal = expected.refused.is_some();
    let http = matches!(input, Input::Request(_));
    let tcp = matches!(input, Input::Tcp(_));
    let rules = [
        ("upstream", expected.upstream.is_some(), http),
        ("client", expected.client.is_some(), http),
        ("local_reply", expected.local_reply.is_some(), http),
        ("code_details", expected.code_details.is_some(), http),
        ("tcp", expected.tcp.is_some(), tcp),
        ("ended", expected.ended.is_some(), true),
        ("trap", expected.trap.is_some(), true),
    ];
    for (name, given, fits) in rules {
        let message = match (given, fits, is_refusal) {
            (true, false, _) => "cannot be expected of what this scenario does",
            (true, true, true) => "cannot be expected of a plugin that is refused",
            _ => continue,
        };
        return Err(Wrong { path: format!("expect.{name}"), message: message.to_owned() });
    }
    for (index, line) in expected.logs.iter().flatten().enumerate() {
        let path = format!("expect.logs[{index}]");
        if line.level.is_none() && line.equals.is_none() && line.contains.is_none() && line.regex.is_none() {
            let message = "says nothing about the line (allowed: `level`, `equals`, `contains`, `regex`)".to_owned();
            return Err(Wrong { path, message });
        }
        if line.absent && line.count.is_some() {
            return Err(Wrong { path, message: "has both `absent` and `count`".to_owned() });
        }
    }
    match check::unknown_misuse(expected) {
        Some(message) => Err(Wrong { path: "expect.misuse".to_owned(), message }),
        None => Ok(()),
    }
}

fn snapshot(file: &Path, name: &str, case: Option<&str>, several: bool) -> Result<PathBuf, Wrong> {
    let wrong = |message: String| Err(Wrong { path: "expect.snapshot".to_owned(), message });
    if several && !name.contains("{case}") {
        return wrong(format!("`{name}` would be the same file for all cases (allowed: a name with `{{case}}` in it)"));
    }
    let case: String =
        case.unwrap_or("case").chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    let name = PathBuf::from(name.replace("{case}", &case));
    let below = name.components().all(|part| matches!(part, Component::Normal(_)));
    if !below || name.as_os_str().is_empty() {
        return wrong(format!("`{}` does not name a file beside or below the scenario", name.display()));
    }
    Ok(file.parent().unwrap_or(Path::new("")).join(name))
}

/// The JSON Schema of scenario files, for editors.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::generate::SchemaSettings::draft07().into_generator().into_root_schema_for::<ScenarioWire>();
    schema.insert("title".to_owned(), "Meshwright filter scenario".into());
    schema.to_value()
}
