#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
//! Fetching over real connections: what is taken, what is not, what is kept.

mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meshwright_config::{KeySource, State, parse_file};
use meshwright_jwks::{Fetcher, Keys, Outcome, Report, SourceReport};
use server::Server;
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(20);

/// A set of one key (RFC 8037, appendix A.2) under that name.
fn jwks(kid: &str) -> String {
    format!(r#"{{"keys":[{{"crv":"Ed25519","kid":"{kid}","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}]}}"#)
}

fn state(rules: &[String]) -> State {
    let text = format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: tokens}}\nspec: {{jwtRules: [{}]}}\n",
        rules.join(", ")
    );
    let documents = parse_file("a.yaml", &text).into_iter().map(|parsed| parsed.unwrap_or_else(|error| panic!("{error:?}")));
    let (state, errors) = State::assemble(documents.collect());
    assert!(errors.is_empty(), "{errors:?}");
    state
}

fn rule(uri: &str) -> String {
    format!("{{issuer: me, jwksUri: '{uri}', timeout: 2s}}")
}

/// A fetcher that ends with the value.
struct Running {
    keys: Keys,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn run(data_dir: &Path, state: &State) -> Running {
    let (fetcher, keys) = Fetcher::open(data_dir, state).unwrap();
    Running { keys, task: tokio::spawn(fetcher.run()) }
}

impl Running {
    /// The report, once `holds` is true of it.
    async fn when(&self, holds: impl Fn(&Report) -> bool) -> Arc<Report> {
        let mut reports = self.keys.reports();
        let found = tokio::time::timeout(LONG, async { Arc::clone(&*reports.wait_for(|report| holds(report)).await.unwrap()) }).await;
        found.unwrap_or_else(|_| panic!("never: {:?}", self.keys.report()))
    }

    async fn failed(&self) -> SourceReport {
        let report = self.when(|report| report.sources.iter().any(|source| source.last_error.is_some())).await;
        report.sources.iter().find(|source| source.last_error.is_some()).unwrap().clone()
    }

