//! A gateway server's `tls`: whether TLS ends there, with which certificate, and which clients it asks for one.

use crate::reader::Reader;
use crate::record::{record, words};

words! {
    /// `tls.mode`.
    ServerTlsMode {
        /// TLS is the backend's; which backend, its SNI says.
        Passthrough = "PASSTHROUGH",
        /// The client shows no certificate.
        Simple = "SIMPLE",
        /// The client must show one.
        Mutual = "MUTUAL",
        /// The client may show one; one that is not right is refused.
        OptionalMutual = "OPTIONAL_MUTUAL",
    }
}

words! {
    /// A version of TLS. What is older is broken (RFC 8996).
    TlsVersion {
        Tls12 = "TLSV1_2",
        Tls13 = "TLSV1_3",
    }
}

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerCertificate {
    /// In the Secret of this name, in the Gateway's namespace.
    Secret(String),
    /// In files of the gateway's host, which its proxy reads.
    Files { certificate_chain: String, private_key: String },
}

/// Where the roots are that clients' certificates are verified against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientRoots {
    /// In the Secret that `caCertCredentialName` names.
    Secret(String),
    /// Beside the certificate: in the Secret `<name>-cacert` if there is one, else in the Secret `<name>` itself.
    BesideCertificate(String),
    /// In a file of the gateway's host.
    File(String),
}

/// What is appended to `credentialName` for a Secret that has nothing but roots; Istio's.
pub const ROOTS_SUFFIX: &str = "-cacert";

record! {
    /// What is asked of clients.
    #[derive(Eq)]
    ClientCertificates {
        /// Whether one that shows no certificate is refused.
        copy required: bool,
        plain roots: ClientRoots,
        /// Names of which the certificate must have one; none: any that the roots vouch for.
        list subject_alt_names: String,
        /// SHA-256 of the public key, in base64.
        list spki_hashes: String,
        /// SHA-256 of the certificate, in hexadecimal. It must have one of these or of `spki_hashes`, where either is said.
        list certificate_hashes: String,
    }
}

record! {
    /// TLS that ends at the gateway.
    #[derive(Eq)]
    TlsTermination {
        plain certificate: ServerCertificate,
        maybe clients: ClientCertificates,
        copy minimum_version: TlsVersion,
        copy maximum_version: TlsVersion,
        /// For TLS 1.2; none: all that Meshwright allows.
        list cipher_suites: String,
    }
}

/// What becomes of the TLS that a server's clients speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTls {
    /// It passes through, and VirtualServices say where to by its SNI.
    Passthrough,
    Terminated(TlsTermination),
}

/// With authenticated encryption and forward secrecy; others are not taken.
pub(crate) const CIPHER_SUITES: &[&str] = &[
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
];
/// Istio's others.
pub(crate) const OLD_CIPHER_SUITES: &[&str] = &[
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];
/// Which versions there are is for Meshwright to say.
pub(crate) const TLS_AUTO: &str = "TLS_AUTO";

/// `None` with everything that is wrong reported.
pub(super) fn read(field: &Reader<'_>) -> Option<ServerTls> {
    let mode = field.get("mode").required().and_then(|mode| mode.word(ServerTlsMode::from_word))?;
    match mode {
        ServerTlsMode::Passthrough => {
            for (name, other) in field.entries().into_iter().filter(|(name, _)| name != "mode") {
                other.fail(format!("`{name}` has no meaning with mode `PASSTHROUGH`: TLS does not end at the gateway"));
            }
            Some(ServerTls::Passthrough)
        }
        ServerTlsMode::Simple => {
            for name in ["caCertificates", "caCertCredentialName", "subjectAltNames", "verifyCertificateSpki", "verifyCertificateHash"] {
                if field.get(name).is_present() {
                    field.get(name).fail("is about clients' certificates: mode `MUTUAL` or `OPTIONAL_MUTUAL` asks for them");
                }
            }
            terminated(field, None)
        }
        ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual => {
            let clients = read_clients(field, mode == ServerTlsMode::Mutual);
            // What is wrong with the rest is to be reported, too.
            let terminated = terminated(field, clients.clone());
            clients.and(terminated)
        }
    }
}

