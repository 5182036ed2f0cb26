//! Discovery messages, walked without decoding what is in them.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// The types that an Envoy asks for over ADS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Cluster,
    Endpoint,
    Listener,
    Route,
    Secret,
    Extension,
}

impl Kind {
    /// In the order in which Envoy asks for them.
    pub const ALL: [Self; 6] = [Self::Cluster, Self::Endpoint, Self::Listener, Self::Route, Self::Secret, Self::Extension];

    #[must_use]
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Extension => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        }
    }

    #[must_use]
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// `CDS`, …
    #[must_use]
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Cluster => "CDS",
            Self::Endpoint => "EDS",
            Self::Listener => "LDS",
            Self::Route => "RDS",
            Self::Secret => "SDS",
            Self::Extension => "ECDS",
        }
    }
}

/// What is not a discovery response.
#[derive(Debug, thiserror::Error)]
#[error("not a discovery response: {0}")]
pub struct Malformed(String);

/// A `DeltaDiscoveryResponse`.
#[derive(Debug, Default)]
pub struct Response<'a> {
    pub type_url: &'a str,
    pub nonce: &'a str,
    pub resources: Vec<Raw<'a>>,
    pub removed: Vec<&'a str>,
}

/// A `discovery.Resource` with what is in its `Any`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Raw<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    /// # Errors
    /// When the bytes are none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut response = Self::default();
        each_field(bytes, &mut |field, value| {
            match field {
                2 => response.resources.push(Raw::parse(value)?),
                4 => response.type_url = text(value)?,
                5 => response.nonce = text(value)?,
                6 => response.removed.push(text(value)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(response)
    }
}

impl<'a> Raw<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut raw = Self::default();
        each_field(bytes, &mut |field, value| {
            match field {
                1 => raw.version = text(value)?,
                2 => each_field(value, &mut |field, value| {
                    if field == 2 {
                        raw.body = value;
                    }
                    Ok(())
                })?,
                3 => raw.name = text(value)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(raw)
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|error| Malformed(error.to_string()))
}

fn each_field<'a>(mut bytes: &'a [u8], take: &mut dyn FnMut(u32, &'a [u8]) -> Result<(), Malformed>) -> Result<(), Malformed> {
    let wrong = |error: prost::DecodeError| Malformed(error.to_string());
    while !bytes.is_empty() {
        let (field, wire) = decode_key(&mut bytes).map_err(wrong)?;
        if wire == WireType::LengthDelimited {
            let length = usize::try_from(decode_varint(&mut bytes).map_err(wrong)?).unwrap_or(usize::MAX);
            let (value, rest) = bytes.split_at_checked(length).ok_or_else(|| Malformed("it ends early".to_owned()))?;
            take(field, value)?;
            bytes = rest;
        } else {
            skip_field(wire, field, &mut bytes, DecodeContext::default()).map_err(wrong)?;
        }
    }
    Ok(())
}

/// What a client sends.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    pub kind: Option<Kind>,
    pub node: Option<core::Node>,
    pub subscribe: Vec<String>,
    pub unsubscribe: Vec<String>,
    pub versions: Vec<(String, String)>,
    pub nonce: String,
}

impl Request {
    pub(crate) fn of(kind: Kind) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    /// As one gRPC message.
    #[must_use]
    pub fn framed(self) -> bytes::Bytes {
        let message = DeltaDiscoveryRequest {
            node: self.node,
            type_url: self.kind.map_or_else(String::new, |kind| kind.type_url().to_owned()),
            resource_names_subscribe: self.subscribe,
            resource_names_unsubscribe: self.unsubscribe,
            initial_resource_versions: self.versions.into_iter().collect(),
            response_nonce: self.nonce,
            ..DeltaDiscoveryRequest::default()
        };
        let length = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX);
        let mut frame = vec![0];
        frame.extend(length.to_be_bytes());
        // A vector grows; nothing else can fail.
        let _infallible = message.encode(&mut frame);
        frame.into()
    }
}
