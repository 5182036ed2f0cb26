//! The wire form of responses: encoded resources are copied in as they are, never decoded or encoded again per client.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len, string};
use sha2::{Digest as _, Sha256};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

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

/// One response in the form of one protocol variant.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) protocol: Protocol,
    /// The state of the documents that it was made from, see [`lineage`].
    pub(crate) state: Option<Arc<str>>,
    pub(crate) response: Response,
}

impl Outgoing {
    pub(crate) fn write(&self, sink: &mut impl BufMut) {
        let response = &self.response;
        string::encode(TYPE_URL, &response.kind().type_url().to_owned(), sink);
        string::encode(NONCE, &response.nonce().to_owned(), sink);
        match self.protocol {
            Protocol::Delta => {
                string::encode_repeated(REMOVED_RESOURCES, response.removed(), sink);
                for resource in response.resources() {
                    match &self.state {
                        Some(state) => marked_field(resource, state, sink),
                        None => bytes_field(RESOURCES, resource.delta(), sink),
                    }
                }
            }
            Protocol::StateOfTheWorld => {
                string::encode(VERSION_INFO, &version_info(response), sink);
                for resource in response.resources() {
                    any_field(response.kind().type_url(), resource.body(), sink);
                }
            }
        }
    }

    /// Bytes of resources in it.
    pub(crate) fn size(&self) -> usize {
        self.response.resources().iter().map(|resource| resource.delta().len()).sum()
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

fn bytes_field(field: u32, bytes: &Bytes, sink: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, sink);
    length(bytes.len(), sink);
    sink.put_slice(bytes);
}

/// The encoded resource with another version behind it: of a field that comes twice the last one counts (protobuf encoding, "Last One Wins").
fn marked_field(resource: &Resource, state: &str, sink: &mut impl BufMut) {
    encode_key(RESOURCES, WireType::LengthDelimited, sink);
    length(resource.delta().len().saturating_add(lineage::field_len(resource, state)), sink);
    sink.put_slice(resource.delta());
    string::encode(lineage::VERSION_FIELD, &lineage::version(resource, state), sink);
}

fn any_field(type_url: &str, body: &Bytes, sink: &mut impl BufMut) {
    let string_length = key_len(ANY_TYPE_URL) + varint_len(type_url.len()) + type_url.len();
    let value_length = key_len(ANY_VALUE) + varint_len(body.len()) + body.len();
    encode_key(RESOURCES, WireType::LengthDelimited, sink);
    length(string_length + value_length, sink);
    string::encode(ANY_TYPE_URL, &type_url.to_owned(), sink);
    bytes_field(ANY_VALUE, body, sink);
}

fn length(length: usize, sink: &mut impl BufMut) {
    encode_varint(u64::try_from(length).unwrap_or(u64::MAX), sink);
}

fn varint_len(length: usize) -> usize {
    encoded_len_varint(u64::try_from(length).unwrap_or(u64::MAX))
}

/// Decodes `Request` with prost, encodes [`Outgoing`] as above.
#[derive(Debug)]
pub(crate) struct ResponseCodec<Request>(PhantomData<fn() -> Request>);

impl<Request> Default for ResponseCodec<Request> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Request: Message + Default + Send + 'static> Codec for ResponseCodec<Request> {
    type Encode = Outgoing;
    type Decode = Request;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        Self::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Self::default()
    }
}

impl<Request> Encoder for ResponseCodec<Request> {
    type Item = Outgoing;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, sink: &mut EncodeBuf<'_>) -> Result<(), Self::Error> {
        sink.reserve(item.size().saturating_add(256));
        item.write(sink);
        Ok(())
    }
}

impl<Request: Message + Default> Decoder for ResponseCodec<Request> {
    type Item = Request;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Self::Error> {
        Request::decode(source).map(Some).map_err(|error| Status::invalid_argument(format!("not a discovery request: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};

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
        let mut bytes = Vec::new();
        Outgoing { protocol, state: state.map(Arc::from), response }.write(&mut bytes);
        bytes
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
}
