//! Certificates for rows with TLS, as Envoy's configuration and our host take them.

use meshwright_filter_envoy::{Identity, Tls};
use meshwright_wasm_host::Certificate;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

const SERVER_NAME: &str = "envoy.test";
const UPSTREAM_NAME: &str = "upstream.test";

#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    authority: String,
    envoy: (Identity, Certificate),
    client: Option<(Identity, Certificate)>,
    upstream: (Identity, Certificate),
}

/// What a certificate says: its subject, and its alternative names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) subject: &'a [(DnType, &'a str)],
    pub(crate) dns: &'a [&'a str],
    pub(crate) uris: &'a [&'a str],
}

impl Certificates {
    /// Those of the client say this; `None` is a client without one.
    pub(crate) fn new(client: Option<Names<'_>>) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let subject = [(DnType::CommonName, "envoy"), (DnType::OrganizationName, "org")];
        let envoy =
            Names { subject: &subject, dns: &[SERVER_NAME, "second.test"], uris: &["spiffe://envoy.test/a", "spiffe://envoy.test/b"] };
        let upstream = Names { subject: &[(DnType::CommonName, "upstream")], dns: &[UPSTREAM_NAME], uris: &["spiffe://upstream.test/u"] };
        Self {
            authority,
            envoy: made(&envoy, &issuer),
            client: client.map(|names| made(&names, &issuer)),
            upstream: made(&upstream, &issuer),
        }
    }

    pub(crate) fn in_envoy(&self) -> Tls {
        Tls {
            authority: self.authority.clone(),
            envoy: self.envoy.0.clone(),
            client: self.client.as_ref().map(|(identity, _)| identity.clone()),
            upstream: self.upstream.0.clone(),
            server_name: SERVER_NAME.to_owned(),
            upstream_name: UPSTREAM_NAME.to_owned(),
        }
    }

    pub(crate) fn of_client(&self) -> meshwright_wasm_host::Tls {
        let tls = meshwright_wasm_host::Tls::new("TLSv1.3").server_name(SERVER_NAME).local(self.envoy.1.clone());
        match &self.client {
            Some((_, certificate)) => tls.peer(certificate.clone()),
            None => tls,
        }
    }

    pub(crate) fn of_upstream(&self) -> meshwright_wasm_host::Tls {
        meshwright_wasm_host::Tls::new("TLSv1.3").local(self.envoy.1.clone()).peer(self.upstream.1.clone())
    }
}

fn made(names: &Names<'_>, issuer: &Issuer<'_, KeyPair>) -> (Identity, Certificate) {
    let mut params = CertificateParams::new([]).unwrap();
    for (kind, value) in names.subject {
        params.distinguished_name.push(kind.clone(), *value);
    }
    let dns = names.dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
    params.subject_alt_names = dns.chain(names.uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()))).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    (Identity { certificate: certificate.pem(), key: key.serialize_pem() }, Certificate::from_der(certificate.der()).unwrap())
}
