//! Golden files that people can review and Envoy accepts.
//!
//! Messages become canonical protobuf JSON by reflection, with the descriptors that `envoy-types` ships beside its generated code. The JSON
//! is what the golden file holds, and what `envoy --mode validate` is given. `BLESS=1` rewrites the files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, SerializeOptions, Value as Field};
use serde_json::{Map, Value, json};

/// The smallest module that Envoy loads: ABI marker, memory, and an allocator that never has to allocate.
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x09\x02\x60\0\0\x60\x01\x7f\x01\x7f\x03\x03\x02\0\x01\x05\x03\x01\0\x01\
    \x07\x2d\x03\x17proxy_abi_version_0_2_1\0\0\x06memory\x02\0\x06malloc\0\x01\x0a\x09\x02\x02\0\x0b\x04\0\x41\0\x0b";

static DESCRIPTORS: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(std::fs::read(descriptors_file()).unwrap().as_slice()).unwrap());

/// In the sources of `envoy-types` that Cargo unpacked to build it. Not asked of `cargo metadata`: that wants every package of the workspace
/// to be there.
fn descriptors_file() -> PathBuf {
    let lock = std::fs::read_to_string(workspace_root().join("Cargo.lock")).unwrap();
    let version = lock.split("name = \"envoy-types\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let home =
        std::env::var_os("CARGO_HOME").map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"), PathBuf::from);
    let registries = std::fs::read_dir(home.join("registry/src")).unwrap();
    let mut files = registries.map(|entry| entry.unwrap().path().join(format!("envoy-types-{version}/src/generated/types.bin")));
    files.find(|file| file.is_file()).unwrap_or_else(|| panic!("the sources of envoy-types {version} are not in `{}`", home.display()))
}

fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// Canonical JSON of a message, `Any`s opened, as Envoy reads it. Fails when a map has two entries: its encoding would not be one.
pub(crate) fn to_json(type_url: &str, bytes: &[u8]) -> Value {
    let name = type_url.rsplit('/').next().unwrap();
    let descriptor = DESCRIPTORS.get_message_by_name(name).unwrap_or_else(|| panic!("no descriptor of {name}"));
    let message = DynamicMessage::decode(descriptor, bytes).unwrap();
    deterministic(&message, name);
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(true);
    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
}

fn deterministic(message: &DynamicMessage, path: &str) {
    if message.descriptor().full_name() == "google.protobuf.Any" {
        let url = message.get_field_by_name("type_url").unwrap().as_str().unwrap().to_owned();
        let bytes = message.get_field_by_name("value").unwrap().as_bytes().unwrap().clone();
        let descriptor = DESCRIPTORS.get_message_by_name(url.rsplit('/').next().unwrap()).unwrap();
        return deterministic(&DynamicMessage::decode(descriptor, bytes).unwrap(), &format!("{path}/{url}"));
    }
    for (field, value) in message.fields() {
        let path = format!("{path}.{}", field.name());
        match value {
            Field::Message(inner) => deterministic(inner, &path),
            Field::List(items) => {
                for inner in items.iter().filter_map(Field::as_message) {
                    deterministic(inner, &path);
                }
            }
            Field::Map(entries) => {
                assert!(entries.len() <= 1, "`{path}` has {} entries, so its bytes depend on a hash map's order", entries.len());
                for inner in entries.values().filter_map(Field::as_message) {
                    deterministic(inner, &path);
                }
            }
            Field::Bool(_) | Field::I32(_) | Field::I64(_) | Field::U32(_) | Field::U64(_) | Field::F32(_) | Field::F64(_) => {}
            Field::String(_) | Field::Bytes(_) | Field::EnumNumber(_) => {}
        }
    }
}

/// Compares with `<folder>/<name>.json`.
pub(crate) fn check(folder: &str, name: &str, actual: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("{name}.json"));
    let text = format!("{}\n", serde_json::to_string_pretty(actual).unwrap());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}; `BLESS=1 cargo test` writes it", path.display()));
    assert!(golden == text, "{} differs; `BLESS=1 cargo test` rewrites it. Now:\n{text}", path.display());
}

/// `$ENVOY`, else the one that `make setup` installs.
fn envoy() -> PathBuf {
    std::env::var_os("ENVOY").map_or_else(
        || {
            let path = workspace_root().join(".tools/envoy/1.40.0/envoy");
            assert!(path.is_file(), "`{}` is missing ($ENVOY names another): run `make setup`", path.display());
            path
        },
        PathBuf::from,
    )
}

fn is_1_36() -> bool {
    let version = Command::new(envoy()).arg("--version").output().unwrap();
    String::from_utf8_lossy(&version.stdout).contains("/1.36.")
}

/// What Envoy says to a configuration: nothing, or why it refuses it. Modules are replaced by an empty one, files of roots
/// by one root.
pub(crate) fn validate(config: &Value) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("module.wasm");
    std::fs::write(&module, EMPTY_MODULE).unwrap();
    let mut config = config.clone();
    let roots = folder.path().join("roots.crt");
    std::fs::write(&roots, include_str!("certificate.pem")).unwrap();
    replace_files(&mut config, ".wasm", module.to_str().unwrap());
    replace_files(&mut config, ".crt", roots.to_str().unwrap());
    let file = folder.path().join("envoy.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&config).unwrap()).unwrap();
    let mut command = Command::new(envoy());
    command.args(["--mode", "validate", "--log-level", "warn", "--config-path"]).arg(&file);
    if is_1_36() {
        // It lacks two fields of the TCP chain, which it ignores over xDS and would refuse in a file.
        command.arg("--allow-unknown-static-fields");
    }
    let output = command.output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// As [`validate`], and fails the test when Envoy refuses.
pub(crate) fn accepted(name: &str, config: &Value) {
    if let Err(reason) = validate(config) {
        panic!("Envoy refuses {name}: {reason}\n{}", serde_json::to_string_pretty(config).unwrap());
    }
}

fn replace_files(value: &mut Value, suffix: &str, with: &str) {
    for_each_object(value, &mut |fields| {
        if let Some(filename) = fields.get_mut("filename").filter(|name| name.as_str().is_some_and(|name| name.ends_with(suffix))) {
            *filename = json!(with);
        }
    });
}

/// Puts extensions where filters only name them, so that Envoy looks at them too.
pub(crate) fn inline_extensions(value: &mut Value, extensions: &[Value]) {
    for_each_object(value, &mut |fields| {
        let name = fields.get("name").cloned();
        let found = fields.get("config_discovery").and_then(|_| extensions.iter().find(|extension| extension.get("name") == name.as_ref()));
        if let Some(config) = found.and_then(|extension| extension.get("typed_config")) {
            fields.remove("config_discovery");
            fields.insert("typed_config".to_owned(), config.clone());
        }
    });
}

/// Every object in a value, the outer before the inner.
pub(crate) fn for_each_object(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    if let Value::Object(fields) = value {
        change(fields);
        fields.values_mut().for_each(|field| for_each_object(field, change));
    } else if let Value::Array(items) = value {
        items.iter_mut().for_each(|item| for_each_object(item, change));
    }
}
