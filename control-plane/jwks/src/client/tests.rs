#[path = "../../tests/fetching/server.rs"]
#[expect(dead_code, reason = "the other tests need the rest")]
mod server;

use reqwest::dns::{Addrs, Name, Resolving};

use super::*;

/// Of two answers the second leads to the machine's own secrets.
#[derive(Debug)]
struct Hostile;

impl Resolve for Hostile {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = ["127.0.0.1:1", "169.254.169.254:1"].map(|address| address.parse().unwrap());
        let checked = resolver::check(name.as_str(), &addresses);
        Box::pin(async move {
            checked?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[tokio::test]
async fn a_refused_name_says_so_whatever_is_around_the_error() {
    let client = Client { plaintext: client(no_roots().unwrap(), Hostile).unwrap(), tls: Err("none".to_owned()) };
    let source = KeySource::Uri("http://metadata.example/keys".to_owned());
    let error = client.fetch(&source, Duration::from_secs(5)).await.unwrap_err();
    let expected =
        "`metadata.example` is 169.254.169.254, a link-local address, where cloud providers keep metadata; keys are never fetched there";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.outcome().as_str(), "refused_address");
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
    let tls = with_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    let trusting =
        Client { plaintext: client(no_roots().unwrap(), Checked).unwrap(), tls: client(tls, Checked).map_err(|error| words(&error)) };
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
    let client = Client { plaintext: client(no_roots().unwrap(), Checked).unwrap(), tls: Err("no roots".to_owned()) };
    let error = client.fetch(&KeySource::Uri("https://127.0.0.1:1/".to_owned()), Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error, FetchError::Unreachable("https://127.0.0.1:1/".to_owned(), "no roots".to_owned()));
}
