use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;
use prost::encoding::string;
use rustc_hash::FxHasher;
use sha2::{Digest as _, Sha256};

use crate::ResourceType;

/// Bytes of a content hash that make a version: 128 bits.
const VERSION_BYTES: usize = 16;
/// How many bits of a name's hash say whether it ends a part of a list.
const PART_BITS: u32 = 6;
const PART_MASK: u64 = (1 << PART_BITS) - 1;
/// Of `envoy.service.discovery.v3.Resource`.
const NAME: u32 = 3;

/// A resource's name and version, which all who know of it share.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    pub(crate) version: Arc<str>,
    /// Where a stream found the name among those that it holds: where another one that holds the same will find it.
    place: AtomicUsize,
    ends_part: bool,
}

impl Identity {
    pub(crate) fn new(name: impl Into<Arc<str>>, version: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        let mut hasher = FxHasher::default();
        name.hash(&mut hasher);
        let ends_part = hasher.finish().rotate_left(PART_BITS) & PART_MASK == 0;
        Self { name, version: version.into(), place: AtomicUsize::new(0), ends_part }
    }

    /// Whether a part of a list of names ends with this one: one in 64 does, and always the same.
    pub(crate) fn ends_part(&self) -> bool {
        self.ends_part
    }

    pub(crate) fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }

    pub(crate) fn found_at(&self, place: usize) {
        // All streams write the same, nearly always.
        if self.place() != place {
            self.place.store(place, Ordering::Relaxed);
        }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.version == other.version
    }
}

impl Eq for Identity {}

/// One xDS resource, encoded once. Its version is the hash of its content: the same on every replica and after every restart, so that a
/// reconnecting client is sent only differences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    kind: ResourceType,
    identity: Arc<Identity>,
    dependencies: Vec<(ResourceType, String)>,
    /// The encoded message itself: a part of `delta`.
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
        let delta = delta.freeze();
        // The fields are in the order of their numbers: the name is behind the message, and nothing else.
        let end = delta.len().saturating_sub(if name.is_empty() { 0 } else { string::encoded_len(NAME, &name) });
        let part = delta.get(end.saturating_sub(body.len())..end).filter(|part| *part == &*body).map(|part| delta.slice_ref(part));
        Self { kind, identity: Arc::new(Identity::new(name, version)), dependencies, body: part.unwrap_or(body), delta }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_held_once() {
        for (name, body) in [("a", &b"some message"[..]), ("", b"x"), ("a", b""), (&*"long".repeat(100), &[7; 1_000])] {
            let resource = Resource::new(ResourceType::Cluster, name, Bytes::copy_from_slice(body), Vec::new());
            assert_eq!(resource.body(), body);
            let delta = resource.delta().as_ptr_range();
            assert!(body.is_empty() || delta.contains(&resource.body().as_ptr()), "{name}: a copy beside {delta:?}");
            let decoded = discovery::Resource::decode(resource.delta().clone()).unwrap();
            assert_eq!((decoded.name.as_str(), &*decoded.resource.unwrap().value), (name, body));
        }
    }
}
