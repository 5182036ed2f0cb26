use meshwright_config::{State, parse_file};
use serde_json::json;

use super::*;

const ROOT: &str = include_str!("../../../../identity/bundle/tests/support/root.pem");

fn declared(url: &str) -> Vec<ForeignDomain> {
    let mesh = json!({"apiVersion": "meshwright.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "mesh"}, "spec": {
        "trustDomain": "own.example", "trustDomains": [
            {"name": "b.example", "bundleEndpointURL": url, "bundleEndpointProfile": {"type": "https_web"}},
            {"name": "c.example", "trustDomainBundle": ROOT}]}});
    let documents = parse_file("a.yaml", &mesh.to_string()).into_iter().map(Result::unwrap).collect();
    State::assemble(documents).0.mesh().unwrap().foreign_domains().to_vec()
}

fn bundle(sequence: u64, hint: u64) -> TrustBundle {
    let domain = TrustDomain::parse("b.example").unwrap();
    TrustBundle::from_pem(&domain, ROOT).unwrap().numbered(sequence, Duration::from_secs(hint))
}

fn held(bundle: TrustBundle) -> Held {
    Held { bundle, fetched: SystemTime::UNIX_EPOCH }
}

fn sequences(plan: &Plan) -> Vec<Option<u64>> {
    plan.report().iter().map(|report| report.sequence).collect()
}

#[test]
fn an_endpoint_is_asked_as_often_as_it_hints_and_ever_more_rarely_when_it_fails() {
    let (mut plan, start) = (Plan::default(), Instant::now());
    let domains = declared("https://b.example/");
    plan.want(&domains, |_| None, start);
    let b = &domains[0];
    assert_eq!(plan.due(start), [Due { of: b.clone(), endpoint: b.endpoint().unwrap().clone(), in_hand: None }]);
    assert_eq!((plan.due(start), plan.next()), (Vec::new(), None), "not twice at once, and what has no endpoint never");
    let mut now = start;
    for seconds in [1, 2, 4, 8] {
        plan.failed(b, "down".to_owned(), now);
        assert_eq!(plan.next(), Some(now + Duration::from_secs(seconds)));
        now += Duration::from_secs(seconds);
        assert_eq!(plan.due(now).len(), 1);
    }
    for _ in 0..40 {
        plan.failed(b, "down".to_owned(), now);
    }
    assert_eq!(plan.next(), Some(now + REFRESH));
    for (sequence, (hint, refresh)) in [(60, 60), (0, 1), (1_000_000, 3600)].into_iter().enumerate() {
        plan.answered(b, held(bundle(u64::try_from(sequence).unwrap(), hint)), now).unwrap();
        assert_eq!(plan.next(), Some(now + Duration::from_secs(refresh)));
    }
    let report = &plan.report()[0];
    assert_eq!((report.failures, report.last_error.clone(), report.roots), (0, None, 1));
}

#[test]
fn an_older_answer_and_one_without_a_number_replace_nothing() {
    let (mut plan, now) = (Plan::default(), Instant::now());
    let domains = declared("https://b.example/");
    plan.want(&domains, |_| None, now);
    plan.answered(&domains[0], held(bundle(7, 60)), now).unwrap();
    let older = plan.answered(&domains[0], held(bundle(6, 60)), now).unwrap_err();
    assert_eq!(older.to_string(), "an answer with sequence 6 is older than the one in hand with 7; it is ignored");
    let unnumbered = TrustBundle::from_pem(domains[0].name(), ROOT).unwrap();
    let older = plan.answered(&domains[0], held(unnumbered), now).unwrap_err();
    assert_eq!(older.to_string(), "an answer with sequence none is older than the one in hand with 7; it is ignored");
    assert_eq!(sequences(&plan), [Some(7), None]);
    assert_eq!(plan.report()[0].failures, 2);
    plan.answered(&domains[0], held(bundle(8, 60)), now).unwrap();
    assert_eq!(sequences(&plan), [Some(8), None]);
}

#[test]
fn what_is_known_holds_for_one_declaration() {
    let (mut plan, now) = (Plan::default(), Instant::now());
    let (here, there) = (declared("https://b.example/"), declared("https://b.example/moved"));
    plan.want(&here, |_| None, now);
    assert_eq!(plan.due(now).len(), 1);
    plan.answered(&here[0], held(bundle(7, 60)), now).unwrap();
    plan.want(&here, |_| unreachable!("it is known"), now);
    assert_eq!(plan.bundles().len(), 1);
    plan.want(&there, |_| None, now);
    assert_eq!((plan.bundles().len(), plan.due(now).len()), (0, 1));
    plan.answered(&here[0], held(bundle(9, 60)), now).unwrap();
    plan.failed(&here[0], "late".to_owned(), now);
    assert!(plan.bundles().is_empty(), "an answer to the declaration of before");
    plan.want(&here, |of| (of == &here[0]).then(|| held(bundle(5, 60))), now);
    assert_eq!(sequences(&plan), [Some(5), None], "what was kept on disk");
    plan.want(&[], |_| None, now);
    assert!(plan.report().is_empty() && plan.bundles().is_empty());
}
