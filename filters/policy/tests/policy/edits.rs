//! A configuration that is read beside an earlier one compiles to what it compiles to alone, whatever was edited.

use std::fmt::Write as _;

use meshwright_policy::Policy;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Bodies of documents; one that is wrong, and two that differ in space alone.
const BODIES: [&str; 9] = [
    r#""action":"ALLOW""#,
    r#""action":"ALLOW","rules":[{"to":[{"operation":{"paths":["/a"]}}]}]"#,
    r#""action":"ALLOW","rules":[{"to":[{"operation":{"paths":["/a"]}}]} ]"#,
    r#""action":"ALLOW","dry_run":true,"rules":[{"when":[{"key":"request.headers[x]","values":["}","{"]}]},{}]"#,
    r#""action":"DENY","rules":[{"from":[{"source":{"principals":["cluster.local/ns/n/sa/a","old.test/ns/n/sa/b"]}}]}]"#,
    r#""action":"DENY","rules":[{"when":[{"key":"destination.port","values":["80"]}]},{"to":[{"operation":{"methods":["GET"]}}]}]"#,
    r#""action":"CUSTOM","provider":"p","rules":[{}]"#,
    r#""action":"AUDIT","rules":[{"from":[{"source":{"ipBlocks":["10.0.0.0/8"]}}]}]"#,
    r#""action":"DENY""#,
];
const GOOD: std::ops::Range<usize> = 0..8;
const HEADS: [&str; 4] = [
    r#""protocol":"http","trust_domain":"mesh.test""#,
    r#""protocol":"http","trust_domain":"mesh.test","trust_domain_aliases":["old.test"]"#,
    r#""protocol":"tcp","trust_domain":"mesh.test""#,
    r#""protocol":"http","trust_domain":"new.test""#,
];

fn text(head: &str, documents: &[(usize, usize)]) -> Vec<u8> {
    let mut list = String::new();
    for (name, body) in documents {
        let separator = if list.is_empty() { "" } else { ", " };
        write!(list, "{separator}{{\"namespace\":\"n\",\"name\":\"{name}\",{}}}", BODIES[*body]).unwrap();
    }
    format!("{{\"authorization\":[{list}],\"version\":1,{head}}}").into_bytes()
}

/// Names in some order, mostly ascending, mostly once, with bodies that are mostly good.
fn documents() -> impl Strategy<Value = Vec<(usize, usize)>> {
    let body = prop_oneof![20 => GOOD, 1 => 8..9_usize];
    let names = prop_oneof![8 => subsequence((0..12_usize).collect::<Vec<_>>(), 0..12), 1 => prop::collection::vec(0..12_usize, 0..6)];
    names.prop_flat_map(move |names| {
        let bodies = prop::collection::vec(body.clone(), names.len());
        bodies.prop_map(move |bodies| names.iter().copied().zip(bodies).collect())
    })
}

/// Few documents change from one to the next.
fn edited(documents: &[(usize, usize)], edit: (usize, usize, usize)) -> Vec<(usize, usize)> {
    let (kind, place, body) = edit;
    let mut documents = documents.to_vec();
    let place = place % documents.len().max(1);
    match kind {
        0 if place < documents.len() => documents[place].1 = body,
        1 if place < documents.len() => drop(documents.remove(place)),
        2 => documents.insert(place.min(documents.len()), (100 + place, body)),
        3 if place < documents.len() => drop(documents.drain(place / 2..=place)),
        _ => documents.reverse(),
    }
    documents
}

proptest! {
    #[test]
    fn it_is_what_it_would_be_alone(
        first in documents(),
        edits in prop::collection::vec(((0..5_usize, 0..12_usize, 0..9_usize), select(vec![0, 0, 0, 0, 1, 2, 3])), 1..8),
    ) {
        let mut documents = first;
        let mut before: Vec<Policy> = Vec::new();
        for (edit, head) in edits {
            let text = text(HEADS[head], &documents);
            let alone = Policy::from_json_after(text.clone(), &[]);
            let beside = Policy::from_json_after(text.clone(), &before.iter().collect::<Vec<_>>());
            prop_assert_eq!(format!("{beside:?}"), format!("{alone:?}"), "{}", String::from_utf8_lossy(&text));
            prop_assert_eq!(Policy::from_json(&text).err(), alone.as_ref().err().cloned());
            // A configuration that is refused replaces none; at most two are there to read beside.
            if let Ok(policy) = beside {
                before.insert(0, policy);
                before.truncate(2);
            }
            documents = edited(&documents, edit);
        }
    }
}

#[test]
fn what_is_wrong_behind_known_documents_is_told_by_its_place() {
    let before = Policy::from_json_after(text(HEADS[0], &[(0, 1), (1, 2)]), &[]).unwrap();
    let error = Policy::from_json_after(text(HEADS[0], &[(0, 1), (1, 2), (2, 8)]), &[&before]).unwrap_err().to_string();
    assert!(error.starts_with("authorization[2].rules: "), "{error}");
    let error = Policy::from_json_after(text(HEADS[0], &[(0, 1), (1, 2), (0, 2)]), &[&before]).unwrap_err().to_string();
    assert!(error.starts_with("authorization[2]: found `n/0` again"), "{error}");
    let mut cut = text(HEADS[0], &[(0, 1), (1, 2)]);
    cut.truncate(90);
    assert!(Policy::from_json_after(cut, &[&before]).unwrap_err().to_string().contains("at byte"), "a text that ends in a document");
}
