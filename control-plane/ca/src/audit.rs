//! Who got a certificate and who was refused: one JSON line each, in a file of the data directory. No token, key or certificate is in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use meshwright_identity::SpiffeId;
use serde::Serialize;

use crate::service::Refusal;
use crate::time::utc;

/// A new file is begun at this size, and one old one is kept.
const LIMIT: u64 = 64 * 1024 * 1024;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRecord {
    pub time: String,
    /// `issued` or `refused`.
    pub event: &'static str,
    /// Whose certificate it is; absent when it was not established who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// By what they showed who they are: `join-token`, `jwt` or `certificate`; `discovery` of who may not have a discovery stream.
    pub proof: &'static str,
    /// Of a join token the first half of its hash, of a JWT its issuer: never what could be used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// Of a refusal, as in the protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl AuditRecord {
    /// Of which nothing more is known yet.
    pub(crate) fn refusal(proof: &'static str, now: SystemTime) -> Self {
        Self {
            time: utc(now),
            event: "refused",
            identity: None,
            proof,
            proof_id: None,
            serial: None,
            not_after: None,
            ttl_seconds: None,
            reason: None,
            message: None,
        }
    }
}

/// `audit.log` in the data directory.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    file: Mutex<(File, u64)>,
}

impl AuditLog {
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("audit.log");
        let file = append(&path)?;
        Ok(Self { path, file: Mutex::new(file) })
    }

    /// Somebody was refused elsewhere, by this identity and with the certificate of this serial.
    pub fn refused(
        &self,
        proof: &'static str,
        identity: &SpiffeId,
        serial: Option<&str>,
        refusal: Refusal,
        message: &str,
        now: SystemTime,
    ) {
        self.record(&AuditRecord {
            identity: Some(identity.to_string()),
            serial: serial.map(str::to_owned),
            reason: Some(refusal.reason()),
            message: Some(message.to_owned()),
            ..AuditRecord::refusal(proof, now)
        });
    }

    /// A line that cannot be written is an error of the log, not of the request.
    pub(crate) fn record(&self, record: &AuditRecord) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.write(&mut file, record) {
            tracing::error!(%error, path = %self.path.display(), "an audit record is lost");
        }
    }

    fn write(&self, file: &mut (File, u64), record: &AuditRecord) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        if file.1 > LIMIT {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            *file = append(&self.path)?;
        }
        // In one piece: a reader never sees half a line.
        file.0.write_all(&line)?;
        file.1 = file.1.saturating_add(u64::try_from(line.len()).unwrap_or(0));
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}
