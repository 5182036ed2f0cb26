//! The wire form of responses, written piece by piece as the transport takes it: encoded resources go in as they are, never decoded or encoded
//! again per client, and a response takes no memory beyond the piece that is on its way, however large it is.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use sha2::{Digest as _, Sha256};
use tonic::Status;

use crate::session::{Protocol, Response};
use crate::{Resource, lineage};

// Field numbers of envoy.service.discovery.v3.DiscoveryResponse and DeltaDiscoveryResponse, the same in both where both have the field.
const VERSION_INFO: u32 = 1;
const RESOURCES: u32 = 2;
const TYPE_URL: u32 = 4;
const NONCE: u32 = 5;
const REMOVED_RESOURCES: u32 = 6;
// Field numbers of google.protobuf.Any.
const ANY_TYPE_URL: u32 = 1;
const ANY_VALUE: u32 = 2;

/// Bytes of a hash that make a version.
const VERSION_BYTES: usize = 16;

/// Before each gRPC message: whether it is compressed, and its length.
const PREFIX: usize = 5;
const HEAD: usize = 160;
/// Bytes of a piece: two HTTP/2 frames of the usual size. Smaller ones cost time, larger ones memory.
const PIECE: usize = 32 * 1024;
/// What is as large as a frame is not copied into a piece, but is one: all streams send the same bytes.
const SHARED: usize = 16 * 1024;

/// One response in the form of one protocol variant.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) protocol: Protocol,
    /// The state of the documents that it was made from, see [`lineage`].
    pub(crate) state: Option<Arc<str>>,
    pub(crate) response: Response,
}

impl Outgoing {
    /// # Errors
    /// For a response that is longer than gRPC allows a message to be.
    pub(crate) fn pieces(self) -> Result<Pieces, Status> {
        let left = self.response.resources().iter().fold(0_usize, |sum, resource| sum.saturating_add(self.field(resource).length()));
        // What is before the resources, with the nonce and the names of types, is shorter than this, but for names of removed ones.
        let mut gathered = BytesMut::with_capacity(left.saturating_add(HEAD).min(PIECE));
        gathered.put_bytes(0, PREFIX);
        self.head(&mut gathered);
        let length = gathered.len().saturating_sub(PREFIX).saturating_add(left);
        let prefix =
            u32::try_from(length).map_err(|_| Status::resource_exhausted(format!("a response of {length} bytes cannot be sent")))?;
        if let Some(place) = gathered.get_mut(1..PREFIX) {
            place.copy_from_slice(&prefix.to_be_bytes());
        }
        Ok(Pieces { outgoing: self, gathered, next: 0, left, shared: None })
    }

    /// All but the resources.
    fn head(&self, sink: &mut BytesMut) {
        let response = &self.response;
        text_field(TYPE_URL, response.kind().type_url(), sink);
        text_field(NONCE, response.nonce(), sink);
        match self.protocol {
            Protocol::Delta => response.removed().iter().for_each(|name| text_field(REMOVED_RESOURCES, name, sink)),
            Protocol::StateOfTheWorld => text_field(VERSION_INFO, &version_info(response), sink),
        }
    }

    fn field<'a>(&'a self, resource: &'a Resource) -> Field<'a> {
        match (self.protocol, &self.state) {
            (Protocol::Delta, None) => Field::Plain(resource),
            (Protocol::Delta, Some(state)) => Field::Marked(resource, state),
            (Protocol::StateOfTheWorld, _) => Field::Any(resource),
        }
    }
}

/// One resource as a field of a response.
enum Field<'a> {
    Plain(&'a Resource),
    /// The encoded resource with another version behind it: of a field that comes twice the last one counts (protobuf encoding, "Last One
    /// Wins").
    Marked(&'a Resource, &'a str),
    /// As state of the world has it.
    Any(&'a Resource),
}

impl Field<'_> {
    fn content(&self) -> usize {
        match self {
            Self::Plain(resource) => resource.delta().len(),
            Self::Marked(resource, state) => resource.delta().len().saturating_add(lineage::field_len(resource, state)),
            Self::Any(resource) => {
                let value = resource.body().len();
                field_len(ANY_TYPE_URL, resource.kind().type_url().len()).saturating_add(field_len(ANY_VALUE, value))
            }
        }
    }

    fn length(&self) -> usize {
        field_len(RESOURCES, self.content())
    }

    /// What comes before the shared bytes.
    fn begin(&self, sink: &mut BytesMut) {
        encode_key(RESOURCES, WireType::LengthDelimited, sink);
        put_length(self.content(), sink);
        if let Self::Any(resource) = self {
            text_field(ANY_TYPE_URL, resource.kind().type_url(), sink);
            encode_key(ANY_VALUE, WireType::LengthDelimited, sink);
            put_length(resource.body().len(), sink);
        }
    }

    fn shared(&self) -> &Bytes {
        match self {
            Self::Plain(resource) | Self::Marked(resource, _) => resource.delta(),
            Self::Any(resource) => resource.body(),
        }
    }

    /// What comes after them.
    fn end(&self, sink: &mut BytesMut) {
        if let Self::Marked(resource, state) = self {
            lineage::put_version(resource, state, sink);
        }
    }
}

