//! Fields of `kind: Mesh` and `kind: IdentityDenyList`.

use super::{Field, boolean, duration, integer, not_yet, text, word};
use crate::foreign_domain::EndpointProfile;
use crate::mesh::{OutboundTrafficPolicy, PathNormalization, ProxyScope};

pub(super) const MESH: &[Field] = &[
    text("spec.trustDomain"),
    text("spec.trustDomainAliases[]"),
    text("spec.trustDomains[].name"),
    text("spec.trustDomains[].trustDomainBundle"),
    text("spec.trustDomains[].bundleEndpointURL"),
    word("spec.trustDomains[].bundleEndpointProfile.type", EndpointProfile::WORDS, &[]),
    text("spec.trustDomains[].bundleEndpointProfile.endpointSPIFFEID"),
    text("spec.rootNamespace"),
    word("spec.pathNormalization", PathNormalization::WORDS, &[]),
    word("spec.pathNormalization.normalization", PathNormalization::WORDS, &[]),
    word("spec.outboundTrafficPolicy.mode", OutboundTrafficPolicy::WORDS, &[]),
    word("spec.proxyScope.mode", ProxyScope::WORDS, &[]),
    text("spec.extensionProviders[].name"),
    text("spec.extensionProviders[].envoyExtAuthzHttp.service"),
    integer("spec.extensionProviders[].envoyExtAuthzHttp.port"),
    duration("spec.extensionProviders[].envoyExtAuthzHttp.timeout"),
    text("spec.extensionProviders[].envoyExtAuthzHttp.pathPrefix"),
    boolean("spec.extensionProviders[].envoyExtAuthzHttp.failOpen"),
    not_yet("spec.extensionProviders[].envoyExtAuthzHttp.clearRouteCache"),
    text("spec.extensionProviders[].envoyExtAuthzHttp.statusOnError"),
    text("spec.extensionProviders[].envoyExtAuthzHttp.headersToUpstreamOnAllow[]"),
    text("spec.extensionProviders[].envoyExtAuthzHttp.headersToDownstreamOnDeny[]"),
    text("spec.extensionProviders[].envoyExtAuthzHttp.headersToDownstreamOnAllow[]"),
    not_yet("spec.extensionProviders[].envoyExtAuthzHttp.includeHeadersInCheck"),
    text("spec.extensionProviders[].envoyExtAuthzHttp.includeRequestHeadersInCheck[]"),
    text("spec.extensionProviders[].envoyExtAuthzHttp.includeAdditionalHeadersInCheck{}"),
    integer("spec.extensionProviders[].envoyExtAuthzHttp.includeRequestBodyInCheck.maxRequestBytes"),
    boolean("spec.extensionProviders[].envoyExtAuthzHttp.includeRequestBodyInCheck.allowPartialMessage"),
    boolean("spec.extensionProviders[].envoyExtAuthzHttp.includeRequestBodyInCheck.packAsBytes"),
    text("spec.extensionProviders[].envoyExtAuthzGrpc.service"),
    integer("spec.extensionProviders[].envoyExtAuthzGrpc.port"),
    duration("spec.extensionProviders[].envoyExtAuthzGrpc.timeout"),
    boolean("spec.extensionProviders[].envoyExtAuthzGrpc.failOpen"),
    not_yet("spec.extensionProviders[].envoyExtAuthzGrpc.clearRouteCache"),
    text("spec.extensionProviders[].envoyExtAuthzGrpc.statusOnError"),
    integer("spec.extensionProviders[].envoyExtAuthzGrpc.includeRequestBodyInCheck.maxRequestBytes"),
    boolean("spec.extensionProviders[].envoyExtAuthzGrpc.includeRequestBodyInCheck.allowPartialMessage"),
    boolean("spec.extensionProviders[].envoyExtAuthzGrpc.includeRequestBodyInCheck.packAsBytes"),
];

pub(super) const IDENTITY_DENY_LIST: &[Field] =
    &[text("spec.entries[].spiffeId"), text("spec.entries[].serial"), text("spec.entries[].reason"), text("spec.entries[].until")];
