#[path = "../../tests/fetching/server.rs"]
#[expect(dead_code, reason = "the other tests need the rest")]
mod server;

use std::sync::Arc;

use meshwright_fetch::tls_versions;
use rustls::RootCertStore;

use super::*;

fn plaintext() -> meshwright_fetch::Client {
    meshwright_fetch::Client::without_roots().unwrap()
}

#[tokio::test]
async fn a_certificate_of_a_root_that_is_trusted_and_of_the_urls_host() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let server = server::Server::start(Some(Arc::new(config).into())).await;
    server.answers("/keys", "200 OK", &crate::key_set::tests::jwks("a"));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let tls = tls_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    let trusting = Client { plaintext: plaintext(), tls: meshwright_fetch::Client::with_tls(tls) };
    let fetch = async |host: &str| {
        let uri = KeySource::Uri(format!("https://{host}:{}/keys", server.address.port()));
        trusting.fetch(&uri, Duration::from_secs(5)).await.map(|set| set.jwks().to_owned())
    };
    assert_eq!(fetch("localhost").await.as_ref(), Ok(&crate::key_set::tests::set("a").jwks().to_owned()));
    let other = fetch("127.0.0.1").await.unwrap_err().to_string();
    assert!(other.contains("certificate not valid for name"), "{other}");
}

#[tokio::test]
async fn without_roots_there_is_no_tls() {
    let client = Client { plaintext: plaintext(), tls: Err("no roots".to_owned()) };
    let error = client.fetch(&KeySource::Uri("https://127.0.0.1:1/".to_owned()), Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error, GetError::Unreachable("https://127.0.0.1:1/".to_owned(), "no roots".to_owned()).into());
}