/// A response on its way, as a gRPC message.
#[derive(Debug)]
pub(crate) struct Pieces {
    outgoing: Outgoing,
    /// Written, and not handed on.
    gathered: BytesMut,
    /// The resource that is written next.
    next: usize,
    /// Bytes of resources that are not written.
    left: usize,
    /// Handed on after what was gathered, and before anything else.
    shared: Option<Bytes>,
}

impl Pieces {
    /// None when all of it has been handed on.
    pub(crate) fn piece(&mut self) -> Option<Bytes> {
        if let Some(shared) = self.shared.take_if(|_| self.gathered.is_empty()) {
            self.finish_field();
            return Some(shared);
        }
        while self.shared.is_none() {
            let Some(resource) = self.outgoing.response.resources().get(self.next) else { break };
            let field = self.outgoing.field(resource);
            let is_copied = field.shared().len() < SHARED;
            let copied = if is_copied { field.length() } else { HEAD };
            // The buffer never grows.
            if !self.gathered.is_empty() && self.gathered.len().saturating_add(copied) > PIECE {
                break;
            }
            if self.gathered.capacity() == 0 {
                self.gathered.reserve(self.left.saturating_add(HEAD).min(PIECE));
            }
            field.begin(&mut self.gathered);
            if is_copied {
                self.gathered.extend_from_slice(field.shared());
                self.finish_field();
            } else {
                self.shared = Some(field.shared().clone());
            }
        }
        let piece = std::mem::take(&mut self.gathered).freeze();
        (!piece.is_empty()).then_some(piece)
    }

    fn finish_field(&mut self) {
        let Some(resource) = self.outgoing.response.resources().get(self.next) else { return };
        let field = self.outgoing.field(resource);
        self.left = self.left.saturating_sub(field.length());
        self.next = self.next.saturating_add(1);
        if matches!(field, Field::Marked(..)) && self.gathered.capacity() == 0 {
            self.gathered.reserve(self.left.saturating_add(HEAD).min(PIECE));
        }
        field.end(&mut self.gathered);
    }
}

