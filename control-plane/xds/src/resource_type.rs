/// A kind of xDS resource: what is referred to before what refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    Cluster,
    Endpoint,
    Secret,
    ExtensionConfig,
    Listener,
    Route,
}

impl ResourceType {
    /// All that are served.
    pub const ALL: [Self; 6] = [Self::Cluster, Self::Endpoint, Self::Secret, Self::ExtensionConfig, Self::Listener, Self::Route];

    #[must_use]
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::ExtensionConfig => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// None for a type that is not served.
    #[must_use]
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// `CDS`, `EDS`, …: the name of the discovery service.
    #[must_use]
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Cluster => "CDS",
            Self::Endpoint => "EDS",
            Self::Secret => "SDS",
            Self::ExtensionConfig => "ECDS",
            Self::Listener => "LDS",
            Self::Route => "RDS",
        }
    }

    /// Only clusters and listeners may be subscribed to by naming nothing ("How the client specifies what resources to return").
    pub(crate) fn has_legacy_wildcard(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }

    /// Whether a state-of-the-world response must hold every resource, absence meaning deletion ("Deleting resources").
    pub(crate) fn is_full_state(self) -> bool {
        self.has_legacy_wildcard()
    }

    /// A delta client that asks for what does not exist is told so at once, where Envoy goes on then: with no endpoints. Of secrets it would
    /// take that for an answer and start a listener without a certificate. For routes and extensions it would stop the clock
    /// (`initial_fetch_timeout`) after which it answers 404 or takes the default, and wait for ever.
    pub(crate) fn tells_missing(self) -> bool {
        matches!(self, Self::Cluster | Self::Endpoint | Self::Listener)
    }

    /// A delta client is told what is gone, but for secrets: a listener would be left without a certificate.
    pub(crate) fn tells_gone(self) -> bool {
        !matches!(self, Self::Secret)
    }

    /// Envoy makes what refers to these wait, when it changes, until they are sent once more; it goes on with the routes that it has.
    pub(crate) fn is_awaited_by_dependents(self) -> bool {
        matches!(self, Self::Endpoint | Self::Secret | Self::ExtensionConfig)
    }
}