fn terminated(field: &Reader<'_>, clients: Option<ClientCertificates>) -> Option<ServerTls> {
    let (minimum, maximum) = (field.get("minProtocolVersion"), field.get("maxProtocolVersion"));
    let minimum_version = minimum.word(TlsVersion::from_word).unwrap_or(TlsVersion::Tls12);
    let maximum_version = maximum.word(TlsVersion::from_word).unwrap_or(TlsVersion::Tls13);
    if minimum_version > maximum_version {
        maximum.fail(format!("found `{maximum_version}`, allowed: at least `minProtocolVersion`, which is `{minimum_version}`"));
    }
    let suites = field.get("cipherSuites");
    let cipher_suites = distinct(&suites);
    if suites.is_present() && minimum_version == TlsVersion::Tls13 {
        suites.fail("has no meaning with TLS 1.3 alone, whose cipher suites cannot be chosen");
    }
    Some(ServerTls::Terminated(TlsTermination {
        certificate: read_certificate(field)?,
        clients,
        minimum_version,
        maximum_version,
        cipher_suites,
    }))
}

fn read_certificate(field: &Reader<'_>) -> Option<ServerCertificate> {
    let (credential, chain, key) = (field.get("credentialName"), field.get("serverCertificate"), field.get("privateKey"));
    if !chain.is_present() && !key.is_present() {
        return credential.required_text().map(ServerCertificate::Secret);
    }
    if credential.is_present() {
        credential.fail("excludes `serverCertificate` and `privateKey`");
    }
    let files = (read_path(&chain), read_path(&key));
    let (Some(certificate_chain), Some(private_key)) = files else { return None };
    Some(ServerCertificate::Files { certificate_chain, private_key })
}

fn read_clients(field: &Reader<'_>, required: bool) -> Option<ClientCertificates> {
    let hashes = |name: &str, expected: &str, normal: fn(&str) -> Option<String>| -> Vec<String> {
        let read = |item: Reader<'_>| {
            let hash = item.text().as_deref().and_then(normal);
            if hash.is_none() {
                item.fail(format!("expected a SHA-256 {expected}"));
            }
            hash
        };
        field.get(name).items().into_iter().filter_map(read).collect()
    };
    Some(ClientCertificates {
        required,
        subject_alt_names: distinct(&field.get("subjectAltNames")),
        spki_hashes: hashes("verifyCertificateSpki", "in base64, 44 characters", spki_hash),
        certificate_hashes: hashes("verifyCertificateHash", "in hexadecimal, 64 digits, with or without colons", certificate_hash),
        roots: read_roots(field)?,
    })
}

fn read_roots(field: &Reader<'_>) -> Option<ClientRoots> {
    let (credential, file, named) = (field.get("credentialName"), field.get("caCertificates"), field.get("caCertCredentialName"));
    match (named.is_present(), file.is_present()) {
        (true, true) => {
            file.fail("excludes `caCertCredentialName`");
            None
        }
        (true, false) => named.non_empty_text().map(ClientRoots::Secret),
        (false, true) if credential.is_present() => {
            file.fail("excludes `credentialName`, which says where the roots are too; `caCertCredentialName` names another Secret");
            None
        }
        (false, true) => read_path(&file).map(ClientRoots::File),
        (false, false) => match credential.non_empty_text() {
            Some(name) => Some(ClientRoots::BesideCertificate(name)),
            None => {
                file.fail("is required, or `caCertCredentialName`: nothing else says which clients to trust");
                None
            }
        },
    }
}

/// A file of the gateway's host.
fn read_path(field: &Reader<'_>) -> Option<String> {
    let path = field.required_text()?;
    let is_plain = path.starts_with('/') && !path.split('/').any(|part| part == ".." || part == ".") && !path.contains(char::is_control);
    if !is_plain {
        field.fail(format!("found `{}`, expected an absolute path without `.` and `..`", crate::yaml::shorten(&path)));
    }
    is_plain.then_some(path)
}

/// The texts of a list, none twice.
fn distinct(field: &Reader<'_>) -> Vec<String> {
    let items = field.items();
    let mut texts: Vec<String> = Vec::new();
    if field.is_present() && items.is_empty() {
        field.fail("is empty: leave it out, or list at least one");
    }
    for item in items {
        let Some(text) = item.non_empty_text() else { continue };
        if texts.contains(&text) {
            item.fail(format!("`{}` is listed twice", crate::yaml::shorten(&text)));
        }
        texts.push(text);
    }
    texts
}

/// 32 bytes in base64.
fn spki_hash(text: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    (bytes.len() == 32).then(|| text.to_owned())
}

/// As Envoy takes it; `openssl x509 -fingerprint` writes colons.
fn certificate_hash(text: &str) -> Option<String> {
    let digits: String =
        if text.len() == 95 && text.split(':').all(|pair| pair.len() == 2) { text.replace(':', "") } else { text.to_owned() };
    (digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())).then(|| digits.to_ascii_lowercase())
}
