//! What of a connection a policy looks at: a proxy reads nothing else, for every read costs.

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;

use crate::check::Test;
use crate::metadata::MetadataKey;

/// One thing that is known of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// Who is at the other end.
    Peer,
    /// Who opened the connection.
    DirectIp,
    /// Who sent the request.
    RemoteIp,
    /// The workload's own address.
    Destination,
    /// The name that the client asked for in TLS.
    Sni,
}

impl Fact {
    const fn bit(self) -> u8 {
        match self {
            Self::Peer => 1,
            Self::DirectIp => 1 << 1,
            Self::RemoteIp => 1 << 2,
            Self::Destination => 1 << 3,
            Self::Sni => 1 << 4,
        }
    }
}

/// A set of facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// One bit for each.
    facts: u8,
    metadata: BTreeSet<MetadataKey>,
    /// In lower case.
    headers: FxHashSet<String>,
}

impl Facts {
    /// None is of the connection, or of other filters' metadata.
    pub(crate) fn are_of_requests(&self) -> bool {
        self.facts == 0 && self.metadata.is_empty()
    }

    #[inline(never)]
    pub(crate) fn of<'a>(tests: impl Iterator<Item = &'a Test>) -> Self {
        let mut facts = Self::default();
        tests.for_each(|test| facts.add_test(test));
        facts
    }

    #[inline(never)]
    fn add_test(&mut self, test: &Test) {
        if let Some(fact) = fact(test) {
            self.add(fact);
        }
        if let Test::Metadata(key, _) = test {
            self.metadata.insert(key.clone());
        } else if let Test::Header(name, ..) = test
            && !self.has_header(name)
        {
            self.headers.insert(name.to_ascii_lowercase());
        }
    }

    pub(crate) fn add(&mut self, fact: Fact) {
        self.facts |= fact.bit();
    }

    pub(crate) fn contains(&self, fact: Fact) -> bool {
        self.facts & fact.bit() != 0
    }

    /// Whether any test names it.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.contains(name)
    }

    pub(crate) fn metadata(&self) -> &BTreeSet<MetadataKey> {
        &self.metadata
    }
}

fn fact(test: &Test) -> Option<Fact> {
    match test {
        Test::Principals(_) | Test::Namespaces(_) | Test::ServiceAccounts(_) | Test::TrustDomains(_) => Some(Fact::Peer),
        Test::DirectIp(_) => Some(Fact::DirectIp),
        Test::RemoteIp(_) => Some(Fact::RemoteIp),
        Test::DestinationIp(_) | Test::DestinationPort(_) => Some(Fact::Destination),
        Test::Sni(_) => Some(Fact::Sni),
        Test::RequestPrincipals(_)
        | Test::Hosts(_)
        | Test::Methods(_)
        | Test::Paths(_)
        | Test::Header(..)
        | Test::Claim(..)
        | Test::Metadata(..) => None,
    }
}
