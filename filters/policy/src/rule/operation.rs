use super::condition::{Compile, pair, port};
use super::values;
use crate::check::{Check, Test};
use crate::field_path::FieldPath;
use crate::invalid::Errors;
use crate::matcher::path::PathMatch;
use crate::matcher::text::TextMatch;
use crate::wire;

#[inline(never)]
pub(super) fn compile(operation: &wire::Operation, path: &FieldPath<'_>, errors: &mut Errors) -> Vec<Check> {
    let wire::Operation { hosts, not_hosts, ports, not_ports, methods, not_methods, paths, not_paths } = operation;
    if *operation == wire::Operation::default() {
        errors.add(path, "found no field; at least one is allowed, or leave `to` out for any operation");
    }
    let mut checks = Vec::new();
    let mut add = |name: &str, yes: &Option<Vec<String>>, no: &Option<Vec<String>>, compile: Compile<'_>| {
        pair(yes.as_ref(), no.as_ref(), [&path.field(name), &path.negated(name)], errors, compile, &mut checks);
    };
    add("hosts", hosts, not_hosts, &|list, path, errors| values(Some(list), path, errors, TextMatch::parse).map(Test::Hosts));
    add("ports", ports, not_ports, &|list, path, errors| values(Some(list), path, errors, port).map(Test::DestinationPort));
    add("methods", methods, not_methods, &|list, path, errors| values(Some(list), path, errors, TextMatch::parse).map(Test::Methods));
    add("paths", paths, not_paths, &|list, path, errors| values(Some(list), path, errors, PathMatch::parse).map(Test::Paths));
    checks
}
