//! One mesh, the current or the candidate: for each of its workloads the compiled policies.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::SystemTime;

use meshwright_config::{MtlsMode, PathNormalization, State};
use meshwright_policy::Policy;
use meshwright_policy::wire::{AuthzConfig, JwtRule, Protocol};
use meshwright_sources::load_paths;
use rustc_hash::FxHashMap;

/// Why a mesh cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidMesh(String);

/// A mesh whose policies are asked.
#[derive(Debug)]
pub struct Mesh {
    state: State,
    /// By namespace, then by name: an index into `sets`.
    workloads: FxHashMap<String, FxHashMap<String, usize>>,
    /// Of HTTP and TCP ports, each compiled when it is first needed.
    sets: Vec<[OnceLock<Result<Set, String>>; 2]>,
    normalization: PathNormalization,
    rewrites: bool,
}

/// The policies of one workload on ports of one protocol.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) policy: Policy,
    pub(crate) config: AuthzConfig,
}

impl Mesh {
    /// Reads the documents below `paths`. All or nothing: a mesh in which one document is wrong would answer for another one.
    ///
    /// # Errors
    /// [`InvalidMesh`] with everything that is wrong.
    pub fn load(paths: &[PathBuf]) -> Result<Self, InvalidMesh> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let checked = load_paths(paths).map_err(|error| InvalidMesh(error.to_string()))?;
        if !checked.errors().is_empty() {
            return Err(InvalidMesh(checked.errors().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
        }
        // An entry of a deny list whose time is over decides nothing any more.
        Ok(Self::new(checked.state().without_ended(now).unwrap_or_else(|| checked.state().clone())))
    }

    fn new(state: State) -> Self {
        let mut workloads: FxHashMap<String, FxHashMap<String, usize>> = FxHashMap::default();
        for (index, workload) in state.workloads().iter().enumerate() {
            workloads.entry(workload.namespace().to_owned()).or_default().insert(workload.name().to_owned(), index);
        }
        let sets = state.workloads().iter().map(|_| [OnceLock::new(), OnceLock::new()]).collect();
        let normalization = state.mesh().map_or(PathNormalization::Base, |mesh| mesh.path_normalization());
        let rewrites = state.virtual_services().iter().flat_map(|service| service.http()).any(|route| route.rewrite().is_some());
        Self { state, workloads, sets, normalization, rewrites }
    }

    pub(crate) fn normalization(&self) -> PathNormalization {
        self.normalization
    }

    /// Whether some route rewrites: a gateway then logs another path and host than its policies saw.
    pub(crate) fn rewrites(&self) -> bool {
        self.rewrites
    }

    /// The number of a workload, if the documents have it.
    pub(crate) fn workload(&self, namespace: &str, name: &str) -> Option<usize> {
        self.workloads.get(namespace)?.get(name).copied()
    }

    /// The policies of a workload; an error names what cannot be compiled.
    pub(crate) fn set(&self, workload: usize, protocol: Protocol) -> Result<&Set, &str> {
        let Some([http, tcp]) = self.sets.get(workload) else { return Err("no such workload") };
        let slot = if protocol == Protocol::Http { http } else { tcp };
        slot.get_or_init(|| self.compile(workload, protocol)).as_ref().map_err(String::as_str)
    }

    fn compile(&self, workload: usize, protocol: Protocol) -> Result<Set, String> {
        let workload = self.state.workloads().get(workload).ok_or("no such workload")?;
        let configuration = meshwright_translate::workload_policy(&self.state, workload, protocol).map_err(|error| error.to_string())?;
        let config: AuthzConfig = serde_json::from_str(&configuration).map_err(|error| error.to_string())?;
        let policy = Policy::compile(config.clone()).map_err(|error| error.to_string())?;
        Ok(Set { policy, config })
    }

    pub(crate) fn mode(&self, workload: usize, port: u16) -> MtlsMode {
        self.state.workloads().get(workload).map_or(MtlsMode::Strict, |workload| self.state.peer_authentication_mode(workload, port))
    }

    /// How the tokens of a workload's requests are checked, whatever documents say it: in the order in which it is done. Keys that are fetched
    /// count as where they are fetched from.
    pub(crate) fn jwt_rules(&self, workload: usize) -> Vec<JwtRule> {
        let Some(workload) = self.state.workloads().get(workload) else { return Vec::new() };
        let documents = self.state.request_authentication_for(workload);
        let mut rules: Vec<JwtRule> = documents.iter().flat_map(|document| document.wire().jwt_rules.clone()).collect();
        rules.sort_by(|a, b| a.issuer.cmp(&b.issuer));
        rules
    }
}
