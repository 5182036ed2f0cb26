use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::ResourceType;

/// Bytes of a content hash that make a version: 128 bits.
const VERSION_BYTES: usize = 16;

/// A resource's name and version, which all who know of it share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    pub(crate) version: Arc<str>,
}

/// One xDS resource, encoded once. Its version is the hash of its content: the same on every replica and after every restart, so that a
/// reconnecting client is sent only differences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    kind: ResourceType,
    identity: Arc<Identity>,
    dependencies: Vec<(ResourceType, String)>,
    /// The encoded message itself.
    body: Bytes,
    /// `discovery.Resource` with the message in it, encoded.
    delta: Bytes,
}

impl Resource {
    /// `body` is the encoded message; `dependencies` are what it refers to by name and must be served with it. Those are sent again after
    /// it, because Envoy waits for them when what refers to them changes.
    #[must_use]
    pub fn new(kind: ResourceType, name: impl Into<String>, body: Bytes, dependencies: Vec<(ResourceType, String)>) -> Self {
        let name = name.into();
        let version: String = Sha256::digest(&body).iter().take(VERSION_BYTES).map(|byte| format!("{byte:02x}")).collect();
        let wrapped = discovery::Resource {
            name: name.clone(),
            version: version.clone(),
            resource: Some(Any { type_url: kind.type_url().to_owned(), value: body.to_vec() }),
            ..Default::default()
        };
        let mut delta = BytesMut::with_capacity(wrapped.encoded_len());
        // Growing in memory is the only way for this to fail, and it does not fail.
        let _infallible = wrapped.encode(&mut delta);
        Self {
            kind,
            identity: Arc::new(Identity { name: name.into(), version: version.into() }),
            dependencies,
            body,
            delta: delta.freeze(),
        }
    }

    #[must_use]
    pub fn kind(&self) -> ResourceType {
        self.kind
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// For keeping it without a copy.
    #[must_use]
    pub fn shared_name(&self) -> &Arc<str> {
        &self.identity.name
    }

    /// As [`Resource::shared_name`].
    #[must_use]
    pub fn shared_version(&self) -> &Arc<str> {
        &self.identity.version
    }

    /// 32 lower case hexadecimal digits.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.identity.version
    }

    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    #[must_use]
    pub fn dependencies(&self) -> &[(ResourceType, String)] {
        &self.dependencies
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The encoded `envoy.service.discovery.v3.Resource`, shared by all streams.
    pub(crate) fn delta(&self) -> &Bytes {
        &self.delta
    }
}
