//! The xDS protocol as a server speaks it: resources, snapshots, one pure [`Session`] per stream, and a thin tonic shell. Delta and state of
//! the world, aggregated (ADS) and for each type alone (CDS, EDS, …). It knows nothing of meshes: what a proxy should hold is given to it.
//!
//! Source of the rules: Envoy's "xDS REST and gRPC protocol"; where Envoy 1.36 to 1.40 does otherwise, what it does.

mod base;
mod body;
mod by_type;
mod codec;
mod event;
mod lineage;
mod node;
mod quota;
mod rate;
mod requests;
mod resource;
mod resource_type;
mod service;
mod session;
mod snapshot;
mod stream;

pub use base::Base;
pub use event::{StreamEvent, StreamId};
pub use node::Node;
pub use resource::Resource;
pub use resource_type::ResourceType;
pub use service::{AdsService, CdsService, EcdsService, EdsService, LdsService, RdsService, SdsService, SnapshotSource, discovery_routes};
pub use session::{Action, DeltaRequest, Limits, Protocol, Refused, Response, Session, SharedLists, SotwRequest};
pub use snapshot::{Inconsistent, Snapshot};
