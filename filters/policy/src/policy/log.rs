//! Where what passes is recorded.

use crate::invalid::Errors;
use crate::wire::Protocol;

#[inline(never)]
pub(super) fn check(log_in_vm: bool, protocol: Protocol, errors: &mut Errors) {
    if log_in_vm && protocol == Protocol::Tcp {
        errors.add("log_in_vm", "found true; false is allowed: connections are recorded in the filter state".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_are_logged_in_the_vm() {
        for (log_in_vm, protocol, is_right) in
            [(true, Protocol::Http, true), (false, Protocol::Http, true), (false, Protocol::Tcp, true), (true, Protocol::Tcp, false)]
        {
            let mut errors = Errors::default();
            check(log_in_vm, protocol, &mut errors);
            assert_eq!(errors.into_result(()).is_ok(), is_right, "{log_in_vm} {protocol:?}");
        }
    }
}
