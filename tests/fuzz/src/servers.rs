//! What servers are sent and answer, beyond xDS: requests of the admin API, an issuer's configuration, JWTs that prove an identity; and the
//! line of Envoy's log by which the filter tells its sidecar of a key.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, SystemTime};

use meshwright_ca::{JwtIssuer, KeyAlgorithm, Rates};
use meshwright_identity::TrustDomain;
use meshwright_policy::check_key_url;
use meshwright_server::{Guard, ServerOptions};
use meshwright_sidecar::UnknownKey;
use tempfile::TempDir;

const NOW: u64 = 1_800_000_000;
/// Who configures and signs here.
const ISSUER: &str = "https://issuer.example";
/// The key of RFC 8037, appendix A.
const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
const MESH: &str = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: fuzz.example}\n";
/// The smallest that a control plane hands out.
const MODULE: &str = r#"(module (func (export "proxy_abi_version_0_2_1")))"#;
/// Longer than any answer takes that does not wait for something on purpose.
const PATIENCE: Duration = Duration::from_secs(10);

static PROOFS: LazyLock<Option<(JwtIssuer, TempDir)>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().ok()?;
    let keys = folder.path().join("keys.json");
    std::fs::write(&keys, KEYS).ok()?;
    Some((JwtIssuer { issuer: ISSUER.to_owned(), audience: "fuzz".to_owned(), keys }, folder))
});

/// A control plane; until the process ends.
static ADMIN: LazyLock<Option<(SocketAddr, TempDir)>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().ok()?;
    let options = options(folder.path())?;
    let (send, ready) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let announce = |ready: meshwright_server::Ready| {
            let _gone = send.send(ready.admin).is_err();
        };
        runtime.map(|runtime| runtime.block_on(meshwright_server::run(options, std::future::pending(), &announce)))
    });
    Some((ready.recv_timeout(Duration::from_secs(60)).ok()?, folder))
});

fn options(folder: &Path) -> Option<ServerOptions> {
    let (config_dir, module, any_port) = (folder.join("mesh"), folder.join("module.wasm"), SocketAddr::from(([127, 0, 0, 1], 0)));
    std::fs::create_dir(&config_dir).ok()?;
    std::fs::write(config_dir.join("mesh.yaml"), MESH).ok()?;
    std::fs::write(&module, wat::parse_str(MODULE).ok()?).ok()?;
    Some(ServerOptions {
        config_dir,
        data_dir: PathBuf::from(folder).join("data"),
        module,
        guard: Guard::default(),
        listen: any_port,
        admin: any_port,
        admin_token_file: None,
        admin_identities: Vec::new(),
        insecure_plaintext_xds: None,
        certificate_ttl: Duration::from_secs(3600),
        passphrase: None,
        ca_key_algorithm: KeyAlgorithm::default(),
        jwt: None,
        rates: Rates::default(),
        bundle_endpoint: None,
    })
}

/// The start of a request to the admin API, from its method on; what it lacks to be one is added. The answer's status; none: there was no
/// answer in time, as of a request that says that its body is still to come, or that something is waited for.
#[must_use]
pub fn admin_request(bytes: &[u8]) -> Option<u16> {
    let (address, _folder) = ADMIN.as_ref()?;
    let mut connection = TcpStream::connect(address).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    connection.write_all(&[bytes, b"\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"].concat()).ok()?;
    let mut answer = Vec::new();
    let _reset_or_late = connection.read_to_end(&mut answer).is_err();
    let status: u16 = std::str::from_utf8(answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?.get(..3)?)
        .ok()?
        .parse()
        .ok()?;
    let text = String::from_utf8_lossy(&answer);
    assert!(status < 500, "nothing that is asked is a failure of who answers: {text}");
    // What is no request at all is refused without a body.
    if let Some((_, body)) = text.split_once("\r\n\r\n").filter(|(_, body)| status >= 400 && !body.is_empty()) {
        let error = serde_json::from_str::<serde_json::Value>(body).ok().and_then(|body| Some(body.get("error")?.is_string()));
        assert_eq!(error, Some(true), "an error is JSON and says something: {text}");
    }
    Some(status)
}

/// What an issuer answers as its configuration. Whether it says where its keys are.
#[must_use]
pub fn discovered_keys(bytes: &[u8]) -> bool {
    let found = meshwright_jwks::jwks_uri(ISSUER, &String::from_utf8_lossy(bytes));
    match &found {
        Ok(url) => {
            assert!(check_key_url(url).is_ok(), "keys are fetched from nowhere else: {url}");
            assert!(url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:")), "nor with less protection: {url}");
        }
        Err(error) => assert!(!error.is_empty() && !error.contains('\n'), "an error is one line: {error}"),
    }
    found.is_ok()
}

/// A JWT by which a workload says who it is. Whether it is proof.
#[must_use]
pub fn identity_proof(bytes: &[u8]) -> bool {
    let (Some((issuer, _folder)), Ok(domain)) = (PROOFS.as_ref(), TrustDomain::parse("fuzz.example")) else { return false };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let proven = issuer.verify(&String::from_utf8_lossy(bytes), &domain, now);
    match &proven {
        Ok(id) => assert!(id.to_string().starts_with("spiffe://fuzz.example/ns/"), "an identity is of this mesh: {id}"),
        Err(error) => assert!(!error.to_string().is_empty(), "an error says something"),
    }
    proven.is_ok()
}

/// A line of Envoy's log. The issuer and the key that it reports, if it does.
#[must_use]
pub fn unknown_key(bytes: &[u8]) -> Option<(String, String)> {
    let key = UnknownKey::of_line(bytes)?;
    Some((key.issuer().to_owned(), key.kid().to_owned()))
}
