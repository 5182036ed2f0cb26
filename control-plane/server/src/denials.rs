//! Peers that the mesh denies, where they come to the control plane: the authority's desk, the discovery streams and the admin API ask here,
//! each refusal is recorded, and `status` shows what there is and who came nevertheless.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use meshwright_ca::{AuditLog, DenyList, PeerCertificates, Refusal};
use meshwright_config::{Denial, State};
use meshwright_identity::SpiffeId;
use serde_json::{Value, json};
use tokio::sync::watch;

/// In the audit log: who may not have a discovery stream.
pub(crate) const DISCOVERY: &str = "discovery";
/// And who may not ask the admin API.
pub(crate) const ADMIN: &str = "admin";

/// Who is denied now.
pub(crate) struct Denials {
    /// Without the entries whose time is over.
    in_force: watch::Receiver<Arc<State>>,
    audit: Arc<AuditLog>,
    /// By list and entry, how often somebody was refused for it, and when last.
    refused: Mutex<BTreeMap<String, (u64, SystemTime)>>,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) identity: SpiffeId,
    pub(crate) serial: Option<String>,
}

impl Peer {
    pub(crate) fn new(identity: SpiffeId, certificates: Option<&PeerCertificates>) -> Self {
        Self { identity, serial: certificates.and_then(PeerCertificates::serial) }
    }
}

impl Denials {
    pub(crate) fn new(in_force: watch::Receiver<Arc<State>>, audit: Arc<AuditLog>) -> Self {
        Self { in_force, audit, refused: Mutex::default() }
    }

    /// Why whoever came for this ([`DISCOVERY`], [`ADMIN`]) is not served; recorded.
    pub(crate) fn refuse(&self, at: &'static str, peer: &Peer) -> Option<String> {
        let message = self.denies(&peer.identity, peer.serial.as_deref())?;
        self.audit.refused(at, &peer.identity, peer.serial.as_deref(), Refusal::PeerDenied, &message, SystemTime::now());
        Some(message)
    }

    /// Waits until the peer of an open stream is denied: why. Never, when nobody can say so any more.
    pub(crate) async fn denied(&self, peer: &Peer) -> String {
        let mut in_force = self.in_force.clone();
        loop {
            in_force.mark_unchanged();
            if let Some(message) = self.refuse(DISCOVERY, peer) {
                return message;
            }
            if in_force.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// For `status`: the entries that hold, and who was refused for them.
    pub(crate) fn status(&self) -> Vec<Value> {
        let state = Arc::clone(&self.in_force.borrow());
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |denial: Denial<'_>| {
            let (count, last) = refused.get(&name(&denial)).copied().unzip();
            json!({
                "denied": denial.entry.denied().to_string(),
                "list": format!("{}/{}", denial.list.namespace(), denial.list.name()),
                "reason": denial.entry.reason(),
                "until": denial.entry.until_text(),
                "refused_here": count.unwrap_or_default(),
                "last_refused_here": last.map(meshwright_ca::utc),
            })
        };
        state.denials().map(entry).collect()
    }
}

impl DenyList for Denials {
    fn denies(&self, identity: &SpiffeId, serial: Option<&str>) -> Option<String> {
        let state = Arc::clone(&self.in_force.borrow());
        let denial = state.denial_of(Some(identity), serial)?;
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, last) = refused.entry(name(&denial)).or_insert((0, SystemTime::UNIX_EPOCH));
        (*count, *last) = (count.saturating_add(1), SystemTime::now());
        let reason = denial.entry.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        Some(format!("`{identity}` is denied by {} ({}){reason}", denial.list, denial.entry.denied()))
    }
}

fn name(denial: &Denial<'_>) -> String {
    format!("{} {}", denial.list, denial.entry.denied())
}

#[cfg(test)]
mod tests {
    use meshwright_config::parse_file;

    use super::*;

    fn state(lists: &str) -> Arc<State> {
        let mesh = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: m}\nspec: {trustDomain: shop.test}\n";
        let documents = parse_file("a.yaml", &format!("{mesh}{lists}")).into_iter().map(Result::unwrap).collect();
        let (state, errors) = State::assemble(documents);
        assert_eq!(errors, []);
        Arc::new(state)
    }

    fn list(entries: &str) -> Arc<State> {
        state(&format!(
            "---\napiVersion: meshwright.dev/v1alpha1\nkind: IdentityDenyList\nmetadata: {{name: d}}\nspec: {{entries: [{entries}]}}\n"
        ))
    }

    fn peer(account: &str) -> Peer {
        let identity = SpiffeId::parse(&format!("spiffe://shop.test/ns/shop/sa/{account}")).unwrap();
        Peer { identity, serial: Some("0a".to_owned()) }
    }

    #[tokio::test]
    async fn an_open_stream_ends_when_its_peer_is_denied_and_no_other() {
        let data = tempfile::tempdir().unwrap();
        let (sender, receiver) = watch::channel(state(""));
        let denials = Denials::new(receiver, Arc::new(AuditLog::open(data.path()).unwrap()));
        assert_eq!(denials.refuse(DISCOVERY, &peer("web")), None);
        let (web, cart) = (peer("web"), peer("cart"));
        let (mut web, mut cart) = (std::pin::pin!(denials.denied(&web)), std::pin::pin!(denials.denied(&cart)));
        let edit = async {
            tokio::task::yield_now().await;
            sender.send_replace(list("{serial: \"0B\"}"));
            tokio::task::yield_now().await;
            sender.send_replace(list("{spiffeId: spiffe://shop.test/ns/shop/sa/web, reason: leaked}"));
            std::future::pending::<String>().await
        };
        let ended = tokio::select! {
            message = &mut web => message,
            message = &mut cart => message,
            message = edit => message,
        };
        let expected =
            "`spiffe://shop.test/ns/shop/sa/web` is denied by IdentityDenyList default/d (spiffe://shop.test/ns/shop/sa/web): leaked";
        assert_eq!(ended, expected);
        assert_eq!(denials.status()[0]["refused_here"], 1);
        let audit = std::fs::read_to_string(data.path().join("audit.log")).unwrap();
        assert!(audit.contains(r#""reason":"peer-denied""#) && audit.lines().count() == 1, "{audit}");
    }
}
