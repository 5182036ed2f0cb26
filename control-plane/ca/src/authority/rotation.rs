//! Rollover of the root on disk: what an operator starts, turns round or confirms (on the data directory, the control plane need not run),
//! and what the running control plane does about it.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::current::Current;
use super::error::OpenError;
use super::files::{self, FOLDER, Names};
use super::state::State;
use super::{Authority, AuthorityOptions};
use crate::fingerprint::Fingerprint;
use crate::rollover::{Facts, Observed, Phase};
use crate::store;
use crate::time::{from_unix_seconds, unix_seconds, utc};
use crate::token_store;

/// A running control plane may issue for this long before it sees what was written beside it.
const NOTICE: Duration = Duration::from_secs(60);

/// The root that a rollover leads to.
#[derive(Debug)]
pub enum NewRoot {
    /// One of our own.
    Make,
    /// One that was made elsewhere: PEM with certificate and key.
    Take(Box<super::import::TakenRoot>),
}

/// One root of the bundle, for people and machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RootStatus {
    pub fingerprint: String,
    pub not_after: String,
    /// Leaves are signed under it.
    pub signs: bool,
}

/// Where a rollover stands, for people and machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RolloverStatus {
    pub phase: &'static str,
    pub since: Option<String>,
    /// It was aborted after the new root had signed, and is on its way back.
    pub reverting: bool,
    pub roots: Vec<RootStatus>,
    pub intermediate_not_after: String,
    /// When the last leaf ends that may be alive.
    pub leaves_until: String,
    /// Who has not acknowledged the trust bundle.
    pub unacknowledged: Vec<String>,
    /// Everything that stands before the next step, in words.
    pub blockers: Vec<String>,
    /// When time alone allows the next step; absent while something else must happen first, and when there is no next step.
    pub next_step_at: Option<String>,
}

/// Begins a rollover: makes or takes the new root and publishes it.
///
/// # Errors
/// [`OpenError`]; nothing has changed then.
pub fn rotate(data_dir: &Path, new: NewRoot, options: &AuthorityOptions, now: SystemTime) -> Result<Phase, OpenError> {
    change(data_dir, |dir, state| {
        let root = match new {
            NewRoot::Make => files::make_root(&state.trust_domain, options, now)?,
            NewRoot::Take(taken) => taken.into_material(&state.trust_domain, options, now)?,
        };
        let leaves_until = state.leaves_until.max(unix_seconds(now + NOTICE.min(ttl(state)) + ttl(state)));
        let phase = state.phase.start(root.fingerprint(), leaves_until, now)?;
        // The root first: a state that names one that is not there would not open.
        files::save_root(dir, &Names::of_new(root.fingerprint()), &root, options.passphrase.as_ref())?;
        Ok(phase)
    })
}

/// Turns a rollover round.
///
/// # Errors
/// [`OpenError`]; nothing has changed then.
pub fn abort_rollover(data_dir: &Path, now: SystemTime) -> Result<Phase, OpenError> {
    change(data_dir, |_, state| Ok(state.phase.abort(unix_seconds(now + NOTICE.min(ttl(state)) + ttl(state)), now)?))
}

/// The operator answers for proxies that nobody knows: publishing waits for acknowledgements alone.
///
/// # Errors
/// [`OpenError`]; nothing has changed then.
pub fn confirm_rollover(data_dir: &Path) -> Result<Phase, OpenError> {
    change(data_dir, |_, state| Ok(state.phase.confirm()?))
}

fn ttl(state: &State) -> Duration {
    Duration::from_secs(state.leaf_ttl)
}

fn change(data_dir: &Path, step: impl FnOnce(&Path, &State) -> Result<Phase, OpenError>) -> Result<Phase, OpenError> {
    let dir = data_dir.join(FOLDER);
    if !dir.is_dir() {
        return Err(OpenError::NoAuthority(data_dir.to_owned()));
    }
    let _lock = store::lock(&dir)?;
    let mut state = State::load(&dir)?.ok_or_else(|| OpenError::NoAuthority(data_dir.to_owned()))?;
    state.phase = step(&dir, &state)?;
    state.save(&dir)?;
    files::remove_others(&dir, &state.phase)?;
    tracing::info!(phase = state.phase.name(), "the rollover of the root has a new phase");
    Ok(state.phase)
}

