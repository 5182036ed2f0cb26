use std::time::SystemTime;

use meshwright_ca::Refusal;
use meshwright_ca::client::{self, ClientError};

use crate::served::{module, serve};
use crate::support::HOUR;

#[tokio::test]
async fn a_report_of_a_member_of_the_mesh_is_handed_on() {
    let served = serve(module(vec![])).await;
    let (member, now) = (served.joined().await, SystemTime::now());
    let report = async |issuer: &str, kid: &str| client::report_unknown_key(&served.address, &member, issuer, kid, now).await;
    report("https://issuer.example", &"k".repeat(128)).await.unwrap();
    for (issuer, kid) in [("i", ""), ("i", "k".repeat(129).as_str()), ("i".repeat(2049).as_str(), "k")] {
        let error = report(issuer, kid).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused { refusal: Refusal::ReportMalformed, .. }), "{error}");
    }
    assert!(matches!(report(&"i".repeat(5000), "k").await, Err(ClientError::Call { .. })), "more than a report has");
    *served.ahead.lock().unwrap() = 2 * HOUR;
    let expired = report("i", "k").await.unwrap_err();
    assert!(matches!(expired, ClientError::Refused { refusal: Refusal::CertificateInvalid, .. }), "{expired}");
    let expected = [("https://issuer.example".to_owned(), "k".repeat(128))];
    assert_eq!(served.reports.0.lock().unwrap().as_slice(), expected);
}
