//! Every field of every kind, and whether it is supported. The check of documents (`schema`) and `docs/support.md` are both made from this.

use crate::key::Kind;

mod mesh;
mod networking;
mod security;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Text,
    Integer,
    Boolean,
    Duration,
    /// One of the first words; the second are Istio's too, and not supported yet.
    Word(&'static [&'static str], &'static [&'static str]),
    /// Whatever: it is not looked at.
    Anything,
}

/// Whether a field is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Supported,
    /// Valid for Istio; a document that has it is refused.
    NotYet,
    /// What a cluster writes into documents; it has no meaning here.
    Ignored,
}

/// A field and its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// `[]`: each item of a list. `{}`: each value of a map. A key with a dot in it is in brackets.
    pub path: &'static str,
    pub holds: Holds,
    pub status: Status,
}

const fn field(path: &'static str, holds: Holds, status: Status) -> Field {
    Field { path, holds, status }
}

const fn text(path: &'static str) -> Field {
    field(path, Holds::Text, Status::Supported)
}

const fn integer(path: &'static str) -> Field {
    field(path, Holds::Integer, Status::Supported)
}

const fn boolean(path: &'static str) -> Field {
    field(path, Holds::Boolean, Status::Supported)
}

const fn duration(path: &'static str) -> Field {
    field(path, Holds::Duration, Status::Supported)
}

const fn word(path: &'static str, words: &'static [&'static str], not_yet: &'static [&'static str]) -> Field {
    field(path, Holds::Word(words, not_yet), Status::Supported)
}

const fn not_yet(path: &'static str) -> Field {
    field(path, Holds::Anything, Status::NotYet)
}

const fn ignored(path: &'static str) -> Field {
    field(path, Holds::Anything, Status::Ignored)
}

/// What every document has.
pub const COMMON: &[Field] = &[
    text("apiVersion"),
    text("kind"),
    text("metadata.name"),
    text("metadata.namespace"),
    text("metadata.labels{}"),
    text("metadata.annotations{}"),
    field("metadata.creationTimestamp", Holds::Anything, Status::Supported),
    ignored("metadata.uid"),
    ignored("metadata.resourceVersion"),
    ignored("metadata.generation"),
    ignored("metadata.managedFields"),
    ignored("metadata.ownerReferences"),
    ignored("metadata.finalizers"),
    ignored("metadata.selfLink"),
    ignored("status"),
];

const SECRET: &[Field] = &[
    word("type", &["kubernetes.io/tls", "Opaque"], &[]),
    text("data.[tls.crt]"),
    text("data.[tls.key]"),
    text("data.[ca.crt]"),
    text("data.cert"),
    text("data.key"),
    text("data.cacert"),
    not_yet("data.[ca.crl]"),
    not_yet("data.crl"),
    not_yet("data.[tls.ocsp-staple]"),
    text("stringData.[tls.crt]"),
    text("stringData.[tls.key]"),
    text("stringData.[ca.crt]"),
    text("stringData.cert"),
    text("stringData.key"),
    text("stringData.cacert"),
    not_yet("stringData.[ca.crl]"),
    not_yet("stringData.crl"),
    not_yet("stringData.[tls.ocsp-staple]"),
    ignored("immutable"),
];

/// The fields of a kind, without those of [`COMMON`].
#[must_use]
pub fn fields(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Mesh => mesh::MESH,
        Kind::IdentityDenyList => mesh::IDENTITY_DENY_LIST,
        Kind::AuthorizationPolicy => security::AUTHORIZATION_POLICY,
        Kind::RequestAuthentication => security::REQUEST_AUTHENTICATION,
        Kind::PeerAuthentication => security::PEER_AUTHENTICATION,
        Kind::ServiceEntry => networking::SERVICE_ENTRY,
        Kind::WorkloadEntry => networking::WORKLOAD_ENTRY,
        Kind::DestinationRule => networking::DESTINATION_RULE,
        Kind::VirtualService => networking::VIRTUAL_SERVICE,
        Kind::Gateway => networking::GATEWAY,
        Kind::Sidecar => networking::SIDECAR,
        Kind::Secret => SECRET,
    }
}

/// What `make test-matrix` found.
const ENVOY_VERSIONS: &str = include_str!("../../../docs/envoy-versions.md");

/// Where keys may be.
const KEYS: &str = "A rule has its keys in `jwks`, or at `jwksUri`, or (with neither) where the issuer's own configuration says: `issuer` is then its\n\
    `http` or `https` URL. `timeout`, of one fetch, is `5s` unless said otherwise and at most `60s`. The control plane fetches; it never asks\n\
    link-local, metadata, unspecified or multicast addresses, follows no redirect, and keeps the last good keys. Until there are some, every\n\
    token of the rule is refused. `jwks_uri` is another name of `jwksUri`.\n\n";

/// The text of `docs/support.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Supported documents\n\n\
         Made from the table in `control-plane/config/src/support.rs` that the parser itself uses; a test keeps the two the same.\n\n\
         A document is taken whole or not at all. A field marked *not supported yet* is valid for Istio: a document that has it is refused with the\n\
         field's path. A field that is not listed is refused as unknown. *Ignored* fields are what a cluster writes into documents.\n\
         `[]` stands for each item of a list, `{}` for each value of a map.\n\n\
         Not taken anywhere: YAML anchors, aliases, tags, merge keys and duplicate keys; words that YAML readers disagree about (`on`, `no`, `017`)\n\
         where they are not in quotes.\n\n## Envoy\n\n",
    );
    text.push_str(ENVOY_VERSIONS);
    text.push_str("\n## Every kind\n\n");
    table(&mut text, COMMON);
    for kind in Kind::ALL {
        let versions = kind.api_versions().join("`, `");
        text.push_str(&format!("\n## {kind}\n\n`apiVersion`: `{versions}`\n\n"));
        if kind == Kind::Mesh {
            text.push_str("Without `rootNamespace`, the documents that hold for the whole mesh are those of `istio-system`.\n\n");
        }
        if kind == Kind::AuthorizationPolicy {
            text.push_str(
                "The annotations `istio.io/dry-run` (for ALLOW and DENY) and `meshwright.io/accept-widening` ([TCP](tcp-policy.md)) hold a truth\n\
                 value; one that cannot be read refuses the document. A `targetRefs` entry is a Gateway of `networking.istio.io` in the policy's\n\
                 own namespace.\n\n",
            );
        }
        if kind == Kind::RequestAuthentication {
            text.push_str(KEYS);
        }
        table(&mut text, fields(kind));
    }
    text
}

fn table(text: &mut String, fields: &[Field]) {
    text.push_str("| field | holds | status |\n|---|---|---|\n");
    for field in fields {
        text.push_str(&format!("| `{}` | {} | {} |\n", field.path, holds(field), status(field)));
    }
}

fn holds(field: &Field) -> String {
    let words = |words: &[&str]| format!("`{}`", words.join("`, `"));
    match field.holds {
        Holds::Text => "text".to_owned(),
        Holds::Integer => "whole number".to_owned(),
        Holds::Boolean => "`true`, `false`".to_owned(),
        Holds::Duration => "duration".to_owned(),
        Holds::Word(supported, []) => words(supported),
        Holds::Word(supported, later) => format!("{}; not supported yet: {}", words(supported), words(later)),
        Holds::Anything => String::new(),
    }
}

fn status(field: &Field) -> &'static str {
    match field.status {
        Status::Supported => "supported",
        Status::NotYet => "not supported yet",
        Status::Ignored => "ignored",
    }
}
