use meshwright_identity::{SpiffeId, TrustDomain};

/// A SPIFFE ID taken apart where it stands, so that no request allocates for it. It is one exactly when [`SpiffeId::parse`] says so; a test
/// holds the two together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpiffeView<'a> {
    trust_domain: &'a str,
    /// Without its first `/`; none for a trust domain's own ID.
    path: Option<&'a str>,
}

impl<'a> SpiffeView<'a> {
    pub(crate) fn parse(id: &'a str) -> Option<Self> {
        if id.len() > SpiffeId::MAX_LEN {
            return None;
        }
        let rest = id.strip_prefix("spiffe://")?;
        let (trust_domain, path) = match rest.split_once('/') {
            Some((domain, path)) => (domain, Some(path)),
            None => (rest, None),
        };
        let is_domain = (1..=TrustDomain::MAX_LEN).contains(&trust_domain.len())
            && trust_domain.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte));
        (is_domain && path.is_none_or(|path| path.split('/').all(is_segment))).then_some(Self { trust_domain, path })
    }

    pub(crate) fn trust_domain(&self) -> &'a str {
        self.trust_domain
    }

    /// What stands behind `/ns/` at the start, when something follows it.
    pub(crate) fn namespace(&self) -> Option<&'a str> {
        let mut segments = self.segments();
        match (segments.next(), segments.next(), segments.next()) {
            (Some("ns"), Some(namespace), Some(_)) => Some(namespace),
            _ => None,
        }
    }

    /// What stands behind a segment `sa`, anywhere after the namespace: other segments may be in between.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let segments = self.segments().skip(2);
        segments.clone().zip(segments.skip(1)).filter(|(key, _)| *key == "sa").map(|(_, account)| account)
    }

    fn segments(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.path.into_iter().flat_map(|path| path.split('/'))
    }
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..") && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_apart() {
        let view = |id| SpiffeView::parse(id).unwrap();
        let id = view("spiffe://td/ns/shop/sa/cart");
        assert_eq!((id.trust_domain(), id.namespace(), id.accounts().collect::<Vec<_>>()), ("td", Some("shop"), vec!["cart"]));
        let long = view("spiffe://td/ns/shop/x/y/sa/cart/z/sa/b");
        assert_eq!((long.namespace(), long.accounts().collect::<Vec<_>>()), (Some("shop"), vec!["cart", "b"]));
        for id in ["spiffe://td", "spiffe://td/ns", "spiffe://td/ns/shop", "spiffe://td/x/ns/shop/sa/cart"] {
            assert_eq!(view(id).namespace(), None, "{id}");
        }
    }

    proptest! {
        #[test]
        fn is_one_exactly_when_the_identity_package_says_so(id in "(spiffe://)?[a-zA-Z0-9._/%:-]{0,12}(/(ns|sa|\\.|\\.\\.|a)?){0,4}") {
            let (view, parsed) = (SpiffeView::parse(&id), SpiffeId::parse(&id).ok());
            prop_assert_eq!(view.map(|view| view.trust_domain().to_owned()), parsed.map(|id| id.trust_domain().to_string()));
        }

        #[test]
        fn and_says_the_same_of_it(a in "[a-z.]{1,3}", b in "(ns|sa|x)", c in "[a-z]{1,2}", d in "(ns|sa|x)", e in "[a-z]{1,2}") {
            let id = format!("spiffe://{a}/{b}/{c}/{d}/{e}");
            let view = SpiffeView::parse(&id).unwrap();
            let simple = SpiffeId::parse(&id).unwrap();
            if let Some((namespace, account)) = simple.service_account() {
                prop_assert_eq!((view.namespace(), view.accounts().next()), (Some(namespace), Some(account)));
            } else {
                prop_assert!(view.namespace().is_none() || view.accounts().next().is_none());
            }
        }
    }

    #[test]
    fn lengths_are_those_of_the_specification() {
        let (domain, long) = ("a".repeat(255), "a".repeat(256));
        for id in [format!("spiffe://{domain}/a"), format!("spiffe://{long}/a"), format!("spiffe://a/{}", "b".repeat(2048 - 11))] {
            assert_eq!(SpiffeView::parse(&id).is_some(), SpiffeId::parse(&id).is_ok(), "{}", id.len());
        }
        assert!(SpiffeView::parse(&format!("spiffe://a/{}", "b".repeat(2048 - 10))).is_none());
    }
}
