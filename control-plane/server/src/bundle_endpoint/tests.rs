use std::path::Path;
use std::time::SystemTime;

use meshwright_identity::TrustDomain;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::service::Routes;

use super::*;
use crate::connections::{self, Lifetimes, Protection};

fn write(folder: &Path, made: &rcgen::CertifiedKey<rcgen::KeyPair>) -> WebCertificate {
    let files = WebCertificate { certificate: folder.join("web.pem"), key: folder.join("web.key") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

fn made() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["bundles.example".to_owned()]).unwrap()
}

/// The whole answer to a client that believes this certificate alone.
async fn get(to: std::net::SocketAddr, trusted: &rcgen::Certificate, path: &str) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(to).await.unwrap();
    let name = "bundles.example".try_into().unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: bundles.example\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Some(answer)
}

#[tokio::test]
async fn the_bundle_is_served_with_the_certificate_that_is_in_the_files_now() {
    let folder = tempfile::tempdir().unwrap();
    let domain = TrustDomain::parse("a.example").unwrap();
    let authority = Authority::open(folder.path(), &domain, "mesh", SystemTime::now()).unwrap();
    let hint = refresh_hint(&authority);
    let publication = Publication::open(folder.path(), &domain, authority.roots(), hint, SystemTime::now()).unwrap();
    let (old, new) = (made(), made());
    let files = Arc::new(FileCertificate::open(write(folder.path(), &old)).unwrap());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let protection = Protection::AnyHttp(Shown::Web(Arc::clone(&files)).acceptor().unwrap());
    let expected = publication.json();
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(connections::serve(listener, protection, Routes::from(router(Arc::new(publication))), stopped, Lifetimes::default()));

    let answer = get(address, &old.cert, "/").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("content-type: application/json"), "{answer}");
    assert!(answer.ends_with(&*expected) && expected.contains("\"spiffe_refresh_hint\":300"), "{answer}");
    assert!(get(address, &old.cert, "/other").await.unwrap().starts_with("HTTP/1.1 404"));
    assert_eq!(get(address, &new.cert, "/").await, None);

    std::fs::write(folder.path().join("web.key"), new.signing_key.serialize_pem()).unwrap();
    assert!(format!("{:#}", files.read().unwrap_err()).contains("do not belong together"), "one file of two is written");
    assert!(get(address, &old.cert, "/").await.is_some(), "the old one goes on");
    write(folder.path(), &new);
    files.read().unwrap();
    assert!(get(address, &new.cert, "/").await.is_some());
    assert_eq!(get(address, &old.cert, "/").await, None);
}
