//! What filters see of connections with TLS, to the client and to the upstream.

use rcgen::DnType;

use crate::certificates::{Certificates, Names};
use crate::probe::{Probe, on};
use crate::row::{Row, ok, row};

/// Of both ends: the names under `connection` and `upstream`.
const EITHER: [&str; 10] = [
    "tls_version",
    "subject_local_certificate",
    "subject_peer_certificate",
    "uri_san_local_certificate",
    "uri_san_peer_certificate",
    "dns_san_local_certificate",
    "dns_san_peer_certificate",
    "sha256_peer_certificate_digest",
    "nobody_certificate",
    "requested_server_name",
];

const PLAIN: Names<'_> = Names {
    subject: &[(DnType::CommonName, "client"), (DnType::OrganizationName, "org")],
    dns: &["client.test", "other.test"],
    uris: &["spiffe://client.test/ns/a/sa/b", "spiffe://client.test/second"],
};

/// A subject with all that has to be escaped, and no alternative name of either kind that is asked for.
const ODD: Names<'_> = Names {
    subject: &[
        (DnType::CountryName, "DE"),
        (DnType::StateOrProvinceName, "a state"),
        (DnType::LocalityName, "#place"),
        (DnType::OrganizationName, " a, b+c "),
        (DnType::OrganizationalUnitName, "\"quoted\" \\ <x>; y=z"),
        (DnType::CommonName, "ä"),
    ],
    dns: &[],
    uris: &[],
};

fn all() -> String {
    let mut body = String::new();
    for tree in ["connection", "upstream"] {
        for name in EITHER {
            body.push_str(&format!("($say {{{tree}.{name}}}) (i32.store #4 #0) ($get_property {{{tree}\0{name}}} #0 #4) ($out)"));
        }
    }
    body + "(i32.store #4 #0) ($get_property {connection\0mtls} #0 #4) ($hex) ($get_property {request\0scheme} #0 #4) ($out)"
}

fn full(name: &'static str, probe: Probe, client: Option<Names<'_>>) -> Row {
    row(name, probe).upstream(ok(&[("y", "2")], &["answer"], &[])).tls(Certificates::new(client))
}

pub(crate) fn rows() -> Vec<Row> {
    let expression = "connection.mtls && connection.uri_san_peer_certificate.startsWith('spiffe://client.test/') && connection.subject_peer_certificate == 'O=org,CN=client'";
    let evaluated = format!(
        "($call_foreign_function {{expr_create}} {{{expression}}} #16 #20) (i64.store #0 (i64.const 0))
         ($call_foreign_function {{expr_evaluate}} (i32.load #16) #4 #8 #12) (i64.store #0 (i64.load #8)) ($hex)"
    );
    vec![
        full("tls: both certificates in request headers", on("proxy_on_request_headers", &format!("{} #0", all())), Some(PLAIN)),
        full("tls: both certificates in response headers", on("proxy_on_response_headers", &format!("{} #0", all())), Some(PLAIN)),
        full("tls: both certificates in log", on("proxy_on_log", &all()), Some(PLAIN)),
        full("tls: a client without a certificate", on("proxy_on_request_headers", &format!("{} #0", all())), None),
        full("tls: a subject with all that is escaped", on("proxy_on_request_headers", &format!("{} #0", all())), Some(ODD)),
        full("tls: in an expression", on("proxy_on_request_headers", &format!("{evaluated} #0")), Some(PLAIN)),
    ]
}
