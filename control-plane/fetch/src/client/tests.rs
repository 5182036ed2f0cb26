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
    let config = tls_versions().unwrap().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let client = Client::resolving(config, Hostile).unwrap();
    let error = client.get("http://metadata.example/keys", "application/json").await.unwrap_err();
    let expected =
        "`metadata.example` is 169.254.169.254, a link-local address, where cloud providers keep metadata; keys are never fetched there";
    assert_eq!(error.to_string(), expected);
}
