//! One resource as people read it: protobuf's JSON, with everything secret taken out. What cannot be shown safely is not shown.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshwright_xds::{Resource, ResourceType};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Value, json};

const REDACTED: &str = "[redacted]";
/// Fields that hold something secret, in whatever message they are.
const SECRET_FIELDS: &[&str] = &[
    "private_key",
    "private_key_provider",
    "pkcs12",
    "password",
    "session_ticket_keys",
    "generic_secret",
    "secret",
    "token_secret",
    "hmac_secret",
];
/// The part of a PEM header that all forms of private keys have.
const PRIVATE_KEY: &str = "PRIVATE KEY-----";

static DESCRIPTORS: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin")).as_slice()).ok());

/// The resource, its version and its content.
pub(super) fn resource(resource: &Resource) -> Value {
    let mut content = decoded(resource).unwrap_or_else(|| encoded(resource));
    redact(&mut content);
    json!({"type": resource.kind().short_name(), "name": resource.name(), "version": resource.version(), "content": content})
}

fn decoded(resource: &Resource) -> Option<Value> {
    let name = resource.kind().type_url().rsplit('/').next()?;
    let descriptor = DESCRIPTORS.as_ref()?.get_message_by_name(name)?;
    let message = DynamicMessage::decode(descriptor, resource.body().clone()).ok()?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(true);
    message.serialize_with_options(serde_json::value::Serializer, &options).ok()
}

/// Without descriptors nothing says where in the bytes a secret is.
fn encoded(resource: &Resource) -> Value {
    match resource.kind() {
        ResourceType::Secret => json!(REDACTED),
        ResourceType::Cluster | ResourceType::Endpoint | ResourceType::ExtensionConfig | ResourceType::Listener | ResourceType::Route => {
            json!({"protobuf_base64": STANDARD.encode(resource.body())})
        }
    }
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if SECRET_FIELDS.contains(&name.as_str()) {
                    *value = json!(REDACTED);
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        // A configuration may be text in which there is a key, or JSON in which there is a symmetric one.
        Value::String(text) if text.contains(PRIVATE_KEY) => *value = json!(REDACTED),
        Value::String(text) if text.contains("\"oct\"") || text.contains("\\\"oct") => *value = json!(REDACTED),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_taken_out_wherever_it_stands() {
        let pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ";
        let mut dump = json!({
            "tls_certificate": {"certificate_chain": {"inline_string": "chain"}, "private_key": {"inline_bytes": "c2VjcmV0"}},
            "elsewhere": [{"configuration": format!("{{\"key\":\"{pem}\"}}")}],
            "jwks": "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}",
            "nested": {"a": {"generic_secret": {"secret": {"inline_string": "c2VjcmV0"}}}},
            "kept": "public",
        });
        redact(&mut dump);
        let text = dump.to_string();
        assert!(!text.contains("c2VjcmV0") && !text.contains("MHcCAQ"), "{text}");
        assert!(text.contains("chain") && text.contains("public"), "{text}");
    }

    #[test]
    fn a_cluster_is_shown_as_json() {
        // Field 1, the name, of one byte.
        let cluster = Resource::new(ResourceType::Cluster, "c", bytes::Bytes::from_static(b"\x0a\x01c"), Vec::new());
        assert_eq!(resource(&cluster)["content"], json!({"name": "c"}));
        let broken = Resource::new(ResourceType::Secret, "s", bytes::Bytes::from_static(b"\xffsecret"), Vec::new());
        assert_eq!(resource(&broken)["content"], json!(REDACTED));
    }
}
