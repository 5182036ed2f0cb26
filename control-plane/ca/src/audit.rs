//! Who got a certificate and who was refused: one JSON line each, in a file of the data directory. No token, key or certificate is in it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use meshwright_durable::Journal;
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
    /// By what they showed who they are: `join-token`, `jwt` or `certificate`; `discovery` and `admin` of who may not have a
    /// discovery stream, and not ask the admin API.
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
    journal: Mutex<Journal>,
}

impl AuditLog {
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("audit.log");
        let journal = Mutex::new(Journal::open(&path)?);
        Ok(Self { path, journal })
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
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.write(&mut journal, record) {
            tracing::error!(%error, path = %self.path.display(), "an audit record is lost");
        }
    }

    fn write(&self, journal: &mut Journal, record: &AuditRecord) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        if journal.size() > LIMIT {
            journal.begin_anew(&self.path.with_extension("log.1"))?;
        }
        // Not synced, which would cost more than the signature: a kill loses nothing, a loss of power the last seconds.
        journal.append(&line)
    }
}

#[cfg(test)]
mod tests {
    use meshwright_durable::faults::{self, Fault};

    use super::*;

    fn record(identity: &str) -> AuditRecord {
        AuditRecord {
            time: "2026-01-31T12:00:00Z".to_owned(),
            event: "issued",
            identity: Some(identity.to_owned()),
            proof: "certificate",
            proof_id: None,
            serial: None,
            not_after: None,
            ttl_seconds: None,
            reason: None,
            message: None,
        }
    }

    /// Every line is whole.
    fn identities(folder: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(folder.join("audit.log")).unwrap();
        let identity = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["identity"].as_str().unwrap().to_owned();
        text.lines().map(identity).collect()
    }

    #[test]
    fn killed_or_full_at_every_instant_it_has_whole_lines_and_goes_on() {
        for fault in [Fault::Killed, Fault::Full] {
            let steps = faults::everywhere(|steps| {
                let folder = tempfile::tempdir().unwrap();
                let log = AuditLog::open(folder.path()).unwrap();
                log.record(&record("one"));
                let ((), struck) = faults::with(steps, fault, || log.record(&record("two")));
                if fault == Fault::Full {
                    log.record(&record("with room again"));
                }
                drop(log);
                AuditLog::open(folder.path()).unwrap().record(&record("three"));
                let mut found = identities(folder.path());
                found.retain(|identity| identity != "with room again");
                let expected: &[&str] = if struck { &["one", "three"] } else { &["one", "two", "three"] };
                assert_eq!(found, expected, "{fault:?} {steps}");
                struck
            });
            assert_eq!(steps, 2, "a line's two halves");
        }
    }
}
