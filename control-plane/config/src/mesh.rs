//! `kind: Mesh`: what holds for the mesh as a whole.

use meshwright_identity::TrustDomain;

use crate::foreign_domain::{self, ForeignDomain};
use crate::provider::{self, Provider};
use crate::reader::Reader;
use crate::record::{record, words};

words! {
    /// How paths are brought into one form before policy and routing see them.
    PathNormalization {
        /// Byte for byte.
        None = "NONE",
        /// RFC 3986 dot segments and unreserved percent-encoding, `\` as `/`.
        Base = "BASE",
        /// `BASE`, and `//` as `/`.
        MergeSlashes = "MERGE_SLASHES",
        /// `%2F` and `%5C` decoded, then `MERGE_SLASHES`.
        DecodeAndMergeSlashes = "DECODE_AND_MERGE_SLASHES",
    }
}

words! {
    /// What a workload may call that no ServiceEntry names.
    OutboundTrafficPolicy {
        AllowAny = "ALLOW_ANY",
        RegistryOnly = "REGISTRY_ONLY",
    }
}

words! {
    /// Which services a proxy is told of, beside what Sidecar documents say.
    ProxyScope {
        /// All.
        Everything = "EVERYTHING",
        /// Those of which policy does not deny it every request.
        Allowed = "ALLOWED",
    }
}

record! {
    /// Settings of the mesh. There is one `Mesh` document.
    Mesh {
        plain trust_domain: TrustDomain,
        /// Trust domains whose identities count as this mesh's own.
        list trust_domain_aliases: TrustDomain,
        /// Other trust domains, whose workloads are callers and servers too.
        list foreign_domains: ForeignDomain,
        /// The namespace whose policies hold in every namespace.
        text root_namespace,
        copy path_normalization: PathNormalization,
        copy outbound_traffic_policy: OutboundTrafficPolicy,
        copy proxy_scope: ProxyScope,
        /// Whom CUSTOM policies may ask.
        list providers: Provider,
    }
}

/// The root namespace of a mesh that does not name one.
pub const DEFAULT_ROOT_NAMESPACE: &str = "istio-system";

impl Mesh {
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name() == name)
    }

    pub(crate) fn read(spec: &Reader<'_>) -> Option<Self> {
        let trust_domain = spec.get("trustDomain").required().and_then(|field| read_trust_domain(&field));
        let aliases = spec.get("trustDomainAliases").items().iter().filter_map(read_trust_domain).collect();
        let foreign_domains = foreign_domain::read_all(&spec.get("trustDomains"), trust_domain.as_ref());
        let root = spec.get("rootNamespace");
        let root_namespace = root.text().unwrap_or_else(|| DEFAULT_ROOT_NAMESPACE.to_owned());
        if root_namespace.is_empty() {
            root.fail("a namespace is not empty");
        }
        let mode = spec.get("outboundTrafficPolicy").get("mode").text();
        Some(Self {
            trust_domain: trust_domain?,
            trust_domain_aliases: aliases,
            foreign_domains,
            root_namespace,
            path_normalization: read_normalization(spec).unwrap_or(PathNormalization::Base),
            outbound_traffic_policy: mode
                .and_then(|word| OutboundTrafficPolicy::from_word(&word))
                .unwrap_or(OutboundTrafficPolicy::AllowAny),
            proxy_scope: spec.get("proxyScope").get("mode").word(ProxyScope::from_word).unwrap_or(ProxyScope::Everything),
            providers: provider::read_all(&spec.get("extensionProviders")),
        })
    }
}

/// A word, or Istio's object around it.
fn read_normalization(spec: &Reader<'_>) -> Option<PathNormalization> {
    let field = spec.get("pathNormalization");
    field.word(PathNormalization::from_word).or_else(|| field.get("normalization").word(PathNormalization::from_word))
}

fn read_trust_domain(field: &Reader<'_>) -> Option<TrustDomain> {
    let text = field.text()?;
    TrustDomain::parse(&text).map_err(|error| field.fail(format!("`{text}`: {error}"))).ok()
}
