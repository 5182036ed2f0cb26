//! Join tokens at rest: one small file for each, named by the hash of its secret. Renaming a file is atomic, so of any number of
//! redeemers, in any number of processes, exactly one succeeds.

#[cfg(test)]
mod crash_tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use meshwright_durable as durable;
use meshwright_identity::{InvalidSpiffeId, SpiffeId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::authority::{self, IssueError, OpenError};
use crate::fingerprint::Fingerprint;
use crate::join_token::JoinToken;
use crate::store::{self, StoreError, io_error};
use crate::time::{from_unix_seconds, unix_seconds, utc};

const FOLDER: &str = "join-tokens";
const PENDING: &str = "pending";
const USED: &str = "used";
/// For this long after its end a token is remembered, so that its bearer is told what is wrong with it.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_TOKENS: usize = 10_000;
/// A file that was being written this long ago will never be finished.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// The join tokens of one data directory.
#[derive(Debug, Clone)]
pub struct TokenStore {
    dir: PathBuf,
}

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateTokenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Authority(#[from] OpenError),
    #[error(transparent)]
    Identity(#[from] InvalidSpiffeId),
    #[error(transparent)]
    NotIssued(#[from] IssueError),
    #[error("a join token lives for 1 second to 24 hours")]
    Ttl,
    #[error("there are {0} join tokens already; wait for some to expire")]
    TooMany(usize),
}

/// Why a token was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    #[error("the join token is not known here")]
    Unknown,
    #[error("the join token was used before")]
    AlreadyUsed,
    #[error("the join token expired at {0}")]
    Expired(String),
    #[error("the join token's record cannot be read")]
    Corrupt,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    identity: SpiffeId,
    /// Seconds since 1970: the first at which it is refused.
    expires: u64,
    /// The root that the token names; tokens of before rollovers were possible do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<Fingerprint>,
}

/// Makes a join token for a service account on the data directory of a control plane, which need not run.
///
/// # Errors
/// [`CreateTokenError`]: no authority there yet, an identity that is not given out, a life out of range, or a file that cannot be written.
pub fn create_join_token(
    data_dir: &Path,
    namespace: &str,
    service_account: &str,
    ttl: Duration,
    now: SystemTime,
) -> Result<JoinToken, CreateTokenError> {
    let (trust_domain, root) = authority::describe(data_dir)?;
    let identity = SpiffeId::for_service_account(&trust_domain, namespace, service_account)?;
    TokenStore::open(data_dir)?.create(&identity, ttl, now, root)
}

impl TokenStore {
    /// How long a token lives when nobody says otherwise.
    pub const DEFAULT_TTL: Duration = Duration::from_secs(600);

    /// # Errors
    /// [`StoreError`] when the directory cannot be made or is open to others.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        store::data_dir(data_dir)?;
        let dir = data_dir.join(FOLDER);
        store::private_dir(&dir)?;
        Ok(Self { dir })
    }

    /// A new token that makes its bearer `identity`, once, until `ttl` from `now`.
    ///
    /// # Errors
    /// [`CreateTokenError`].
    pub fn create(&self, identity: &SpiffeId, ttl: Duration, now: SystemTime, root: Fingerprint) -> Result<JoinToken, CreateTokenError> {
        if ttl < Duration::from_secs(1) || ttl > MAX_TTL {
            return Err(CreateTokenError::Ttl);
        }
        authority::check_path(identity)?;
        let kept = self.purge(now)?;
        if kept >= MAX_TOKENS {
            return Err(CreateTokenError::TooMany(kept));
        }
        let secret = Zeroizing::new(store::random::<32>()?);
        let token = JoinToken::new(&secret, root);
        let record = Record { version: 1, identity: identity.clone(), expires: unix_seconds(now + ttl), root: Some(root) };
        let content = serde_json::to_vec(&record).map_err(|error| io_error(&self.dir, "written")(io::Error::other(error)))?;
        store::write(&self.dir, &file_name(&token.id(), PENDING), &content)?;
        tracing::info!(%identity, until = %utc(now + ttl), "made a join token");
        Ok(token)
    }

    /// Whose token it is, without using it up; refused as [`TokenStore::redeem`] would.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub fn identity(&self, token: &JoinToken, now: SystemTime) -> Result<SpiffeId, RedeemError> {
        match read_record(&self.dir.join(file_name(&token.id(), PENDING)))? {
            Some(record) => check_expiry(&record, now).map(|()| record.identity),
            None if self.dir.join(file_name(&token.id(), USED)).exists() => Err(RedeemError::AlreadyUsed),
            None => Err(RedeemError::Unknown),
        }
    }

    /// Consumes the token: whoever calls first gets its identity, everyone after is refused, also after a crash in between.
    ///
    /// # Errors
    /// [`RedeemError`].
    pub fn redeem(&self, token: &JoinToken, now: SystemTime) -> Result<SpiffeId, RedeemError> {
        let pending = self.dir.join(file_name(&token.id(), PENDING));
        let used = self.dir.join(file_name(&token.id(), USED));
        if let Some(record) = read_record(&pending)? {
            check_expiry(&record, now)?;
        }
        match durable::rename(&pending, &used) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && used.exists() => return Err(RedeemError::AlreadyUsed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(RedeemError::Unknown),
            Err(error) => return Err(io_error(&pending, "consumed")(error).into()),
        }
        let record = read_record(&used)?.ok_or(RedeemError::Unknown)?;
        check_expiry(&record, now)?;
        Ok(record.identity)
    }

    /// Removes tokens that ended long ago and files that were never finished; how many tokens are left.
    ///
    /// # Errors
    /// [`StoreError`] when the directory cannot be read.
    pub fn purge(&self, now: SystemTime) -> Result<usize, StoreError> {
        let mut kept = 0;
        for entry in fs::read_dir(&self.dir).map_err(io_error(&self.dir, "read"))? {
            let path = entry.map_err(io_error(&self.dir, "read"))?.path();
            if !outlived(&path, now) {
                kept += 1;
                continue;
            }
            store::remove(&path)?;
        }
        Ok(kept)
    }
}

