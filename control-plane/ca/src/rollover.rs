//! Replacing the root without a moment in which two peers do not accept each other: a pure state machine. Publish (every proxy learns the
//! new root), sign (leaves come from the new one), retire (the old one leaves the bundle). What is true of the mesh is told to it; what
//! follows is done by the authority.
//!
//! The invariant, which its tests look for violations of: the root of every leaf that is alive is in the bundle of every proxy whose own
//! leaf is alive.

mod observed;

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub use self::observed::{Observed, ObservedProxy};
use crate::fingerprint::Fingerprint;
use crate::time::{from_unix_seconds, unix_seconds, utc};

/// Where a rollover stands. This is what is kept on disk; times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Phase {
    /// One root.
    Stable { root: Fingerprint },
    /// The bundle has both roots; the old one signs.
    Publish {
        old: Fingerprint,
        new: Fingerprint,
        since: u64,
        /// When the last leaf ends that was alive as publishing began: until then a proxy may live that nobody has told.
        ready_at: u64,
    },
    /// The bundle has both roots; the new one signs.
    Sign {
        old: Fingerprint,
        new: Fingerprint,
        since: u64,
        /// When the last leaf of the old root ends.
        old_leaves_until: u64,
        /// The rollover was aborted after the new root had signed: it is on its way back.
        #[serde(default)]
        reverting: bool,
    },
    /// The bundle has the new root alone; some proxies may still hold both.
    Retire { old: Fingerprint, new: Fingerprint, since: u64 },
}

/// What is true of the mesh outside of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Proxies and identities that may be alive and have not acknowledged the bundle.
    pub unacknowledged: Vec<String>,
    /// When the last leaf of the root that signs ends.
    pub leaves_until: u64,
    /// Until then a leaf may be alive that was issued before this process began to watch.
    pub unknown_until: u64,
    /// When the last join token ends that names the old root.
    pub old_tokens_until: u64,
    /// When others will have learned of the bundle of now who look for it themselves; zero when nobody does.
    pub fetched_by: u64,
}

/// Why the next step is not taken yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocker {
    #[error("{0} has not acknowledged the trust bundle")]
    Unacknowledged(String),
    #[error("proxies may live that have not been told; their certificates end by {}", utc(from_unix_seconds(*.0)))]
    Untold(u64),
    #[error("other trust domains may not have fetched the bundle before {}", utc(from_unix_seconds(*.0)))]
    Unfetched(u64),
    #[error("certificates of the old root live until {}", utc(from_unix_seconds(*.0)))]
    Leaves(u64),
    #[error("join tokens that name the old root can be used until {}", utc(from_unix_seconds(*.0)))]
    Tokens(u64),
}

/// Why an operator's wish is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RolloverError {
    #[error("a rollover is under way (phase {0}); wait for its end or abort it")]
    UnderWay(&'static str),
    #[error("no rollover is under way")]
    None,
    #[error("the old root has left the trust bundle; what is left of this rollover cannot be aborted: rotate again")]
    TooLate,
    #[error("the root {root} is in use: {why}")]
    InUse { root: Fingerprint, why: Blocker },
    #[error("the root {0} is in use already")]
    SameRoot(Fingerprint),
}

