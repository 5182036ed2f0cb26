//! The published schema is the one that the types give. `MESHWRIGHT_UPDATE=1` writes it anew.

use std::path::Path;

#[test]
fn the_published_schema_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.json");
    let current = format!("{:#}\n", meshwright_policy_test::schema());
    if std::env::var_os("MESHWRIGHT_UPDATE").is_some() {
        std::fs::write(&file, &current).unwrap();
    }
    assert!(std::fs::read_to_string(&file).unwrap() == current, "schema.json is old: run this test with MESHWRIGHT_UPDATE=1");
}

#[test]
fn every_object_of_ours_refuses_unknown_fields() {
    let schema = meshwright_policy_test::schema();
    let definitions = schema["definitions"].as_object().unwrap();
    assert!(definitions.len() > 4);
    for (name, definition) in definitions.iter().filter(|(_, definition)| definition["properties"].is_object()) {
        assert_eq!(definition["additionalProperties"], false, "{name}");
    }
    assert_eq!(schema["additionalProperties"], false);
}
