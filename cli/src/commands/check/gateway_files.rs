//! Certificates that Gateways name as files of their hosts. The control plane never sees them; this machine may be such a host, or one that
//! they are made on.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;
use std::time::SystemTime;

use meshwright_config::{ClientRoots, Gateway, GatewayServer, ServerCertificate, certificate_alarms};
use meshwright_sources::Checked;
use serde_json::Value;

/// More than a bundle of all public authorities has.
const LARGEST: u64 = 4 * 1024 * 1024;

/// A file that a Gateway names, and what there is to say of it.
#[derive(Debug)]
pub(super) struct GatewayFile {
    /// `<file>:<line>: Gateway <namespace>/<name>: <field>` of the document.
    place: String,
    file: String,
    /// None: it is not on this machine.
    alarms: Option<Vec<String>>,
}

/// All of them, in the order of the documents.
pub(super) fn look(checked: &Checked, now: SystemTime) -> Vec<GatewayFile> {
    let gateways = checked.state().gateways().iter();
    let named = gateways.flat_map(|gateway| {
        let origin = checked.origin(gateway.key()).map(|origin| format!("{}:{}: ", origin.file(), origin.line())).unwrap_or_default();
        files(gateway).map(move |(field, file, word)| (format!("{origin}{}: {field}", gateway.key()), file, word))
    });
    named.map(|(place, file, word)| GatewayFile { alarms: alarms(file, word, now), place, file: file.to_owned() }).collect()
}

/// Field, path, and what is in it.
fn files(gateway: &Gateway) -> impl Iterator<Item = (String, &str, &'static str)> {
    gateway.servers().iter().enumerate().flat_map(|(index, server)| {
        let field = move |name: &str| format!("spec.servers[{index}].tls.{name}");
        let termination = GatewayServer::termination(server);
        let shown = termination.and_then(|tls| match tls.certificate() {
            ServerCertificate::Files { certificate_chain, .. } => {
                Some((field("serverCertificate"), certificate_chain.as_str(), "certificate"))
            }
            ServerCertificate::Secret(_) => None,
        });
        let roots = termination.and_then(|tls| match tls.clients()?.roots() {
            ClientRoots::File(file) => Some((field("caCertificates"), file.as_str(), "root certificate")),
            ClientRoots::Secret(_) | ClientRoots::BesideCertificate(_) => None,
        });
        shown.into_iter().chain(roots)
    })
}

fn alarms(file: &str, word: &str, now: SystemTime) -> Option<Vec<String>> {
    match read(Path::new(file)) {
        Ok(pem) => Some(certificate_alarms(&pem, word, now).unwrap_or_else(|| vec!["it holds no certificate in PEM".to_owned()])),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(vec![format!("it cannot be read: {error}")]),
    }
}

/// Nothing but a file: opening a pipe waits for whoever writes to it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut pem = Vec::new();
    let size = File::open(path)?.take(LARGEST.saturating_add(1)).read_to_end(&mut pem)?;
    // Half of it would be something else.
    if u64::try_from(size).is_ok_and(|size| size <= LARGEST) {
        Ok(pem)
    } else {
        Err(io::Error::other(format!("it has more than {LARGEST} bytes")))
    }
}

impl GatewayFile {
    pub(super) fn warnings(&self) -> usize {
        self.alarms.as_ref().map_or(0, Vec::len)
    }

    /// For people; nothing of a file whose certificates are good.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { place, file, alarms } = self;
        let Some(alarms) = alarms else {
            return vec![format!("{place}: `{file}` is not on this machine: when it ends only the gateway's sidecar says, in its log")];
        };
        alarms.iter().map(|alarm| format!("warning: {place}: `{file}`: {alarm}")).collect()
    }
}

impl From<&GatewayFile> for Value {
    fn from(found: &GatewayFile) -> Self {
        serde_json::json!({"place": found.place, "file": found.file, "alarms": found.alarms})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(folder: &Path, chain: &Path, roots: &Path) -> Checked {
        let documents = format!(
            "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: mesh}}\nspec: {{trustDomain: a.example}}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: shop}}\nspec:\n  selector: {{app: edge}}\n  \
             servers:\n  - port: {{number: 8443, name: a, protocol: HTTPS}}\n    hosts: [a.example]\n    \
             tls: {{mode: MUTUAL, serverCertificate: {}, privateKey: /k.pem, caCertificates: {}}}\n",
            chain.display(),
            roots.display()
        );
        std::fs::write(folder.join("a.yaml"), documents).unwrap();
        meshwright_sources::load_once(folder).unwrap()
    }

    #[test]
    fn what_is_no_certificate_is_told_and_what_is_not_here_is_named() {
        let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (chain, roots) = (files.path().join("chain.pem"), files.path().join("roots.pem"));
        std::fs::write(&chain, "nothing").unwrap();
        let checked = checked(folder.path(), &chain, &roots);
        assert!(checked.errors().is_empty(), "{:?}", checked.errors());
        let found = look(&checked, SystemTime::now());
        let place = "a.yaml:5: Gateway shop/edge: spec.servers[0].tls.";
        assert_eq!(
            found.iter().flat_map(GatewayFile::lines).collect::<Vec<_>>(),
            [
                format!("warning: {place}serverCertificate: `{}`: it holds no certificate in PEM", chain.display()),
                format!(
                    "{place}caCertificates: `{}` is not on this machine: when it ends only the gateway's sidecar says, in its log",
                    roots.display()
                ),
            ]
        );
        assert_eq!(found.iter().map(GatewayFile::warnings).sum::<usize>(), 1);
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let found = alarms(folder.path().to_str().unwrap(), "certificate", SystemTime::now());
        assert_eq!(found, Some(vec!["it cannot be read: it is not a file".to_owned()]));
    }

    #[test]
    fn what_is_too_large_is_not_read_in_part() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(LARGEST + 1).unwrap();
        let found = alarms(file.path().to_str().unwrap(), "certificate", SystemTime::now());
        assert_eq!(found, Some(vec!["it cannot be read: it has more than 4194304 bytes".to_owned()]));
    }
}