    /// The only set, once it is the one of that name.
    async fn has(&self, source: &KeySource, kid: &str) {
        let mut sets = self.keys.key_sets();
        let found = sets.wait_for(|sets| sets.get(source) == Some(&jwks(kid)));
        assert!(tokio::time::timeout(LONG, found).await.is_ok(), "never `{kid}`: {:?}", self.keys.report());
    }
}

#[tokio::test]
async fn keys_are_fetched_checked_and_kept_over_a_restart() {
    let (data, server) = (tempfile::tempdir().unwrap(), Server::start(None).await);
    server.answers("/keys", "200 OK", &jwks("one").replace(",\"kty\"", ",\"x5c\":[],\"kty\""));
    let (source, state) = (KeySource::Uri(server.url("/keys")), state(&[rule(&server.url("/keys"))]));
    let first = run(data.path(), &state);
    first.has(&source, "one").await;
    let report = first.when(|report| report.sources[0].keys == 1).await;
    assert_eq!((report.sources[0].issuers.as_slice(), report.fetches[&Outcome::Success]), (&["me".to_owned()][..], 1));
    drop((first, server));
    let second = run(data.path(), &state);
    assert_eq!(second.keys.key_sets().borrow().get(&source), Some(&jwks("one")), "at once");
    let failed = second.failed().await;
    assert!(failed.last_error.as_ref().unwrap().contains("cannot be reached: Connection refused"), "{failed:?}");
    assert!(failed.keys == 1 && failed.last_success.is_some());
    second.has(&source, "one").await;
}

#[tokio::test]
async fn an_unknown_key_has_its_keys_fetched_again() {
    let (data, server) = (tempfile::tempdir().unwrap(), Server::start(None).await);
    server.answers("/keys", "200 OK", &jwks("one"));
    let source = KeySource::Uri(server.url("/keys"));
    let running = run(data.path(), &state(&[rule(&server.url("/keys"))]));
    running.has(&source, "one").await;
    server.answers("/keys", "200 OK", &jwks("two"));
    for kid in ["one", "two", "three", "two"] {
        running.keys.unknown_key("me".to_owned(), kid.to_owned());
    }
    running.has(&source, "two").await;
    assert_eq!(server.asked(), ["/keys", "/keys"], "once");
}

#[tokio::test]
async fn an_issuers_configuration_says_where_its_keys_are() {
    let (data, server) = (tempfile::tempdir().unwrap(), Server::start(None).await);
    let issuer = server.url("/realm");
    let configuration = format!(r#"{{"issuer": "{issuer}", "jwks_uri": "{}"}}"#, server.url("/keys"));
    server.answers("/realm/.well-known/openid-configuration", "200 OK", &configuration);
    server.answers("/keys", "200 OK", &jwks("one"));
    let running = run(data.path(), &state(&[format!("{{issuer: '{issuer}'}}")]));
    running.has(&KeySource::Issuer(issuer), "one").await;
    assert_eq!(server.asked(), ["/realm/.well-known/openid-configuration", "/keys"]);
}

#[tokio::test]
async fn what_is_not_a_key_set_replaces_nothing() {
    let server = Server::start(None).await;
    server.answers("/moved", "302 Found\r\nlocation: /keys", "");
    server.answers("/keys", "200 OK", &jwks("one"));
    server.answers("/error", "503 Service Unavailable", &jwks("one"));
    server.answers("/html", "200 OK", "<html>");
    server.answers("/none", "200 OK", r#"{"keys":[]}"#);
    server.answers("/private", "200 OK", &jwks("one").replace("\"kid\"", "\"d\":\"AAAA\",\"kid\""));
    server.answers("/large", "200 OK", &" ".repeat(1024 * 1024 + 1));
    server.answers("/cut", "200 OK\r\ncontent-length: 1000\r\nx: y", "{}");
    for (path, outcome, words) in [
        ("/moved", Outcome::BadAnswer, "answered with a redirect (302), which is not followed"),
        ("/error", Outcome::BadAnswer, "answered 503"),
        ("/missing", Outcome::BadAnswer, "answered 404"),
        ("/html", Outcome::BadKeys, "found no JSON object"),
        ("/none", Outcome::BadKeys, "found no key that verifies signatures"),
        ("/private", Outcome::BadKeys, "found a private key"),
        ("/large", Outcome::BadAnswer, "answered with more than 1048576 bytes"),
        ("/cut", Outcome::Unreachable, "cannot be reached"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let running = run(data.path(), &state(&[rule(&server.url(path))]));
        let failed = running.failed().await;
        assert!(failed.last_error.as_ref().unwrap().contains(words), "{path}: {failed:?}");
        assert_eq!((failed.keys, running.keys.report().fetches[&outcome]), (0, 1), "{path}");
        assert!(running.keys.key_sets().borrow().is_empty());
        assert_eq!(std::fs::read_dir(data.path().join("jwks")).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_server_that_never_answers_costs_the_rules_timeout() {
    let data = tempfile::tempdir().unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://localhost:{}/keys", silent.local_addr().unwrap().port());
    let running = run(data.path(), &state(&[format!("{{issuer: me, jwksUri: '{uri}', timeout: 50ms}}")]));
    let failed = running.failed().await;
    assert_eq!(failed.last_error.as_deref(), Some("no answer within 50ms"));
    assert_eq!(running.keys.report().fetches[&Outcome::Timeout], 1);
}

#[tokio::test]
async fn tls_wants_a_certificate_of_the_systems_roots() {
    let data = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let server = Server::start(Some(Arc::new(config).into())).await;
    server.answers("/keys", "200 OK", &jwks("one"));
    let uri = format!("https://localhost:{}/keys", server.address.port());
    let failed = run(data.path(), &state(&[rule(&uri)])).failed().await;
    assert!(failed.last_error.as_ref().unwrap().contains("invalid peer certificate"), "{failed:?}");
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn documents_come_and_go() {
    let (data, server) = (tempfile::tempdir().unwrap(), Server::start(None).await);
    let running = run(data.path(), &state(&[]));
    assert_eq!(*running.keys.report(), *running.when(|report| report.sources.is_empty()).await);
    server.answers("/keys", "200 OK", &jwks("one"));
    running.keys.want(&state(&[rule(&server.url("/keys"))]));
    running.has(&KeySource::Uri(server.url("/keys")), "one").await;
    running.keys.want(&state(&[]));
    running.when(|report| report.sources.is_empty()).await;
    assert!(running.keys.key_sets().borrow().is_empty());
}
