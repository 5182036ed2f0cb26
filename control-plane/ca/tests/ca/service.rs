use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use meshwright_ca::client::{self, BadAnswer, ClientError, ModuleDescription};
use meshwright_ca::{JoinToken, Module, Refusal, create_join_token, server_tls_config};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::served::{module, serve, serve_behind};
use crate::support::{DAY, HOUR, mesh, orders, secret_lines, start};

fn refusal(error: &ClientError) -> Option<Refusal> {
    if let ClientError::Refused { refusal, .. } = error { Some(*refusal) } else { None }
}

#[tokio::test]
async fn join_renew_and_fetch() {
    let wasm: Vec<u8> = (0..1_000_003_u32).map(|i| i.to_le_bytes()[usize::try_from(i % 3).unwrap()]).collect();
    let served = serve(module(wasm.clone())).await;
    let now = SystemTime::now();
    let joined = served.joined().await;
    assert_eq!(joined.identity(), &orders());
    assert_eq!(joined.control_plane_identity(), served.authority.control_plane_identity());
    assert_eq!(joined.trust_bundle_pem(), served.authority.trust_bundle_pem());
    assert!(joined.not_after() > now + HOUR - Duration::from_secs(60) && joined.not_after() < now + HOUR + Duration::from_secs(60));
    let renewed = client::renew(&served.address, &joined, now).await.unwrap();
    assert_eq!(renewed.identity(), &orders());
    assert_ne!(renewed.key().pem(), joined.key().pem(), "a new key");
    assert_ne!(renewed.chain_pem(), joined.chain_pem());
    let described = client::current_module(&served.address, &renewed, now).await.unwrap();
    assert_eq!(described.size, 1_000_003);
    assert_eq!(client::fetch_module(&served.address, &renewed, &described, now).await.unwrap(), wasm);
}

#[tokio::test]
async fn a_token_works_once_and_each_refusal_has_its_reason() {
    let served = serve(module(vec![])).await;
    let now = SystemTime::now();
    let join = async |token: &JoinToken| refusal(&client::join(&served.address, token, now).await.unwrap_err());
    let token = served.token("orders");
    client::join(&served.address, &token, now).await.unwrap();
    assert_eq!(join(&token).await, Some(Refusal::TokenUsed));
    let root = token.reveal().rsplit('.').next().unwrap();
    let forged = JoinToken::parse(&format!("mwjoin1.{}.{root}", "A".repeat(43))).unwrap();
    assert_eq!(join(&forged).await, Some(Refusal::TokenUnknown));
    let late = served.token("orders");
    *served.ahead.lock().unwrap() = 2 * HOUR;
    assert_eq!(join(&late).await, Some(Refusal::TokenExpired));
    let error = client::join(&served.address, &late, now).await.unwrap_err().to_string();
    assert!(error.contains("expired at") && error.contains("meshwright token create"), "{error}");
}

#[tokio::test]
async fn of_a_hundred_joins_at_once_exactly_one_gets_a_certificate() {
    let served = serve(module(vec![])).await;
    let token = served.token("orders");
    let joins: Vec<_> = (0..100)
        .map(|_| {
            let (address, token) = (served.address.clone(), token.clone());
            tokio::spawn(async move { client::join(&address, &token, SystemTime::now()).await })
        })
        .collect();
    let (mut won, mut used) = (0, 0);
    for join in joins {
        match join.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => {
                assert_eq!(refusal(&error), Some(Refusal::TokenUsed), "{error}");
                used += 1;
            }
        }
    }
    assert_eq!((won, used), (1, 99));
}

#[tokio::test]
async fn a_server_that_is_not_the_tokens_control_plane_never_sees_the_token() {
    let (ours, theirs) = (serve(module(vec![])).await, serve(module(vec![])).await);
    let token = ours.token("orders");
    let error = client::join(&theirs.address, &token, SystemTime::now()).await.unwrap_err();
    assert!(matches!(error, ClientError::Fingerprint { .. }), "{error}");
    assert!(!error.to_string().contains(token.reveal()));
    assert!(client::join(&ours.address, &token, SystemTime::now()).await.is_ok(), "still unused");
    // Nor is one of another mesh's control planes good for renewal.
    let joined = ours.joined().await;
    let error = client::renew(&theirs.address, &joined, SystemTime::now()).await.unwrap_err();
    assert!(matches!(error, ClientError::NotControlPlane { .. }), "{error}");
}

