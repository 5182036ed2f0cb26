//! The short way beside the long one: whatever is edited, both come to the same.

use std::collections::BTreeMap;

use super::*;
use crate::scan::Text;

const MESH: &str = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: cluster.local, rootNamespace: istio-system}\n";

fn service(name: &str, port: u16, protocol: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  hosts: [{name}.shop.example]\n  \
         location: MESH_INTERNAL\n  resolution: STATIC\n  ports: [{{number: {port}, name: p, protocol: {protocol}, targetPort: 8080}}]\n  \
         workloadSelector: {{labels: {{app: {name}}}}}\n"
    )
}

fn workload(name: &str, address: usize, app: &str, more: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  address: 10.0.0.{address}\n  \
         labels: {{app: {app}}}\n  serviceAccount: {app}\n{more}"
    )
}

fn files(texts: &BTreeMap<String, String>) -> Files {
    texts.iter().map(|(file, text)| (file.clone(), Ok(Text::fresh(text.clone().into_bytes())))).collect()
}

fn start() -> BTreeMap<String, String> {
    let of = |texts: &[String]| texts.join("---\n");
    BTreeMap::from([
        ("mesh.yaml".to_owned(), MESH.to_owned()),
        ("a.yaml".to_owned(), of(&[service("a", 80, "HTTP"), workload("a-0", 1, "a", ""), workload("a-1", 2, "a", "")])),
        ("b.yaml".to_owned(), of(&[service("b", 81, "HTTP"), workload("b-0", 3, "b", "")])),
    ])
}

/// One of many edits, most of which are instances that come and move.
fn edit(texts: &mut BTreeMap<String, String>, kind: usize, number: usize) {
    let address = 1 + number % 9;
    let instance = |name: usize, app: &str, more: &str| workload(&format!("{app}-{name}"), address, app, more);
    let (file, text) = match kind {
        0..=3 => (format!("w{}.yaml", number % 3), instance(5 + number % 3, "a", "")),
        4..=5 => {
            ("b.yaml".to_owned(), [service("b", 81, "HTTP"), instance(0, "b", ""), workload("b-7", 20 + number % 5, "b", "")].join("---\n"))
        }
        6 => ("b.yaml".to_owned(), [workload("b-0", 3, "b", "  weight: 5\n"), service("b", 81, "HTTP")].join("---\n")),
        // Of another port, with other labels, of an app that is not there, or twice the same.
        7 => ("w1.yaml".to_owned(), instance(6, "a", "  ports: {p: 9000}\n")),
        8 => ("w1.yaml".to_owned(), instance(6, "c", "")),
        9 => ("w2.yaml".to_owned(), [instance(8, "a", ""), workload("a-8", 40, "a", "")].join("---\n")),
        10 => ("w2.yaml".to_owned(), workload("b-0", 50, "b", "")),
        // Wrong, empty or gone.
        11 => ("w0.yaml".to_owned(), workload("a-5", 60, "a", "  wight: 5\n")),
        12 => ("w1.yaml".to_owned(), String::new()),
        13 => {
            texts.remove(&format!("w{}.yaml", number % 3));
            return;
        }
        // Other documents.
        14 => ("c.yaml".to_owned(), service("c", 82, if number.is_multiple_of(2) { "TCP" } else { "HTTP" })),
        _ => (
            "a.yaml".to_owned(),
            [service("a", 80 + u16::try_from(number % 2).unwrap(), "HTTP"), workload("a-0", 1, "a", "")].join("---\n"),
        ),
    };
    texts.insert(file, text);
}

#[test]
fn the_short_way_comes_to_what_the_long_one_does() {
    let mut taken = 0;
    let mut seed = 7_usize;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    for run in 0..200 {
        let (mut texts, guard) = (start(), Guard::new(50, 10));
        let (mut short, mut long) = (Store::new(guard), Store::new(guard));
        let mut before = BTreeMap::new();
        for step in 0..12 {
            for _ in 0..random() % 3 {
                edit(&mut texts, random() % 16, random());
            }
            let now = files(&texts);
            long.is_clean = false;
            long.look(&now);
            // One of them is told what has changed, where nothing has gone.
            if before.keys().all(|file| now.contains_key(file)) {
                let is_same = |file: &String, text: &String| before.get(file) == Some(text);
                let changed = texts.iter().filter(|(file, text)| !is_same(file, text)).map(|(file, _)| file.clone()).collect();
                short.look_at(&now, &changed);
            } else {
                short.look(&now);
            }
            before.clone_from(&texts);
            assert_eq!(short.removes(), long.removes(), "run {run}, step {step}: {texts:#?}");
            let was = (short.is_clean, short.changed.len());
            let (one, other) = (short.update(&Saved::default()), long.update(&Saved::default()));
            assert_eq!(one, other, "run {run}, step {step}: {texts:#?}");
            taken += usize::from(was == (true, 1) && one.is_ok_and(|one| one.documents().len() > 5));
        }
    }
    assert!(taken > 100, "{taken} edits of one file in a clean mesh");
}

#[test]
fn the_short_way_is_for_instances_that_come_and_move() {
    let mut texts = start();
    let mut store = Store::new(Guard::new(50, 10));
    store.look(&files(&texts));
    store.update(&Saved::default()).unwrap();
    let mut taken = |file: &str, text: String| {
        texts.insert(file.to_owned(), text);
        store.look(&files(&texts));
        let taken = store.take_instances(&Saved::default()).is_some();
        assert!(taken || store.update(&Saved::default()).is_ok());
        taken
    };
    assert!(taken("w.yaml", workload("a-2", 30, "a", "")), "one more");
    assert!(taken("w.yaml", workload("a-2", 31, "a", "")), "moved");
    assert!(!taken("w.yaml", workload("a-2", 1, "a", "")), "where another is");
    assert!(!taken("w.yaml", workload("a-2", 31, "a", "")), "what is not in force yet");
    assert!(!taken("w.yaml", workload("a-2", 31, "b", "")), "another service's");
    assert!(!taken("w.yaml", workload("a-3", 31, "b", "")), "instead of another");
    assert!(!taken("v.yaml", service("v", 90, "HTTP")));
}
