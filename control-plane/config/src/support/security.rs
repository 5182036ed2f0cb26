//! Fields of `security.istio.io`.

use super::{Field, boolean, duration, not_yet, text, word};

/// The modes of mutual TLS; `UNSET` inherits.
const MODES: &[&str] = &["UNSET", "DISABLE", "PERMISSIVE", "STRICT"];

pub(super) const AUTHORIZATION_POLICY: &[Field] = &[
    text("spec.selector.matchLabels{}"),
    not_yet("spec.targetRef"),
    text("spec.targetRefs[].group"),
    text("spec.targetRefs[].kind"),
    text("spec.targetRefs[].name"),
    text("spec.targetRefs[].namespace"),
    text("spec.provider.name"),
    word("spec.action", &["ALLOW", "DENY", "AUDIT", "CUSTOM"], &[]),
    text("spec.rules[].from[].source.principals[]"),
    text("spec.rules[].from[].source.notPrincipals[]"),
    text("spec.rules[].from[].source.requestPrincipals[]"),
    text("spec.rules[].from[].source.notRequestPrincipals[]"),
    text("spec.rules[].from[].source.namespaces[]"),
    text("spec.rules[].from[].source.notNamespaces[]"),
    text("spec.rules[].from[].source.serviceAccounts[]"),
    text("spec.rules[].from[].source.notServiceAccounts[]"),
    text("spec.rules[].from[].source.trustDomains[]"),
    text("spec.rules[].from[].source.notTrustDomains[]"),
    text("spec.rules[].from[].source.ipBlocks[]"),
    text("spec.rules[].from[].source.notIpBlocks[]"),
    text("spec.rules[].from[].source.remoteIpBlocks[]"),
    text("spec.rules[].from[].source.notRemoteIpBlocks[]"),
    text("spec.rules[].to[].operation.hosts[]"),
    text("spec.rules[].to[].operation.notHosts[]"),
    text("spec.rules[].to[].operation.ports[]"),
    text("spec.rules[].to[].operation.notPorts[]"),
    text("spec.rules[].to[].operation.methods[]"),
    text("spec.rules[].to[].operation.notMethods[]"),
    text("spec.rules[].to[].operation.paths[]"),
    text("spec.rules[].to[].operation.notPaths[]"),
    text("spec.rules[].when[].key"),
    text("spec.rules[].when[].values[]"),
    text("spec.rules[].when[].notValues[]"),
];

pub(super) const REQUEST_AUTHENTICATION: &[Field] = &[
    text("spec.selector.matchLabels{}"),
    not_yet("spec.targetRef"),
    text("spec.targetRefs[].group"),
    text("spec.targetRefs[].kind"),
    text("spec.targetRefs[].name"),
    text("spec.targetRefs[].namespace"),
    text("spec.jwtRules[].issuer"),
    text("spec.jwtRules[].audiences[]"),
    text("spec.jwtRules[].jwksUri"),
    text("spec.jwtRules[].jwks_uri"),
    text("spec.jwtRules[].jwks"),
    text("spec.jwtRules[].fromHeaders[].name"),
    text("spec.jwtRules[].fromHeaders[].prefix"),
    text("spec.jwtRules[].fromParams[]"),
    text("spec.jwtRules[].fromCookies[]"),
    text("spec.jwtRules[].outputPayloadToHeader"),
    boolean("spec.jwtRules[].forwardOriginalToken"),
    text("spec.jwtRules[].outputClaimToHeaders[].header"),
    text("spec.jwtRules[].outputClaimToHeaders[].claim"),
    duration("spec.jwtRules[].timeout"),
    text("spec.jwtRules[].spaceDelimitedClaims[]"),
];

pub(super) const PEER_AUTHENTICATION: &[Field] =
    &[text("spec.selector.matchLabels{}"), word("spec.mtls.mode", MODES, &[]), word("spec.portLevelMtls{}.mode", MODES, &[])];