#[tokio::test]
async fn a_workload_of_the_mesh_cannot_pass_for_the_control_plane() {
    let (dir, authority) = mesh(SystemTime::now());
    let key = client::generate_key().unwrap();
    let issued = authority.issue(&key.signing_request().unwrap(), &orders(), HOUR, SystemTime::now()).unwrap();
    let mut chain = issued.chain;
    chain.push(authority.root_certificate());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key.to_der()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let accepted = tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.is_ok() });
    let token = create_join_token(dir.path(), "bookshop", "orders", HOUR, SystemTime::now()).unwrap();
    let error = client::join(&address, &token, SystemTime::now()).await.unwrap_err();
    assert!(matches!(error, ClientError::NotControlPlane { .. }), "{error}");
    assert!(error.to_string().contains("its identity is `spiffe://shop.example/ns/bookshop/sa/orders`"), "{error}");
    assert!(!accepted.await.unwrap(), "the handshake itself fails");
}

#[tokio::test]
async fn an_expired_certificate_renews_nothing() {
    let served = serve(module(vec![])).await;
    let joined = served.joined().await;
    // The client knows by its own clock.
    let error = client::renew(&served.address, &joined, SystemTime::now() + DAY).await.unwrap_err();
    assert!(matches!(error, ClientError::Expired { .. }) && error.to_string().contains("join again"), "{error}");
    // The server judges by its own, also on a connection that TLS accepted.
    *served.ahead.lock().unwrap() = DAY;
    let error = client::renew(&served.address, &joined, SystemTime::now()).await.unwrap_err();
    assert_eq!(refusal(&error), Some(Refusal::CertificateInvalid), "{error}");
}

