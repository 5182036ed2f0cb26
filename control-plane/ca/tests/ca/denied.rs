//! Who is denied is issued nothing and given nothing, by whatever proof, and each refusal is recorded.

use std::fs;
use std::time::SystemTime;

use meshwright_ca::client::{self, ClientError};
use meshwright_ca::{DenyList, PeerCertificates, Refusal};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;

use crate::served::{Denied, Served, module, serve};
use crate::support::{openssl_ok, orders};

fn refused(error: ClientError) -> String {
    match error {
        ClientError::Refused { refusal: Refusal::PeerDenied, message } => message,
        other => panic!("{other}"),
    }
}

fn audit(served: &Served) -> Vec<Value> {
    let text = fs::read_to_string(served.dir.path().join("audit.log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_list_says_why() {
    let denied = Denied::default();
    assert_eq!(denied.denies(&orders(), Some("1")), None);
    denied.set(&orders().to_string());
    assert_eq!(denied.denies(&orders(), None).unwrap(), "listed");
}

#[tokio::test]
async fn a_denied_identity_is_issued_nothing_and_keeps_its_token() {
    let served = serve(module(vec![1, 2, 3])).await;
    let joined = served.joined().await;
    let token = served.token("orders");
    let described = client::current_module(&served.address, &joined, SystemTime::now()).await.unwrap();
    served.denied.set(&orders().to_string());
    refused(client::join(&served.address, &token, SystemTime::now()).await.unwrap_err());
    refused(client::renew(&served.address, &joined, SystemTime::now()).await.unwrap_err());
    refused(client::fetch_module(&served.address, &joined, &described, SystemTime::now()).await.unwrap_err());
    let refusals: Vec<Value> = audit(&served).into_iter().filter(|record| record["event"] == "refused").collect();
    assert_eq!(refusals.len(), 3, "{refusals:?}");
    for (record, proof) in refusals.iter().zip(["join-token", "certificate", "certificate"]) {
        assert_eq!((&record["reason"], &record["proof"]), (&"peer-denied".into(), &proof.into()), "{record}");
    }
    assert_eq!(refusals[1]["identity"], orders().to_string());
    served.denied.set("");
    // The token was not used up, and the certificate is as good as it was.
    client::join(&served.address, &token, SystemTime::now()).await.unwrap();
    client::renew(&served.address, &joined, SystemTime::now()).await.unwrap();
}

#[tokio::test]
async fn a_denied_certificate_renews_nothing_and_another_of_the_identity_does() {
    let served = serve(module(vec![])).await;
    let (bad, good) = (served.joined().await, served.joined().await);
    let leaf = CertificateDer::from_pem_slice(bad.chain_pem().as_bytes()).unwrap();
    let serial = PeerCertificates(vec![leaf]).serial().unwrap();
    fs::write(served.dir.path().join("leaf.pem"), bad.chain_pem()).unwrap();
    let printed = openssl_ok(served.dir.path(), &["x509", "-in", "leaf.pem", "-noout", "-serial"]);
    assert_eq!(printed.trim(), format!("serial={}", serial.to_uppercase()), "as openssl prints it");
    served.denied.set(&serial);
    refused(client::renew(&served.address, &bad, SystemTime::now()).await.unwrap_err());
    let record = audit(&served).pop().unwrap();
    assert_eq!((&record["serial"], &record["reason"]), (&serial.into(), &"peer-denied".into()));
    client::renew(&served.address, &good, SystemTime::now()).await.unwrap();
}
