//! What of a connection a policy looks at: a proxy reads nothing else, for every read costs.

use std::collections::BTreeSet;

use crate::check::Test;

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

/// A set of facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts(BTreeSet<Fact>);

impl Facts {
    pub(crate) fn of<'a>(tests: impl Iterator<Item = &'a Test>) -> Self {
        Self(tests.filter_map(fact).collect())
    }

    pub(crate) fn add(&mut self, fact: Fact) {
        self.0.insert(fact);
    }

    pub(crate) fn contains(&self, fact: Fact) -> bool {
        self.0.contains(&fact)
    }
}

fn fact(test: &Test) -> Option<Fact> {
    match test {
        Test::Principals(_) | Test::Namespaces(_) | Test::ServiceAccounts(_) | Test::TrustDomains(_) => Some(Fact::Peer),
        Test::DirectIp(_) => Some(Fact::DirectIp),
        Test::RemoteIp(_) => Some(Fact::RemoteIp),
        Test::DestinationIp(_) | Test::DestinationPort(_) => Some(Fact::Destination),
        Test::Sni(_) => Some(Fact::Sni),
        Test::RequestPrincipals(_) | Test::Hosts(_) | Test::Methods(_) | Test::Paths(_) | Test::Header(..) | Test::Claim(..) => None,
    }
}