/// When the last token ends that can still be used and names `root` (or does not say): seconds since 1970, 0 when there is none.
pub(crate) fn pending_until(data_dir: &Path, root: Fingerprint, now: SystemTime) -> Result<u64, StoreError> {
    let dir = data_dir.join(FOLDER);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(io_error(&dir, "read"))?,
    };
    let mut latest = 0;
    for entry in entries {
        let path = entry.map_err(io_error(&dir, "read"))?.path();
        if path.extension().is_none_or(|extension| extension != PENDING) {
            continue;
        }
        // One that cannot be read cannot be redeemed either.
        if let Ok(Some(record)) = read_record(&path)
            && record.root.is_none_or(|named| named == root)
            && record.expires > unix_seconds(now)
        {
            latest = latest.max(record.expires);
        }
    }
    Ok(latest)
}

fn check_expiry(record: &Record, now: SystemTime) -> Result<(), RedeemError> {
    let expires = from_unix_seconds(record.expires);
    if now >= expires { Err(RedeemError::Expired(utc(expires))) } else { Ok(()) }
}

/// A record that cannot be read is kept, for somebody to look at.
fn outlived(path: &Path, now: SystemTime) -> bool {
    if durable::is_unfinished(path) {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        return modified.is_ok_and(|modified| now > modified + ABANDONED);
    }
    matches!(read_record(path), Ok(Some(record)) if now > from_unix_seconds(record.expires) + REMEMBERED)
}

fn read_record(path: &Path) -> Result<Option<Record>, RedeemError> {
    let Some(content) = store::read(path)? else { return Ok(None) };
    let record: Record = serde_json::from_slice(&content).map_err(|_| RedeemError::Corrupt)?;
    if record.version == 1 { Ok(Some(record)) } else { Err(RedeemError::Corrupt) }
}

fn file_name(id: &str, state: &str) -> String {
    format!("{id}.{state}")
}
