use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const CDS: ResourceType = ResourceType::Cluster;
const EDS: ResourceType = ResourceType::Endpoint;

fn snapshot(resources: &[(ResourceType, &str, u8)]) -> Snapshot {
    let made = resources.iter().map(|(kind, name, content)| Resource::new(*kind, *name, Bytes::copy_from_slice(&[*content]), vec![]));
    Snapshot::build(made).unwrap()
}

fn version(content: u8) -> String {
    snapshot(&[(CDS, "a", content)]).get(CDS, "a").unwrap().version().to_owned()
}

/// What a proxy has acknowledged, as name → content.
fn acknowledge(propagation: &mut Propagation, kind: ResourceType, held: &[(&str, u8)]) -> usize {
    let held: BTreeMap<String, String> = held.iter().map(|(name, content)| ((*name).to_owned(), version(*content))).collect();
    let held = &held;
    propagation.acknowledged(kind, &|of, name| (of == kind).then(|| held.get(name).map(String::as_str))?, Instant::now()).len()
}

#[test]
fn a_revision_is_done_when_all_that_it_changed_is_acknowledged() {
    let mut propagation = Propagation::default();
    let (old, new) = (snapshot(&[(CDS, "a", 1), (CDS, "same", 1)]), snapshot(&[(CDS, "a", 2), (CDS, "same", 1), (EDS, "b", 1)]));
    propagation.retarget(2, Some(Instant::now()), &differences(&old, &new).into());
    assert_eq!(acknowledge(&mut propagation, CDS, &[("a", 1), ("same", 1)]), 0, "still the old one");
    assert_eq!(acknowledge(&mut propagation, CDS, &[("a", 2)]), 0, "its endpoints are missing");
    assert_eq!(propagation.latency(2), None);
    assert_eq!(acknowledge(&mut propagation, EDS, &[("b", 1)]), 1);
    assert!(propagation.latency(2).is_some());
    propagation.retarget(3, Some(Instant::now()), &differences(&new, &new).into());
    assert!(propagation.pending.is_empty(), "nothing changed");
}

#[test]
fn a_later_version_stands_for_an_earlier_one_and_not_the_reverse() {
    let mut propagation = Propagation::default();
    let versions: Vec<Snapshot> = (1..=3).map(|content| snapshot(&[(CDS, "a", content)])).collect();
    propagation.retarget(2, Some(Instant::now()), &differences(&versions[0], &versions[1]).into());
    propagation.retarget(3, Some(Instant::now()), &differences(&versions[1], &versions[2]).into());
    assert!(propagation.was_target_since(2, CDS, "a", Some(&version(2))), "revision 2 made it, revision 3 replaces it");
    assert!(!propagation.was_target_since(2, CDS, "a", Some(&version(1))));
    assert!(!propagation.was_target_since(3, CDS, "a", Some(&version(2))));
    assert_eq!(acknowledge(&mut propagation, CDS, &[("a", 2)]), 1, "revision 2 only");
    assert_eq!(acknowledge(&mut propagation, CDS, &[("a", 3)]), 1);
    propagation.retarget(4, Some(Instant::now()), &differences(&versions[2], &versions[0]).into());
    propagation.retarget(5, Some(Instant::now()), &differences(&versions[0], &versions[1]).into());
    assert_eq!(acknowledge(&mut propagation, CDS, &[("a", 2)]), 2, "both at once");
}

#[test]
fn a_removal_is_waited_for_where_proxies_tell_of_it() {
    let mut propagation = Propagation::default();
    propagation.retarget(2, None, &differences(&snapshot(&[(CDS, "a", 1), (EDS, "a", 1)]), &snapshot(&[])).into());
    assert_eq!(propagation.pending[0].waiting.changes().len(), 1);
    acknowledge(&mut propagation, CDS, &[("a", 1)]);
    assert_eq!(propagation.pending.len(), 1);
    acknowledge(&mut propagation, CDS, &[]);
    assert!(propagation.pending.is_empty());
}

proptest! {
    /// Of a proxy that never answers a bounded number of revisions is kept, and once it holds the newest all are done.
    #[test]
    fn what_is_kept_is_bounded_and_ends(contents in proptest::collection::vec((0_u8..3, 0_u8..3, 0_u8..3), 1..100)) {
        let make = |(a, b, c): &(u8, u8, u8)| {
            let all = [("a", *a), ("b", *b), ("c", *c)];
            let there: Vec<(ResourceType, &str, u8)> = all.into_iter().filter(|(_, content)| *content > 0).map(|(name, content)| (CDS, name, content)).collect();
            there
        };
        let mut propagation = Propagation::default();
        let mut last = snapshot(&[]);
        for (revision, content) in (1_u64..).zip(&contents) {
            let next = snapshot(&make(content));
            propagation.retarget(revision, Some(Instant::now()), &differences(&last, &next).into());
            last = next;
            prop_assert!(propagation.pending.len() <= MOST_PENDING);
            prop_assert!(propagation.pending.iter().all(|pending| pending.waiting.changes().len() <= 3));
        }
        let newest: Vec<(&str, u8)> = make(contents.last().unwrap()).into_iter().map(|(_, name, content)| (name, content)).collect();
        acknowledge(&mut propagation, CDS, &newest);
        prop_assert!(propagation.pending.is_empty());
    }
}
