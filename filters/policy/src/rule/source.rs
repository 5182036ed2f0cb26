use super::condition::{Compile, ip_block, pair};
use super::{Scope, values};
use crate::check::{Check, Test};
use crate::field_path::FieldPath;
use crate::invalid::Errors;
use crate::matcher::identity::{NamespaceMatch, PrincipalMatch, ServiceAccountMatch, TrustDomainMatch};
use crate::matcher::principal::RequestPrincipalMatch;
use crate::wire;

const MOST_SERVICE_ACCOUNTS: usize = 16;

#[inline(never)]
pub(super) fn compile(source: &wire::Source, scope: Scope<'_>, path: &FieldPath<'_>, errors: &mut Errors) -> Vec<Check> {
    let wire::Source {
        principals,
        not_principals,
        request_principals,
        not_request_principals,
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        trust_domains,
        not_trust_domains,
        ip_blocks,
        not_ip_blocks,
        remote_ip_blocks,
        not_remote_ip_blocks,
    } = source;
    if *source == wire::Source::default() {
        errors.add(path, "found no field; at least one is allowed, or leave `from` out for any source");
    }
    check_accounts(source, path, errors);
    let principal = |value: &str| PrincipalMatch::parse(value, scope.domains);
    let account = |value: &str| ServiceAccountMatch::parse(value, scope.namespace);
    let domain = |value: &str| TrustDomainMatch::parse(value, scope.domains);
    let mut checks = Vec::new();
    let mut add = |name: &str, yes: &Option<Vec<String>>, no: &Option<Vec<String>>, compile: Compile<'_>| {
        pair(yes.as_ref(), no.as_ref(), [&path.field(name), &path.negated(name)], errors, compile, &mut checks);
    };
    add("principals", principals, not_principals, &|list, path, errors| values(Some(list), path, errors, principal).map(Test::Principals));
    add("requestPrincipals", request_principals, not_request_principals, &|list, path, errors| {
        values(Some(list), path, errors, RequestPrincipalMatch::parse).map(Test::RequestPrincipals)
    });
    add("namespaces", namespaces, not_namespaces, &|list, path, errors| {
        values(Some(list), path, errors, NamespaceMatch::parse).map(Test::Namespaces)
    });
    add("serviceAccounts", service_accounts, not_service_accounts, &|list, path, errors| {
        values(Some(list), path, errors, account).map(Test::ServiceAccounts)
    });
    add("trustDomains", trust_domains, not_trust_domains, &|list, path, errors| {
        values(Some(list), path, errors, domain).map(Test::TrustDomains)
    });
    add("ipBlocks", ip_blocks, not_ip_blocks, &|list, path, errors| values(Some(list), path, errors, ip_block).map(Test::DirectIp));
    add("remoteIpBlocks", remote_ip_blocks, not_remote_ip_blocks, &|list, path, errors| {
        values(Some(list), path, errors, ip_block).map(Test::RemoteIp)
    });
    checks
}

#[inline(never)]
fn check_accounts(source: &wire::Source, path: &FieldPath<'_>, errors: &mut Errors) {
    let accounts = [(&source.service_accounts, "serviceAccounts"), (&source.not_service_accounts, "notServiceAccounts")];
    let others = [&source.principals, &source.not_principals, &source.namespaces, &source.not_namespaces];
    for (list, name) in accounts.into_iter().filter_map(|(list, name)| Some((list.as_ref()?, name))) {
        if others.iter().any(|other| other.is_some()) {
            errors.add(path.field(name), "found beside principals or namespaces; service accounts are allowed alone");
        }
        if list.len() > MOST_SERVICE_ACCOUNTS {
            errors.add(path.field(name), format!("found {} values; at most {MOST_SERVICE_ACCOUNTS} are allowed", list.len()));
        }
    }
}
