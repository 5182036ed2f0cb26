//! Certificates that Gateways name as files of their hosts. The control plane never sees them; this machine may be such a host, or one that
//! they are made on.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
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
    let mut pem = Vec::new();
    match File::open(file).and_then(|opened| opened.take(LARGEST).read_to_end(&mut pem)) {
        Ok(_) => Some(certificate_alarms(&pem, word, now).unwrap_or_else(|| vec!["it holds no certificate in PEM".to_owned()])),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(vec![format!("it cannot be read: {error}")]),
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
    use std::path::Path;

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
        let place = "a.yaml:6: Gateway shop/edge: spec.servers[0].tls.";
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
}
