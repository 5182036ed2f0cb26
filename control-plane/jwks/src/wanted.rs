use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meshwright_config::{KeySource, State};

/// What documents want of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    /// How long one fetch may take: the longest that any rule allows.
    pub(crate) timeout: Duration,
    /// Whose tokens its keys verify.
    pub(crate) issuers: BTreeSet<String>,
}

/// Every source that some document names.
pub(crate) type Wanted = BTreeMap<KeySource, Want>;

pub(crate) fn wanted(state: &State) -> Wanted {
    let mut wanted = Wanted::new();
    for keys in state.request_authentications().iter().flat_map(|document| document.fetched_keys()) {
        let want = wanted.entry(keys.source().clone()).or_insert_with(|| Want { timeout: keys.timeout(), issuers: BTreeSet::new() });
        want.timeout = want.timeout.max(keys.timeout());
        want.issuers.insert(keys.issuer().to_owned());
    }
    wanted
}

#[cfg(test)]
mod tests {
    use meshwright_config::parse_file;

    use super::*;

    #[test]
    fn sources_are_wanted_once_for_all_documents() {
        let document = |name: &str, rules: &str| {
            format!(
                "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: {name}}}\nspec: {{jwtRules: [{rules}]}}\n"
            )
        };
        let keys = "jwksUri: 'https://k.example/keys'";
        let text = [
            document("a", &format!("{{issuer: a, {keys}, timeout: 1s}}, {{issuer: 'https://b.example'}}")),
            document("b", &format!("{{issuer: b, {keys}, timeout: 2s}}, {{issuer: 'https://b.example', audiences: [x]}}")),
        ]
        .join("---\n");
        let (state, errors) = State::assemble(parse_file("a.yaml", &text).into_iter().map(Result::unwrap).collect());
        assert!(errors.is_empty(), "{errors:?}");
        let of = |seconds, issuers: &[&str]| Want {
            timeout: Duration::from_secs(seconds),
            issuers: issuers.iter().map(|issuer| (*issuer).to_owned()).collect(),
        };
        let expected = [
            (KeySource::Uri("https://k.example/keys".into()), of(2, &["a", "b"])),
            (KeySource::Issuer("https://b.example".into()), of(5, &["https://b.example"])),
        ];
        assert_eq!(wanted(&state), expected.into());
    }
}
