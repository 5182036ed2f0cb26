//! The documents that a test file is about.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use meshwright_config::State;
use meshwright_sources::load_paths;

/// A mesh, and where each of its rules was written. All or nothing: a mesh in which one document is wrong would answer for another one.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) state: Arc<State>,
    pub(crate) rules: Vec<Rule>,
}

/// One rule of an AuthorizationPolicy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    /// `<namespace>/<name>`.
    pub(crate) policy: String,
    pub(crate) index: u32,
    pub(crate) file: String,
    /// On which its document starts.
    pub(crate) line: u64,
    /// It has no field, so that every request matches it.
    pub(crate) always: bool,
}

impl Mesh {
    pub(crate) fn load(paths: &[PathBuf]) -> Result<Self, String> {
        let checked = load_paths(paths).map_err(|error| error.to_string())?;
        if !checked.errors().is_empty() {
            return Err(checked.errors().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        }
        let mut rules = Vec::new();
        for policy in checked.state().authorization_policies() {
            let origin = checked.origin(policy.key());
            for (index, rule) in (0_u32..).zip(&policy.wire().rules) {
                rules.push(Rule {
                    policy: format!("{}/{}", policy.key().namespace(), policy.key().name()),
                    index,
                    file: origin.map(|origin| origin.file().to_owned()).unwrap_or_default(),
                    line: origin.and_then(|origin| u64::try_from(origin.line()).ok()).unwrap_or(1),
                    always: *rule == meshwright_policy::wire::Rule::default(),
                });
            }
        }
        rules.sort();
        Ok(Self { state: Arc::new(checked.state().clone()), rules })
    }
}

/// Meshes by the paths of their documents, so that many files about one read it once.
#[derive(Debug, Default)]
pub(crate) struct Meshes(BTreeMap<Vec<PathBuf>, Result<Arc<Mesh>, String>>);

impl Meshes {
    pub(crate) fn get(&mut self, paths: Vec<PathBuf>) -> Result<Arc<Mesh>, String> {
        let canonical = |path: &PathBuf| std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let key = paths.iter().map(canonical).collect();
        self.0.entry(key).or_insert_with(|| Mesh::load(&paths).map(Arc::new)).clone()
    }
}
