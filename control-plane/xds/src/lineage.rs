//! Which state of the documents a resource comes from. Versions go out as `<content hash>.<state>`, and come back when a client reconnects,
//! to this replica or another: one that lags behind sees that the client has been further, and does not lead it back. Only the hash says
//! whether a resource is the same; the state, whether a different one may be newer.

use std::time::Duration;

use bytes::BufMut;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::service::SnapshotSource;
use crate::{Resource, ResourceType, Snapshot};

/// How long a stream is held for this replica to catch up before the client is sent to another.
pub(crate) const HOLD: Duration = Duration::from_secs(5);
/// How often it is looked whether it has.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

const SEPARATOR: char = '.';
/// Of `envoy.service.discovery.v3.Resource`.
const VERSION_FIELD: u32 = 1;

/// Endpoints follow the world and not the documents' edits, and secrets the authority; nothing of them is a policy.
pub(crate) fn is_marked(kind: ResourceType) -> bool {
    !matches!(kind, ResourceType::Endpoint | ResourceType::Secret)
}

/// The version that goes out, as a field.
pub(crate) fn put_version(resource: &Resource, state: &str, sink: &mut impl BufMut) {
    encode_key(VERSION_FIELD, WireType::LengthDelimited, sink);
    encode_varint(u64::try_from(version_len(resource, state)).unwrap_or(u64::MAX), sink);
    sink.put_slice(resource.version().as_bytes());
    sink.put_slice(SEPARATOR.encode_utf8(&mut [0; 4]).as_bytes());
    sink.put_slice(state.as_bytes());
}

fn version_len(resource: &Resource, state: &str) -> usize {
    resource.version().len().saturating_add(SEPARATOR.len_utf8()).saturating_add(state.len())
}

/// The length of what [`put_version`] writes.
pub(crate) fn field_len(resource: &Resource, state: &str) -> usize {
    let length = version_len(resource, state);
    let varint = encoded_len_varint(u64::try_from(length).unwrap_or(u64::MAX));
    key_len(VERSION_FIELD).saturating_add(varint).saturating_add(length)
}

/// The content hash of a version that came back.
pub(crate) fn content(version: &str) -> &str {
    version.split_once(SEPARATOR).map_or(version, |(content, _)| content)
}

/// A state from which the client has something that is not what it would be given here, and that this replica has never been in.
pub(crate) fn ahead<S: SnapshotSource>(request: &DeltaDiscoveryRequest, snapshot: &Snapshot, source: &S) -> Option<String> {
    let kind = ResourceType::from_type_url(&request.type_url).filter(|kind| is_marked(*kind))?;
    request.initial_resource_versions.iter().find_map(|(name, version)| {
        let (content, state) = version.split_once(SEPARATOR)?;
        let same = snapshot.get(kind, name).is_some_and(|resource| resource.version() == content);
        (!same && !source.knows(state)).then(|| state.to_owned())
    })
}
