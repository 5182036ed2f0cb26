//! The state of a mesh whose documents are right.

use meshwright_config::{State, parse_file};

pub(crate) fn state(text: &str) -> State {
    let documents = parse_file("mesh.yaml", text).into_iter().map(|parsed| parsed.unwrap_or_else(|rejected| panic!("{rejected}\n{text}")));
    let (state, errors) = State::assemble(documents.collect());
    assert!(errors.is_empty(), "{errors:?}\n{text}");
    state
}
