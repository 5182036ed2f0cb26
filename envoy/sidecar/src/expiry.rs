//! Certificates that this Envoy shows or takes others by, beside the mesh's own: an alarm in the log before they end. Those in files of a
//! gateway's host are seen by nobody else.

use std::collections::BTreeSet;

use anyhow::Context as _;
use meshwright_expiry::{Standing, Told, Validity, in_words};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::admin::Admin;

/// At first listeners come one after the other; then days matter.
const FIRST_LOOKS: u32 = 30;
const FIRST: std::time::Duration = std::time::Duration::from_secs(2);
const LATER: std::time::Duration = std::time::Duration::from_secs(600);

/// What Envoy answers to `/certs` (envoy/admin/v3/certs.proto); there is more in it.
#[derive(Debug, Deserialize)]
struct Held {
    #[serde(default)]
    certificates: Vec<TlsContext>,
}

#[derive(Debug, Deserialize)]
struct TlsContext {
    #[serde(default)]
    ca_cert: Vec<Certificate>,
    #[serde(default)]
    cert_chain: Vec<Certificate>,
}

#[derive(Debug, Deserialize)]
struct Certificate {
    #[serde(default)]
    serial_number: String,
    #[serde(default)]
    subject_alt_names: Vec<Name>,
    valid_from: String,
    expiration_time: String,
}

#[derive(Debug, Deserialize)]
struct Name {
    dns: Option<String>,
    uri: Option<String>,
}

/// For ever. While Envoy does not answer nothing new is told.
pub(crate) async fn watch(admin: Admin) -> anyhow::Result<()> {
    let mut told = Told::default();
    for looks in 0_u32.. {
        match look(&admin).await {
            Ok(found) => {
                for alarm in told.news(found) {
                    tracing::error!("{alarm}");
                }
            }
            Err(error) => tracing::debug!("the proxy's certificates are not known: {error:#}"),
        }
        tokio::time::sleep(if looks < FIRST_LOOKS { FIRST } else { LATER }).await;
    }
    Ok(())
}

async fn look(admin: &Admin) -> anyhow::Result<BTreeSet<String>> {
    admin.json::<Held>("/certs").await?.alarms(OffsetDateTime::now_utc())
}

impl Held {
    /// The days that are left are in it: told once, it is told again every day.
    fn alarms(&self, now: OffsetDateTime) -> anyhow::Result<BTreeSet<String>> {
        let shown = self.certificates.iter().flat_map(|context| context.cert_chain.iter().map(|one| (one, "certificate")));
        let roots = self.certificates.iter().flat_map(|context| context.ca_cert.iter().map(|one| (one, "root certificate")));
        let others = shown.chain(roots).filter(|(one, _)| !one.is_of_the_mesh());
        others.filter_map(|(one, what)| one.alarm(what, now).transpose()).collect()
    }
}

impl Certificate {
    /// Those are renewed by the mesh, which tells of them itself.
    fn is_of_the_mesh(&self) -> bool {
        self.subject_alt_names.iter().any(|name| name.uri.as_ref().is_some_and(|uri| uri.starts_with("spiffe://")))
    }

    fn alarm(&self, what: &str, now: OffsetDateTime) -> anyhow::Result<Option<String>> {
        let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).with_context(|| format!("`{text}` is no time"));
        let (from, until) = (time(&self.valid_from)?, time(&self.expiration_time)?);
        let names: Vec<&str> = self.subject_alt_names.iter().filter_map(|name| name.dns.as_deref().or(name.uri.as_deref())).collect();
        let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        let which = format!("the {what} with serial {}{names}", self.serial_number);
        Ok(match Validity::new(from, until).standing(now) {
            Standing::Ended => Some(format!("{which} ended at {}", self.expiration_time)),
            Standing::EndsSoon(left) => Some(format!("{which} ends at {}, in {}: replace it", self.expiration_time, in_words(left))),
            Standing::NotBegun | Standing::Good => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn certificate(serial: &str, name: &Value, from: &str, until: &str) -> Value {
        json!({"path": "<inline>", "serial_number": serial, "subject_alt_names": [name], "days_until_expiration": "1",
            "valid_from": format!("{from}T00:00:00Z"), "expiration_time": format!("{until}T00:00:00Z")})
    }

    #[test]
    fn what_has_ended_or_will_soon_is_told_and_nothing_of_the_mesh() {
        let (dns, own) = (json!({"dns": "files.example"}), json!({"uri": "spiffe://mesh.local/ns/a/sa/a"}));
        let held = json!({"certificates": [
            {"ca_cert": [certificate("01", &json!({}), "2016-01-01", "2026-01-08")], "cert_chain": [certificate("02", &own, "2026-01-01", "2026-01-02")]},
            {"ca_cert": [], "cert_chain": [certificate("03", &dns, "2025-10-01", "2026-01-11"), certificate("04", &dns, "2025-01-01", "2026-01-03")]},
            {"cert_chain": [certificate("05", &dns, "2025-12-30", "2026-01-08")]},
        ]});
        let held: Held = serde_json::from_value(held).unwrap();
        let at = |text: &str| OffsetDateTime::parse(text, &Rfc3339).unwrap();
        let found: Vec<String> = held.alarms(at("2026-01-05T00:00:00Z")).unwrap().into_iter().collect();
        assert_eq!(
            found,
            [
                "the certificate with serial 03 (files.example) ends at 2026-01-11T00:00:00Z, in 6 days: replace it",
                "the certificate with serial 04 (files.example) ended at 2026-01-03T00:00:00Z",
                "the root certificate with serial 01 ends at 2026-01-08T00:00:00Z, in 3 days: replace it",
            ]
        );
        assert!(held.alarms(at("2025-12-01T00:00:00Z")).unwrap().is_empty());
        assert!(serde_json::from_value::<Held>(json!({})).unwrap().alarms(at("2026-01-05T00:00:00Z")).unwrap().is_empty());
    }
}
