//! What holds as it is written, and may not be what was meant: a DestinationRule says how a service is called, whatever the service takes, and
//! a policy may ask what nobody says.

use meshwright_policy::MetadataKey;

use super::State;
use crate::authorization_policy::AuthorizationPolicy;
use crate::destination_rule::{ClientTls, ClientTlsMode, DestinationRule, Subset, TrafficPolicy};
use crate::document::{Content, Document};
use crate::error::DocumentError;
use crate::host::Host;
use crate::key::DocumentKey;
use crate::peer_authentication::MtlsMode;
use crate::service::{Location, ServiceEntry, ServicePort};

impl State {
    /// Of the documents that it is made of.
    #[must_use]
    pub fn warnings<'a>(&self, documents: impl IntoIterator<Item = &'a Document>) -> Vec<DocumentError> {
        let of_document = |document: &'a Document| {
            if let Content::AuthorizationPolicy(policy) = document.content() {
                unsaid(document, policy)
            } else {
                self.warnings_of_rule(document)
            }
        };
        let mut warnings: Vec<DocumentError> = documents.into_iter().flat_map(of_document).collect();
        warnings.sort_by(|a, b| (a.file(), a.line(), a.column()).cmp(&(b.file(), b.line(), b.column())));
        warnings
    }

    fn warnings_of_rule(&self, document: &Document) -> Vec<DocumentError> {
        // Here its host is complete.
        let of_namespace = self.destination_rules_of(document.key().namespace());
        let Some(rule) = of_namespace.iter().find(|rule| rule.key() == document.key()) else { return Vec::new() };
        // Each place where a rule speaks of TLS, and whom that is about.
        let subsets = rule.subsets().iter().enumerate().map(|(index, subset)| {
            (format!("spec.subsets[{index}].trafficPolicy.tls.mode"), subset.traffic_policy().and_then(TrafficPolicy::tls), Some(subset))
        });
        let base = ("spec.trafficPolicy.tls.mode".to_owned(), rule.traffic_policy().tls(), None);
        let places = std::iter::once(base).chain(subsets);
        let warning = |(path, tls, subset): (String, Option<&ClientTls>, Option<&Subset>)| {
            let mode = tls?.mode();
            let (what, related) = self.broken_by(rule, mode, subset)?;
            Some(DocumentError { related: vec![related], ..document.error(&path, format!("{mode} breaks calls: {what}")) })
        };
        places.filter_map(warning).collect()
    }

    /// The first instance that does not take what the mode sends; one is enough to say it.
    fn broken_by(&self, rule: &DestinationRule, mode: ClientTlsMode, subset: Option<&Subset>) -> Option<(String, DocumentKey)> {
        let covered = |service: &&ServiceEntry| service.location() == Location::MeshInternal;
        for service in self.services().iter().filter(covered) {
            let followed = |host: &&Host| {
                rule.host().covers(host)
                    && self.destination_rule_for(host, rule.key().namespace()).is_some_and(|chosen| chosen.key() == rule.key())
            };
            let Some(host) = service.hosts().iter().find(followed) else { continue };
            for port in service.ports() {
                if let Some(found) = self.mismatch(service, host, port, mode, subset) {
                    return Some(found);
                }
            }
        }
        None
    }

    fn mismatch(
        &self,
        service: &ServiceEntry,
        host: &Host,
        port: &ServicePort,
        mode: ClientTlsMode,
        subset: Option<&Subset>,
    ) -> Option<(String, DocumentKey)> {
        self.endpoints(service, port, subset).into_iter().find_map(|instance| {
            let workload = instance.workload();
            let place = format!("port {} of {}/{}, which serves `{host}`,", instance.port(), workload.namespace(), workload.name());
            let takes = workload.has_proxy().then(|| self.peer_authentication_mode(workload, instance.port()));
            let what = match (mode, takes) {
                (ClientTlsMode::Disable | ClientTlsMode::Simple, Some(MtlsMode::Strict)) => {
                    format!("{place} takes only mutual TLS of the mesh (PeerAuthentication `STRICT`)")
                }
                (ClientTlsMode::IstioMutual, Some(MtlsMode::Disable)) => {
                    format!("{place} takes no mutual TLS of the mesh (PeerAuthentication `DISABLE`)")
                }
                (ClientTlsMode::IstioMutual, None) => format!("{place} has no proxy in front of it"),
                _ => return None,
            };
            Some((what, workload.key().clone()))
        })
    }
}

/// Conditions on other filters' metadata: the proxies of this mesh have no filter that writes any.
fn unsaid(document: &Document, policy: &AuthorizationPolicy) -> Vec<DocumentError> {
    let mut warnings = Vec::new();
    for (rule, conditions) in policy.wire().rules.iter().enumerate().filter_map(|(index, rule)| Some((index, rule.when.as_ref()?))) {
        let asked = conditions.iter().enumerate().filter(|(_, condition)| MetadataKey::parse(&condition.key).is_some());
        warnings.extend(asked.map(|(index, condition)| {
            let message = format!("no filter of this mesh writes `{}`: `values` never match, and `notValues` always do", condition.key);
            document.error(&format!("spec.rules[{rule}].when[{index}].key"), message)
        }));
    }
    warnings
}
