//! Authorities outside the mesh and what they issue, for gateways and their clients.

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

/// A root and its key.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: String,
}

/// A certificate and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub chain: String,
    pub key: String,
}

/// Until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Good,
    Ended,
}

impl Authority {
    /// # Errors
    /// When none can be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = parameters.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(parameters, key), root })
    }

    /// PEM.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// A certificate with these names; one with `://` in it is a URI.
    ///
    /// # Errors
    /// When a name is none.
    pub fn issue(&self, names: &[&str], life: Life) -> anyhow::Result<Issued> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, names.first().copied().context("a name")?);
        for name in names {
            let name = if name.contains("://") { SanType::URI((*name).try_into()?) } else { SanType::DnsName((*name).try_into()?) };
            parameters.subject_alt_names.push(name);
        }
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = match life {
            Life::Good => date_time_ymd(2100, 1, 1),
            Life::Ended => date_time_ymd(2021, 1, 1),
        };
        let chain = parameters.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { chain, key: key.serialize_pem() })
    }
}

/// A Secret of the namespace `test` with these entries.
#[must_use]
pub fn secret(name: &str, kind: &str, entries: &[(&str, &str)]) -> String {
    let entry = |(field, pem): &(&str, &str)| {
        let lines: String = pem.lines().map(|line| format!("    {line}\n")).collect();
        format!("  {field}: |\n{lines}")
    };
    let entries: String = entries.iter().map(entry).collect();
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: test}}\ntype: {kind}\nstringData:\n{entries}---\n")
}
