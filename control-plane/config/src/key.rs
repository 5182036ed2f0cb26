//! What a document is called, and where it was written.

use std::fmt;
use std::sync::Arc;

use crate::record::words;

words! {
    /// The kinds of documents that are understood.
    Kind {
        Mesh = "Mesh",
        IdentityDenyList = "IdentityDenyList",
        AuthorizationPolicy = "AuthorizationPolicy",
        RequestAuthentication = "RequestAuthentication",
        PeerAuthentication = "PeerAuthentication",
        ServiceEntry = "ServiceEntry",
        WorkloadEntry = "WorkloadEntry",
        DestinationRule = "DestinationRule",
        VirtualService = "VirtualService",
        Gateway = "Gateway",
        Sidecar = "Sidecar",
        Secret = "Secret",
    }
}

impl Kind {
    /// All kinds, in the order in which `docs/support.md` lists them.
    pub const ALL: [Self; 12] = [
        Self::Mesh,
        Self::IdentityDenyList,
        Self::AuthorizationPolicy,
        Self::RequestAuthentication,
        Self::PeerAuthentication,
        Self::ServiceEntry,
        Self::WorkloadEntry,
        Self::DestinationRule,
        Self::VirtualService,
        Self::Gateway,
        Self::Sidecar,
        Self::Secret,
    ];

    /// The API versions under which the kind is accepted.
    #[must_use]
    pub fn api_versions(self) -> &'static [&'static str] {
        match self {
            Self::Mesh | Self::IdentityDenyList => &["meshwright.dev/v1alpha1"],
            Self::AuthorizationPolicy | Self::RequestAuthentication | Self::PeerAuthentication => {
                &["security.istio.io/v1", "security.istio.io/v1beta1"]
            }
            Self::ServiceEntry | Self::WorkloadEntry | Self::DestinationRule | Self::VirtualService | Self::Gateway | Self::Sidecar => {
                &["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"]
            }
            Self::Secret => &["v1"],
        }
    }
}

/// A document's name: no two documents of one state have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey {
    kind: Kind,
    namespace: Arc<str>,
    name: Arc<str>,
}

impl DocumentKey {
    #[must_use]
    pub fn new(kind: Kind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Where a document was read from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub(crate) file: Arc<str>,
    pub(crate) index: usize,
    pub(crate) line: usize,
}

impl Origin {
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Counted from 1 within the file.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The line of the file on which the document starts, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} (document {})", self.file, self.line, self.index)
    }
}
