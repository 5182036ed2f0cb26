use std::sync::Arc;

use crate::{Node, ResourceType};

/// One stream of this process's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

/// What happened on a stream, for whoever keeps account of proxies.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamEvent {
    Connected {
        stream: StreamId,
        node: Node,
        /// The only type of the stream, where it is not an aggregated one.
        only: Option<ResourceType>,
    },
    Sent {
        stream: StreamId,
        resource_type: ResourceType,
        resources: usize,
    },
    /// The client holds these names at these versions, beyond what it held before; `removed` it holds no longer.
    Acked {
        stream: StreamId,
        resource_type: ResourceType,
        versions: Vec<(Arc<str>, Arc<str>)>,
        removed: Vec<String>,
    },
    /// The client refused a response with these names; `message` is the client's own.
    Nacked {
        stream: StreamId,
        node_id: String,
        resource_type: ResourceType,
        names: Vec<String>,
        message: String,
    },
    Disconnected {
        stream: StreamId,
    },
}