impl Authority {
    /// Takes over what was written beside it, and the step that is due: whether something changed. The trust bundle has changed with it.
    ///
    /// # Errors
    /// [`OpenError`]: everything goes on as before.
    pub fn advance(&self, observed: &Observed, now: SystemTime) -> Result<bool, OpenError> {
        // Without the lock: most of the time there is nothing to do.
        let changed = State::load(&self.dir)?.as_ref() != Some(&self.read().state);
        let phase = self.phase();
        if !changed && phase.next(&self.facts(observed, now), now).is_none() {
            return Ok(false);
        }
        // Nothing is issued from here to the end. In this order, as when the intermediate is renewed.
        let mut current = self.write();
        let _lock = store::lock(&self.dir)?;
        let mut state = State::load(&self.dir)?.ok_or_else(|| OpenError::NoAuthority(self.dir.clone()))?;
        if state != current.state {
            self.adopt(&mut state);
        } else if let Some(next) = state.phase.next(&self.facts_of(&state.phase, observed, now), now) {
            state.phase = next;
        }
        let loaded = Current::load(&self.dir, state.clone(), &self.options, now)?;
        state.save(&self.dir)?;
        tracing::info!(phase = state.phase.name(), root = %state.phase.signer(), "the rollover of the root goes on");
        *current = loaded;
        let bundle = current.bundle_pem();
        drop(current);
        self.bundle.send_if_modified(|known| {
            let changed = **known != *bundle;
            *known = bundle.into();
            changed
        });
        // What is not removed now is by the next start.
        files::remove_others(&self.dir, &state.phase)?;
        Ok(true)
    }

    /// Leaves were issued since that was written which its writer could not know of.
    fn adopt(&self, state: &mut State) {
        let leaves_until = self.leaves_until.load(Ordering::SeqCst);
        self.unknown_until.fetch_max(leaves_until, Ordering::SeqCst);
        if let Phase::Sign { old_leaves_until, .. } = &mut state.phase {
            *old_leaves_until = leaves_until.max(*old_leaves_until);
        }
    }

    fn facts(&self, observed: &Observed, now: SystemTime) -> Facts {
        self.facts_of(&self.phase(), observed, now)
    }

    fn facts_of(&self, phase: &Phase, observed: &Observed, now: SystemTime) -> Facts {
        let old_tokens_until = match phase {
            Phase::Sign { old, .. } => self.tokens_until(*old, now),
            Phase::Stable { .. } | Phase::Publish { .. } | Phase::Retire { .. } => 0,
        };
        Facts {
            unacknowledged: observed.unacknowledged(now),
            leaves_until: self.leaves_until.load(Ordering::SeqCst),
            unknown_until: self.unknown_until.load(Ordering::SeqCst),
            old_tokens_until,
            fetched_by: observed.fetched_by.map_or(0, unix_seconds),
        }
    }

    fn tokens_until(&self, root: Fingerprint, now: SystemTime) -> u64 {
        let data_dir = self.dir.parent().unwrap_or(&self.dir);
        token_store::pending_until(data_dir, root, now).unwrap_or_else(|error| {
            // Not knowing is waiting: the longest that a token can live.
            tracing::warn!(%error, "the join tokens cannot be read");
            unix_seconds(now + token_store::MAX_TTL)
        })
    }

    /// When the last leaf ends that may be alive.
    #[must_use]
    pub fn leaves_until(&self) -> SystemTime {
        from_unix_seconds(self.leaves_until.load(Ordering::SeqCst))
    }

    #[must_use]
    pub fn rollover_status(&self, observed: &Observed, now: SystemTime) -> RolloverStatus {
        let phase = self.phase();
        let facts = self.facts_of(&phase, observed, now);
        let signer = phase.signer();
        let at = |seconds: u64| utc(from_unix_seconds(seconds));
        let current = self.read();
        let root = |root: &super::current::Root| {
            let fingerprint = Fingerprint::of(&root.certificate);
            RootStatus { fingerprint: fingerprint.to_string(), not_after: utc(root.validity.until), signs: fingerprint == signer }
        };
        RolloverStatus {
            phase: phase.name(),
            since: phase.since().map(at),
            reverting: matches!(phase, Phase::Sign { reverting: true, .. }),
            roots: current.roots.iter().map(root).collect(),
            intermediate_not_after: utc(current.intermediate.validity.until),
            leaves_until: at(facts.leaves_until),
            blockers: phase.blockers(&facts, now).iter().map(ToString::to_string).collect(),
            next_step_at: phase.safe_at(&facts, now).map(at),
            unacknowledged: facts.unacknowledged,
        }
    }
}
