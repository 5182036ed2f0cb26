use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::google::protobuf::{self, value::Kind};
use serde_json::{Map, Number, Value};

/// Deeper metadata than any client sends is cut off: what is read recursively must have an end.
const DEEPEST: usize = 16;

/// Who a client says it is (`envoy.config.core.v3.Node`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node {
    id: String,
    cluster: String,
    user_agent_version: String,
    metadata: Value,
}

impl Node {
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Without the metadata, of which nothing is asked once the client is known.
    pub(crate) fn brief(&self) -> Self {
        let (id, cluster, user_agent_version) = (self.id.clone(), self.cluster.clone(), self.user_agent_version.clone());
        Self { id, cluster, user_agent_version, metadata: Value::Null }
    }

    /// `1.40.0`; empty when the client does not say.
    #[must_use]
    pub fn user_agent_version(&self) -> &str {
        &self.user_agent_version
    }

    /// An object, or null when there is none.
    #[must_use]
    pub fn metadata(&self) -> &Value {
        &self.metadata
    }
}

impl From<core::Node> for Node {
    fn from(node: core::Node) -> Self {
        let user_agent_version = match node.user_agent_version_type {
            Some(core::node::UserAgentVersionType::UserAgentBuildVersion(build)) => {
                build.version.map(|v| format!("{}.{}.{}", v.major_number, v.minor_number, v.patch)).unwrap_or_default()
            }
            Some(core::node::UserAgentVersionType::UserAgentVersion(version)) => version,
            None => String::new(),
        };
        let metadata = node.metadata.map_or(Value::Null, |fields| object(fields, DEEPEST));
        Self { id: node.id, cluster: node.cluster, user_agent_version, metadata }
    }
}

fn object(fields: protobuf::Struct, depth: usize) -> Value {
    Value::Object(fields.fields.into_iter().map(|(key, value)| (key, json(value, depth))).collect::<Map<_, _>>())
}

fn json(value: protobuf::Value, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else { return Value::Null };
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::NumberValue(value)) => Number::from_f64(value).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(value)) => Value::String(value),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(|value| json(value, depth)).collect()),
        Some(Kind::StructValue(fields)) => object(fields, depth),
    }
}
