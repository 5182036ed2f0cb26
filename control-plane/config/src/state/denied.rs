//! Who is denied in the mesh, and which entries of the lists name nobody.

use std::collections::BTreeSet;

use meshwright_identity::SpiffeId;
use meshwright_policy::wire::DeniedPeers;

use super::State;
use crate::deny_list::{Denied, DenyEntry, IdentityDenyList};
use crate::key::DocumentKey;

/// An entry, and the list that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial<'a> {
    pub list: &'a DocumentKey,
    pub entry: &'a DenyEntry,
}

impl State {
    #[must_use]
    pub fn deny_lists(&self) -> &[IdentityDenyList] {
        &self.deny_lists
    }

    /// Every entry, whether or not its time is over.
    pub fn denials(&self) -> impl Iterator<Item = Denial<'_>> {
        self.deny_lists.iter().flat_map(|list| list.entries().iter().map(|entry| Denial { list: list.key(), entry }))
    }

    /// This state without the entries whose time is over at `now`, in seconds since the epoch; none where there are none such. Whoever
    /// asks the result never has to know the time.
    #[must_use]
    pub fn without_ended(&self, now: u64) -> Option<Self> {
        if self.denials().all(|denial| denial.entry.holds_at(now)) {
            return None;
        }
        let mut state = self.clone();
        for list in state.deny_lists.iter_mut() {
            list.entries.retain(|entry| entry.holds_at(now));
        }
        Some(state)
    }

    /// When the next entry ends after `now`, both in seconds since the epoch.
    #[must_use]
    pub fn next_end_of_denial(&self, now: u64) -> Option<u64> {
        self.denials().filter_map(|denial| denial.entry.ends()).filter(|end| *end > now).min()
    }

    /// The entry that denies a peer with this identity, or with a certificate of this serial (hexadecimal digits).
    #[must_use]
    pub fn denial_of(&self, identity: Option<&SpiffeId>, serial: Option<&str>) -> Option<Denial<'_>> {
        if self.deny_lists.is_empty() {
            return None;
        }
        let serial = serial.map(|serial| serial.trim_start_matches('0').to_ascii_lowercase());
        let by_serial = serial.into_iter();
        let by_identity = identity.into_iter().flat_map(|id| self.names_of(id));
        by_identity.chain(by_serial).find_map(|key| {
            let (list, entry) = self.place_of_denial(&key)?;
            let list = self.deny_lists.get(list)?;
            Some(Denial { list: list.key(), entry: list.entries().get(entry)? })
        })
    }

    /// The lists as the policy filter has them.
    #[must_use]
    pub fn denied_peers(&self) -> DeniedPeers {
        let (mut identities, mut serials) = (BTreeSet::new(), BTreeSet::new());
        for Denial { entry, .. } in self.denials() {
            match entry.denied() {
                denied @ (Denied::Identity(_) | Denied::Namespace(_)) => _ = identities.insert(denied.to_string()),
                Denied::Serial(serial) => _ = serials.insert(serial.clone()),
            }
        }
        DeniedPeers { identities: identities.into_iter().collect(), serials: serials.into_iter().collect() }
    }

    /// For each entry that names nobody of this mesh, a line: a typing error denies nobody.
    #[must_use]
    pub fn idle_denials(&self) -> Vec<String> {
        let workloads = || self.workloads.iter().map(|workload| (workload.namespace(), workload.service_account()));
        let idle = |denied: &Denied| match denied {
            Denied::Serial(_) => None,
            Denied::Identity(id) | Denied::Namespace(id) if !self.is_own_domain(id.trust_domain().as_str()) => {
                Some(format!("`{}` is no trust domain of this mesh", id.trust_domain()))
            }
            Denied::Identity(id) => {
                let known = id.service_account().is_some_and(|account| workloads().any(|workload| workload == account));
                (!known).then(|| "no workload has this identity".to_owned())
            }
            Denied::Namespace(id) => {
                let name = id.path().trim_start_matches("/ns/");
                let known = workloads().any(|(namespace, _)| namespace == name);
                (!known).then(|| format!("no workload is in the namespace `{name}`"))
            }
        };
        let line = |denial: Denial<'_>| {
            let denied = denial.entry.denied();
            Some(format!("{}: {denied} names nobody: {}", denial.list, idle(denied)?))
        };
        self.denials().filter_map(line).collect()
    }

    fn is_own_domain(&self, domain: &str) -> bool {
        self.mesh.as_ref().is_some_and(|mesh| {
            mesh.trust_domain().as_str() == domain || mesh.trust_domain_aliases().iter().any(|alias| alias.as_str() == domain)
        })
    }

    /// Under which an identity may be listed: itself and its namespace, in each trust domain that counts as the same.
    fn names_of(&self, id: &SpiffeId) -> Vec<String> {
        let own = id.trust_domain().as_str();
        let mut domains = vec![own];
        if let Some(mesh) = self.mesh.as_ref().filter(|_| self.is_own_domain(own)) {
            domains.extend(std::iter::once(mesh.trust_domain()).chain(mesh.trust_domain_aliases()).map(|domain| domain.as_str()));
        }
        let namespace = id.path().strip_prefix("/ns/").and_then(|rest| rest.split_once('/')).map(|(namespace, _)| namespace);
        let mut names = Vec::new();
        for domain in domains {
            names.push(format!("spiffe://{domain}{}", id.path()));
            names.extend(namespace.map(|namespace| format!("spiffe://{domain}/ns/{namespace}/*")));
        }
        names
    }
}

/// Under what an entry is found.
pub(super) fn key_of(denied: &Denied) -> String {
    match denied {
        Denied::Identity(_) | Denied::Namespace(_) => denied.to_string(),
        Denied::Serial(serial) => serial.clone(),
    }
}
