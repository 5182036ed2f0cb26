use meshwright_policy::AuditRecord;

/// What `%RESPONSE_CODE_DETAILS%` would be, had Envoy's own filters denied it: `rbac_access_denied_matched_policy[…]` with Istio's name of the
/// rule, or `jwt_authn_access_denied{…}`.
pub(crate) fn of(decision: &AuditRecord<'_>) -> String {
    if decision.reason.starts_with("jwt_") {
        return format!("jwt_authn_access_denied{{{}}}", decision.reason);
    }
    let rule = match (decision.policy.as_deref().and_then(|policy| policy.split_once('/')), decision.rule) {
        (Some((namespace, name)), Some(rule)) => format!("ns[{namespace}]-policy[{name}]-rule[{rule}]"),
        (Some(_), None) | (None, _) => "none".to_owned(),
    };
    format!("rbac_access_denied_matched_policy[{rule}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_named_as_envoys_own_filters_name_them() {
        for (decision, expected) in [
            (
                r#"{"verdict":"DENY","policy":"shop/web","rule":1,"reason":"deny_rule_matched"}"#,
                "rbac_access_denied_matched_policy[ns[shop]-policy[web]-rule[1]]",
            ),
            (r#"{"verdict":"DENY","reason":"no_allow_rule_matched"}"#, "rbac_access_denied_matched_policy[none]"),
            (r#"{"verdict":"DENY","reason":"jwt_expired"}"#, "jwt_authn_access_denied{jwt_expired}"),
        ] {
            let decision: AuditRecord<'_> = serde_json::from_str(decision).unwrap();
            assert_eq!(of(&decision), expected);
        }
    }
}
