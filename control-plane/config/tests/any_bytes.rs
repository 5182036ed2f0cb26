//! Whatever a file holds: no panic, every document answered for, the good ones next to the bad ones kept.

#![expect(clippy::string_slice, reason = "tests fail by panicking")]

use std::sync::Arc;

use meshwright_config::{State, parse_file, split_file};
use proptest::prelude::*;

const GOOD: &str = include_str!("../../../examples/bookshop/policy.yaml");
const TRAFFIC: &str = include_str!("../../../examples/bookshop/traffic.yaml");
const SERVICES: &str = include_str!("../../../examples/bookshop/services.yaml");

const SENTINEL: &str =
    "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata:\n  name: sentinel\nspec:\n  address: 127.0.0.1\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let file: Arc<str> = "test.yaml".into();
        let raw = split_file(&bytes);
        let documents = raw.iter().filter_map(|raw| raw.parse(&file).ok()).collect();
        let _state = State::assemble(documents);
    }

    #[test]
    fn arbitrary_yaml_characters(text in "[a-c:\\-\\[\\]{}\"'|>&*!?#%@, \\n\\t~0-9]{0,200}") {
        for parsed in parse_file("test.yaml", &text) {
            prop_assert!(parsed.is_err_and(|rejected| !rejected.errors().is_empty()));
        }
    }

    /// A mutation of one document touches that one alone.
    #[test]
    fn mutated_documents_leave_their_neighbours(
        which in 0_usize..3, at in 0.0..1.0_f64, cut in 0_usize..40, insert in "[a-z:\\-\\[\\]{}\"'|>&*!?#%, \\n\\t~0-9]{0,12}",
    ) {
        let text = [GOOD, TRAFFIC, SERVICES][which];
        #[expect(clippy::as_conversions, clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index from a fraction")]
        let start = (text.len() as f64 * at) as usize;
        let start = (0..=start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let end = (start + cut).min(text.len());
        let end = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        let mutated = format!("{}{insert}{}", &text[..start], &text[end..]);
        let file = format!("{SENTINEL}---\n{mutated}\n---\n{SENTINEL}");
        let parsed = parse_file("test.yaml", &file);
        let sentinel = |index: usize| parsed.get(index).is_some_and(|parsed| parsed.as_ref().is_ok_and(|document| document.key().name() == "sentinel"));
        prop_assert!(sentinel(0) && sentinel(parsed.len() - 1), "{mutated}");
        let originals = parse_file("test.yaml", text).len();
        // A cut may take one or more markers away, an insertion may add some; the rest stays in number.
        let markers = text[start..end].matches("---").count() + insert.matches("---").count();
        prop_assert!(parsed.len() + markers + 2 >= originals + 2, "{} of {originals} documents: {mutated}", parsed.len() - 2);
        let _state = State::assemble(parsed.into_iter().filter_map(Result::ok).collect());
    }
}
