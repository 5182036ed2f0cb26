use std::net::Ipv4Addr;
use std::time::SystemTime;

use meshwright_ca::{Authority, server_tls_config};
use meshwright_identity::TrustDomain;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

#[tokio::test]
async fn a_server_is_known_by_its_spiffe_id_and_its_roots() {
    let folder = tempfile::tempdir().unwrap();
    let domain = TrustDomain::parse("cluster.local").unwrap();
    let authority = |name: &str| Authority::open(&folder.path().join(name), &domain, "istio-system", SystemTime::now()).unwrap();
    let (own, other) = (authority("own"), authority("other"));
    let roots = |authority: &Authority, name: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, authority.trust_bundle_pem()).unwrap();
        file
    };
    let (own_roots, other_roots) = (roots(&own, "own.pem"), roots(&other, "other.pem"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (config, _certificate) = server_tls_config(&own, SystemTime::now()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Whether the client agrees is for the client to say.
            let _ended = acceptor.accept(stream).await;
        }
    });
    let connect = async |name: &str, roots: &Path| Target::new(address, name, Some(roots)).unwrap().connect(None).await.map(drop);
    let id = "spiffe://cluster.local/ns/istio-system/sa/meshwright-control-plane";
    connect(id, &own_roots).await.unwrap();
    let wrong_id = connect("spiffe://cluster.local/ns/istio-system/sa/other", &own_roots).await.unwrap_err();
    assert!(format!("{wrong_id:#}").contains("NotValidForName"), "{wrong_id:#}");
    connect(id, &other_roots).await.unwrap_err();
    connect("localhost", &own_roots).await.unwrap_err();
}
