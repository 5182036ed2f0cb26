//! What is generated is right, the same each time, and tells edits apart.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use meshwright_workloads::{Mesh, PolicyEdit, Shape, Workload, marker_address, policy_yaml};

fn write(mesh: &Mesh, folder: &Path) {
    for (file, text) in mesh.files() {
        let file = folder.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

#[test]
fn every_workload_has_no_errors() {
    for workload in Workload::ALL {
        let shape = workload.shape().divided(20);
        let folder = tempfile::tempdir().unwrap();
        let mesh = Mesh::new(shape, 1);
        write(&mesh, folder.path());
        let checked = meshwright_sources::load_once(folder.path()).unwrap();
        assert!(checked.errors().is_empty(), "{}: {:?}", workload.name(), checked.errors());
        assert_eq!(checked.state().workloads().len(), shape.services * shape.endpoints + shape.hot);
        for proxy in mesh.proxies() {
            let metadata = &proxy.metadata["meshwright"];
            let (namespace, name) = (metadata["namespace"].as_str().unwrap(), metadata["workload"].as_str().unwrap());
            assert!(checked.state().workload(namespace, name).is_some(), "{namespace}/{name}");
        }
    }
}

#[test]
fn edits_are_right_too() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = Mesh::new(Shape::new(3, 2, 0), 7);
    write(&mesh, folder.path());
    let service = &mesh.services()[1];
    std::fs::write(folder.path().join(service.file()), service.routed(5).yaml_with(false, &marker_address(9))).unwrap();
    std::fs::write(folder.path().join(meshwright_workloads::POLICY_FILE), policy_yaml(PolicyEdit { sequence: 3, annotation: 1 })).unwrap();
    let checked = meshwright_sources::load_once(folder.path()).unwrap();
    assert!(checked.errors().is_empty(), "{:?}", checked.errors());
    assert_eq!(checked.state().workloads().len(), 7);
}

#[test]
fn the_same_seed_gives_the_same_files_and_another_seed_others() {
    let files = |seed| Mesh::new(Workload::W7.shape().divided(10), seed).files().collect::<Vec<_>>();
    assert_eq!(files(1), files(1));
    assert_ne!(files(1), files(2));
}

#[test]
fn markers_are_addresses_of_one_length() {
    let markers: BTreeSet<String> = (0..30_000).map(marker_address).collect();
    assert_eq!(markers.len(), 30_000);
    assert!(markers.iter().all(|marker| marker.len() == 14 && marker.parse::<std::net::Ipv4Addr>().is_ok()));
}