/// The same for the same content, on every replica and after every restart.
fn version_info(response: &Response) -> String {
    let mut hash = Sha256::new();
    for resource in response.resources() {
        hash.update(resource.name());
        hash.update([0]);
        hash.update(resource.version());
    }
    hash.finalize().iter().take(VERSION_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

fn text_field(field: u32, text: &str, sink: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, sink);
    put_length(text.len(), sink);
    sink.put_slice(text.as_bytes());
}

fn put_length(length: usize, sink: &mut impl BufMut) {
    encode_varint(u64::try_from(length).unwrap_or(u64::MAX), sink);
}

fn field_len(field: u32, content: usize) -> usize {
    let varint = encoded_len_varint(u64::try_from(content).unwrap_or(u64::MAX));
    key_len(field).saturating_add(varint).saturating_add(content)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
    use prost::Message as _;

    use super::*;
    use crate::session::{Action, DeltaRequest, Limits, Session, SotwRequest};
    use crate::{Resource, ResourceType, Snapshot};

    fn snapshot() -> Arc<Snapshot> {
        let body = Bytes::from(vec![7; 300]);
        Arc::new(Snapshot::build([Resource::new(ResourceType::Listener, "a", body, Vec::new())]).unwrap())
    }

    fn encoded(protocol: Protocol, actions: Vec<Action>) -> Vec<u8> {
        encoded_of(None, protocol, actions)
    }

    fn encoded_of(state: Option<&str>, protocol: Protocol, actions: Vec<Action>) -> Vec<u8> {
        let Some(Action::Send(response)) = actions.into_iter().next_back() else { panic!("nothing is sent") };
        let mut pieces = Outgoing { protocol, state: state.map(Arc::from), response }.pieces().unwrap();
        let message: Vec<u8> = std::iter::from_fn(|| pieces.piece()).flatten().collect();
        let (prefix, message) = message.split_at(PREFIX);
        assert_eq!(prefix[0], 0, "not compressed");
        assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()), u32::try_from(message.len()).unwrap());
        message.to_vec()
    }

    #[test]
    fn a_delta_response_decodes_to_what_was_sent() {
        let mut session = Session::new(Protocol::Delta, Limits::default());
        session.on_snapshot(&snapshot());
        let type_url = ResourceType::Listener.type_url().to_owned();
        let actions = session
            .on_delta_request(DeltaRequest {
                type_url: type_url.clone(),
                initial_versions: vec![("gone".into(), "1".into())],
                ..DeltaRequest::default()
            })
            .unwrap();
        let decoded = DeltaDiscoveryResponse::decode(encoded(Protocol::Delta, actions).as_slice()).unwrap();
        assert_eq!((decoded.type_url.as_str(), decoded.nonce.as_str()), (type_url.as_str(), "1"));
        assert_eq!(decoded.removed_resources, ["gone"]);
        let resource = &decoded.resources[0];
        assert_eq!((resource.name.as_str(), resource.version.len()), ("a", 32));
        assert_eq!(resource.resource.as_ref().unwrap().value, vec![7; 300]);
        assert!(resource.ttl.is_none() && resource.aliases.is_empty(), "nothing expires, nothing has two names");
    }

    #[test]
    fn a_version_says_of_which_state_it_is() {
        let mut session = Session::new(Protocol::Delta, Limits::default());
        session.on_snapshot(&snapshot());
        let type_url = ResourceType::Listener.type_url().to_owned();
        let actions = session.on_delta_request(DeltaRequest { type_url, ..DeltaRequest::default() }).unwrap();
        let decoded = DeltaDiscoveryResponse::decode(encoded_of(Some("0a1b2c"), Protocol::Delta, actions).as_slice()).unwrap();
        let resource = &decoded.resources[0];
        let version = snapshot().get(ResourceType::Listener, "a").unwrap().version().to_owned();
        assert_eq!((resource.name.as_str(), resource.version.as_str()), ("a", format!("{version}.0a1b2c").as_str()));
        assert_eq!((lineage::content(&resource.version), lineage::content(&version)), (version.as_str(), version.as_str()));
        assert_eq!(resource.resource.as_ref().unwrap().value, vec![7; 300]);
    }

    #[test]
    fn a_state_of_the_world_response_decodes_to_what_was_sent() {
        let mut session = Session::new(Protocol::StateOfTheWorld, Limits::default());
        session.on_snapshot(&snapshot());
        let type_url = ResourceType::Listener.type_url().to_owned();
        let actions = session.on_sotw_request(SotwRequest { type_url: type_url.clone(), ..SotwRequest::default() }).unwrap();
        let decoded = DiscoveryResponse::decode(encoded(Protocol::StateOfTheWorld, actions).as_slice()).unwrap();
        assert_eq!((decoded.type_url.as_str(), decoded.nonce.as_str(), decoded.version_info.len()), (type_url.as_str(), "1", 32));
        assert_eq!((decoded.resources[0].type_url.as_str(), decoded.resources[0].value.len()), (type_url.as_str(), 300));
    }

    #[test]
    fn a_large_response_comes_in_pieces_and_its_large_resources_are_not_copied() {
        let size = |index: usize| if index % 50 == 7 { SHARED + index } else { index * 3 };
        let resource = |index| Resource::new(ResourceType::Listener, format!("{index:03}"), Bytes::from(vec![7; size(index)]), Vec::new());
        let snapshot = Arc::new(Snapshot::build((0..200).map(resource)).unwrap());
        for state in [None, Some("0a1b2c")] {
            let mut session = Session::new(Protocol::Delta, Limits::default());
            session.on_snapshot(&snapshot);
            let type_url = ResourceType::Listener.type_url().to_owned();
            let mut actions = session.on_delta_request(DeltaRequest { type_url, ..DeltaRequest::default() }).unwrap();
            let Some(Action::Send(response)) = actions.pop() else { panic!("nothing is sent") };
            let mut pieces = Outgoing { protocol: Protocol::Delta, state: state.map(Arc::from), response }.pieces().unwrap();
            let pieces: Vec<Bytes> = std::iter::from_fn(|| pieces.piece()).collect();
            assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.len() <= PIECE), "{:?}", pieces.iter().map(Bytes::len));
            let is_shared = |resource: &&Arc<Resource>| pieces.iter().any(|piece| piece.as_ptr() == resource.delta().as_ptr());
            assert_eq!(snapshot.resources(ResourceType::Listener).filter(is_shared).count(), 4);
            let message = pieces.concat();
            let decoded = DeltaDiscoveryResponse::decode(message.split_at(PREFIX).1).unwrap();
            let values: Vec<usize> = decoded.resources.iter().map(|it| it.resource.as_ref().unwrap().value.len()).collect();
            assert_eq!(values, (0..200).map(size).collect::<Vec<_>>());
            assert!(decoded.resources.iter().all(|it| it.version.ends_with(state.unwrap_or_default())));
        }
    }
}