#[tokio::test]
async fn a_certificate_that_the_servers_tls_refuses_says_join_again() {
    let served = serve_behind(module(vec![]), 2 * HOUR).await;
    let then = SystemTime::now() - 2 * HOUR;
    let token = create_join_token(served.dir.path(), "bookshop", "orders", HOUR, then).unwrap();
    // Good for an hour from two hours ago, and the client's clock stands there still.
    let joined = client::join(&served.address, &token, then).await.unwrap();
    let error = client::renew(&served.address, &joined, then).await.unwrap_err();
    assert_eq!(refusal(&error), Some(Refusal::CertificateInvalid), "{error:?}");
    assert!(error.to_string().contains("CertificateExpired") && error.to_string().contains("join again"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_mesh_is_refused_by_the_handshake() {
    let (ours, theirs) = (serve(module(vec![])).await, serve(module(vec![])).await);
    let foreign = theirs.joined().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ours.authority.root_certificate()).unwrap();
    let chain = rustls_pki_types::pem::PemObject::pem_slice_iter(foreign.chain_pem().as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let trusting = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let trusting = trusting.with_safe_default_protocol_versions().unwrap().dangerous();
    let config =
        trusting.with_custom_certificate_verifier(Arc::new(AnyServer)).with_client_auth_cert(chain, foreign.key().to_der()).unwrap();
    let tcp = TcpStream::connect(&ours.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    let refused = tokio::io::AsyncReadExt::read_u8(&mut tls).await.unwrap_err().to_string();
    assert!(refused.contains("UnknownCA"), "{refused}");
}

/// Only to look at how the server treats a client.
#[derive(Debug)]
struct AnyServer;

mod any_server {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    impl ServerCertVerifier for super::AnyServer {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
}

#[tokio::test]
async fn a_wrong_or_truncated_module_is_refused() {
    let now = SystemTime::now();
    // The server's digest is not that of its bytes.
    let lying = serve(Module { sha256: "ab".repeat(32), bytes: Bytes::from_static(b"\0asm") }).await;
    let joined = lying.joined().await;
    let described = client::current_module(&lying.address, &joined, now).await.unwrap();
    let error = client::fetch_module(&lying.address, &joined, &described, now).await.unwrap_err();
    assert!(matches!(error, ClientError::Answer(BadAnswer::ModuleDigest { .. })), "{error}");
    // Larger than announced.
    let honest = module(vec![7; 200_000]);
    let served = serve(honest.clone()).await;
    let joined = served.joined().await;
    let less = ModuleDescription { sha256: honest.sha256.clone(), size: 199_999 };
    let error = client::fetch_module(&served.address, &joined, &less, now).await.unwrap_err();
    assert!(matches!(error, ClientError::Answer(BadAnswer::ModuleSize { .. })), "{error}");
    // Not there.
    let other = ModuleDescription { sha256: "cd".repeat(32), size: 4 };
    let error = client::fetch_module(&served.address, &joined, &other, now).await.unwrap_err();
    assert_eq!(refusal(&error), Some(Refusal::ModuleUnknown), "{error}");
}

#[tokio::test]
async fn who_is_not_there_or_not_tls_is_told_apart() {
    let served = serve(module(vec![])).await;
    let token = served.token("orders");
    let join = async |address: &str| client::join(address, &token, SystemTime::now()).await.unwrap_err();
    for bad in ["", "127.0.0.1", ":1", "127.0.0.1:port", "127.0.0.1:70000"] {
        assert!(matches!(join(bad).await, ClientError::Address(_)), "{bad}");
    }
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let error = join(&free).await;
    assert!(matches!(error, ClientError::Unreachable { .. }) && error.is_transient(), "{error}");
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap().to_string();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let error = join(&address).await;
    assert!(matches!(error, ClientError::Tls { .. }), "{error}");
    answering.await.unwrap();
}

/// The leaf that a server with this configuration shows.
async fn shown(config: &Arc<rustls::ServerConfig>) -> Vec<u8> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().dangerous();
    let client = client.with_custom_certificate_verifier(Arc::new(AnyServer)).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    let (client, server) = tokio::join!(connector.connect("localhost".try_into().unwrap(), near), acceptor.accept(far));
    server.unwrap();
    client.unwrap().get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn the_servers_certificate_is_replaced_at_half_of_its_life_in_the_running_configuration() {
    let (_dir, authority) = mesh(start());
    let (config, certificate) = server_tls_config(&authority, start()).unwrap();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    let config = Arc::new(config);
    let first = shown(&config).await;
    assert!(!certificate.renew_if_due(&authority, start() + 11 * HOUR).unwrap());
    assert_eq!((shown(&config).await, certificate.not_after()), (first.clone(), start() + DAY));
    assert!(certificate.renew_if_due(&authority, start() + 13 * HOUR).unwrap());
    assert_ne!(shown(&config).await, first);
    assert_eq!(certificate.not_after(), start() + 13 * HOUR + DAY);
    // The clock goes back: the certificate is not valid yet.
    assert!(certificate.renew_if_due(&authority, start() + 12 * HOUR).unwrap());
    assert_eq!(certificate.not_after(), start() + 12 * HOUR + DAY);
    assert!(!certificate.renew_if_due(&authority, start() + 12 * HOUR).unwrap());
}

static LOGGED: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();

struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_the_audit_records_and_no_secret() {
    let log = Arc::clone(LOGGED.get_or_init(Arc::default));
    let writer = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || Log(Arc::clone(&writer)))
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let served = serve(module(vec![1])).await;
    let token = served.token("orders");
    let joined = client::join(&served.address, &token, SystemTime::now()).await.unwrap();
    let renewed = client::renew(&served.address, &joined, SystemTime::now()).await.unwrap();
    assert_eq!(refusal(&client::join(&served.address, &token, SystemTime::now()).await.unwrap_err()), Some(Refusal::TokenUsed));
    let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    for record in ["issued a certificate", "proof=\"join-token\"", "proof=\"certificate\"", "token-used", "meshwright::audit"] {
        assert!(text.contains(record), "no `{record}` in the log");
    }
    let mut secrets: Vec<String> = vec![token.reveal().split('.').nth(1).unwrap().to_owned()];
    for credentials in [&joined, &renewed] {
        let lines = secret_lines(credentials.key().pem());
        let shown = format!("{credentials:?}");
        assert!(lines.iter().all(|line| !shown.contains(line)), "{shown}");
        secrets.extend(lines);
    }
    for secret in secrets {
        assert!(!text.contains(&secret), "a secret is in the log");
    }
}