impl Phase {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stable { .. } => "stable",
            Self::Publish { .. } => "publish",
            Self::Sign { .. } => "sign",
            Self::Retire { .. } => "retire",
        }
    }

    /// When it began: seconds since 1970.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        match self {
            Self::Stable { .. } => None,
            Self::Publish { since, .. } | Self::Sign { since, .. } | Self::Retire { since, .. } => Some(*since),
        }
    }

    /// The root that leaves are signed under.
    #[must_use]
    pub fn signer(&self) -> Fingerprint {
        match self {
            Self::Stable { root } => *root,
            Self::Publish { old, .. } => *old,
            Self::Sign { new, .. } | Self::Retire { new, .. } => *new,
        }
    }

    /// Every root that a peer's chain may end in, the one that signs first.
    #[must_use]
    pub fn bundle(&self) -> Vec<Fingerprint> {
        match self {
            Self::Stable { root } => vec![*root],
            Self::Publish { old, new, .. } => vec![*old, *new],
            Self::Sign { old, new, .. } => vec![*new, *old],
            Self::Retire { new, .. } => vec![*new],
        }
    }

    /// Every root whose files are kept.
    #[must_use]
    pub fn kept(&self) -> Vec<Fingerprint> {
        match self {
            Self::Retire { old, new, .. } => vec![*new, *old],
            Self::Stable { .. } | Self::Publish { .. } | Self::Sign { .. } => self.bundle(),
        }
    }

    /// The root that is being replaced, and the one that replaces it.
    #[must_use]
    pub fn roles(&self) -> Option<(Fingerprint, Fingerprint)> {
        match self {
            Self::Stable { .. } => None,
            Self::Publish { old, new, .. } | Self::Sign { old, new, .. } | Self::Retire { old, new, .. } => Some((*old, *new)),
        }
    }

    /// # Errors
    /// [`RolloverError::UnderWay`] and [`RolloverError::SameRoot`].
    pub fn start(&self, new: Fingerprint, leaves_until: u64, now: SystemTime) -> Result<Self, RolloverError> {
        match self {
            Self::Stable { root } if *root == new => Err(RolloverError::SameRoot(new)),
            Self::Stable { root } => Ok(Self::Publish { old: *root, new, since: unix_seconds(now), ready_at: leaves_until }),
            Self::Publish { .. } | Self::Sign { .. } | Self::Retire { .. } => Err(RolloverError::UnderWay(self.name())),
        }
    }

    /// Before the new root has signed anything it is dropped; after that it must be retired as any other.
    ///
    /// # Errors
    /// [`RolloverError::None`] and [`RolloverError::TooLate`].
    pub fn abort(&self, leaves_until: u64, now: SystemTime) -> Result<Self, RolloverError> {
        match self {
            Self::Stable { .. } => Err(RolloverError::None),
            Self::Publish { old, .. } => Ok(Self::Stable { root: *old }),
            Self::Sign { old, new, reverting, .. } => {
                Ok(Self::Sign { old: *new, new: *old, since: unix_seconds(now), old_leaves_until: leaves_until, reverting: !reverting })
            }
            Self::Retire { .. } => Err(RolloverError::TooLate),
        }
    }

    /// The operator says that no proxy lives that is not connected: publishing waits for acknowledgements and for those who fetch the bundle.
    ///
    /// # Errors
    /// [`RolloverError::None`] outside of publishing.
    pub fn confirm(&self) -> Result<Self, RolloverError> {
        match self {
            Self::Publish { old, new, since, .. } => Ok(Self::Publish { old: *old, new: *new, since: *since, ready_at: 0 }),
            Self::Stable { .. } | Self::Sign { .. } | Self::Retire { .. } => Err(RolloverError::None),
        }
    }

    /// What stands before the next step at `now`: nothing, and it may be taken.
    #[must_use]
    pub fn blockers(&self, facts: &Facts, now: SystemTime) -> Vec<Blocker> {
        let now = unix_seconds(now);
        let mut blockers: Vec<Blocker> = facts.unacknowledged.iter().cloned().map(Blocker::Unacknowledged).collect();
        match self {
            Self::Stable { .. } => blockers.clear(),
            Self::Publish { ready_at, .. } => {
                if now <= facts.fetched_by {
                    blockers.push(Blocker::Unfetched(facts.fetched_by));
                }
                // Confirmed is zero: the operator answers for those that this process does not know as well.
                let until = if *ready_at == 0 { 0 } else { facts.unknown_until.max(*ready_at) };
                if now <= until {
                    blockers.push(Blocker::Untold(until));
                }
            }
            Self::Sign { old_leaves_until, .. } => {
                if now <= *old_leaves_until {
                    blockers.push(Blocker::Leaves(*old_leaves_until));
                }
                if now < facts.old_tokens_until {
                    blockers.push(Blocker::Tokens(facts.old_tokens_until));
                }
            }
            Self::Retire { .. } => {}
        }
        blockers
    }

    /// The step that is due at `now`, when there is one.
    #[must_use]
    pub fn next(&self, facts: &Facts, now: SystemTime) -> Option<Self> {
        if !self.blockers(facts, now).is_empty() {
            return None;
        }
        let since = unix_seconds(now);
        match self {
            Self::Stable { .. } => None,
            Self::Publish { old, new, .. } => {
                Some(Self::Sign { old: *old, new: *new, since, old_leaves_until: facts.leaves_until, reverting: false })
            }
            Self::Sign { old, new, .. } => Some(Self::Retire { old: *old, new: *new, since }),
            Self::Retire { new, .. } => Some(Self::Stable { root: *new }),
        }
    }

    /// Retires `root` at once, when nothing stands before that.
    ///
    /// # Errors
    /// [`RolloverError::InUse`] with the first thing that does.
    pub fn retire(&self, root: Fingerprint, facts: &Facts, now: SystemTime) -> Result<Self, RolloverError> {
        match self {
            Self::Sign { old, .. } if *old == root => match self.blockers(facts, now).into_iter().next() {
                Some(why) => Err(RolloverError::InUse { root, why }),
                None => self.next(facts, now).ok_or(RolloverError::None),
            },
            Self::Stable { root: used } | Self::Publish { old: used, .. } | Self::Sign { new: used, .. } if *used == root => {
                Err(RolloverError::InUse { root, why: Blocker::Leaves(facts.leaves_until) })
            }
            Self::Stable { .. } | Self::Publish { .. } | Self::Sign { .. } | Self::Retire { .. } => Err(RolloverError::None),
        }
    }

    /// When the next step is safe, as far as time alone decides; `None` when something else must happen first, or nothing waits.
    #[must_use]
    pub fn safe_at(&self, facts: &Facts, now: SystemTime) -> Option<u64> {
        let mut latest = unix_seconds(now);
        for blocker in self.blockers(facts, now) {
            match blocker {
                Blocker::Unacknowledged(_) => return None,
                Blocker::Untold(until) | Blocker::Unfetched(until) | Blocker::Leaves(until) | Blocker::Tokens(until) => {
                    latest = latest.max(until.saturating_add(1));
                }
            }
        }
        self.roles().map(|_| latest)
    }
}

#[cfg(test)]
mod tests;
