//! docs/wasm-host.md has every misuse, with its severity and the words that a report shows.

use meshwright_wasm_host::Misuse;

const DOCUMENT: &str = include_str!("../../../docs/wasm-host.md");

#[test]
fn the_document_has_every_misuse_in_the_words_of_the_code() {
    let rows: Vec<String> =
        Misuse::ALL.iter().map(|misuse| format!("| `{}` | {} | {misuse} |\n", misuse.name(), misuse.severity().name())).collect();
    let (_, table) = DOCUMENT.split_once("| name | severity | what it is |\n|---|---|---|\n").unwrap();
    assert_eq!(table, rows.concat());
}
