use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

const LOOPBACK: &str = "127.0.0.1:15014";
const OPERATOR: &str = "spiffe://shop.test/ns/ops/sa/operator";

#[test]
fn web_pages_may_not_ask() {
    for (found, permitted) in [
        (headers(&[]), true),
        (headers(&[("host", "127.0.0.1:15014")]), true),
        (headers(&[("host", "[::1]:15014")]), true),
        (headers(&[("host", "localhost")]), true),
        (headers(&[("host", "rebound.example:15014")]), false),
        (headers(&[("host", "127.0.0.1:15014"), ("origin", "https://evil.example")]), false),
    ] {
        assert_eq!(Access::Local.permits(&found, Err(InvalidPeer::None)).is_ok(), permitted, "{found:?}");
    }
}

#[test]
fn a_token_is_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let token = "0123456789abcdef0123456789abcdef";
    let open = || Access::new(LOOPBACK.parse().unwrap(), Some(&file), &[]);
    std::fs::write(&file, format!("{token}\n")).unwrap();
    assert!(open().unwrap_err().to_string().contains("chmod 600"));
    let only_mine = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, only_mine).unwrap();
    let access = open().unwrap();
    let permits = |headers: &HeaderMap| access.permits(headers, Err(InvalidPeer::None)).is_ok();
    for (shown, permitted) in
        [(format!("Bearer {token}"), true), (format!("Bearer {token}0"), false), ("Bearer ".to_owned(), false), (token.to_owned(), false)]
    {
        assert_eq!(permits(&headers(&[("authorization", &shown)])), permitted, "{shown}");
    }
    assert!(!permits(&headers(&[])));
    assert!(access.permits(&headers(&[]), Ok(id(OPERATOR))).is_err(), "no identity is named");
    std::fs::write(&file, "short").unwrap();
    assert!(open().unwrap_err().to_string().contains("at least 32"));
    assert!(!format!("{access:?}").contains(token));
}

#[test]
fn nothing_is_told_beyond_this_machine_unless_something_is_asked_for() {
    let anywhere: SocketAddr = "0.0.0.0:15014".parse().unwrap();
    let error = Access::new(anywhere, None, &[]).unwrap_err().to_string();
    assert!(error.contains("needs a token or an identity") && error.contains("--admin-token-file") && error.contains("--admin-identity"));
    assert!(matches!(Access::new(LOOPBACK.parse().unwrap(), None, &[]).unwrap(), Access::Local));
    let named = Access::new(anywhere, None, &[id(OPERATOR)]).unwrap();
    let loopback = LOOPBACK.parse().unwrap();
    assert!(named.needs_tls(loopback) && !Access::Local.needs_tls(loopback) && Access::Local.needs_tls(anywhere));
    assert!(named.check_trust_domain(&TrustDomain::parse("shop.test").unwrap()).is_ok());
    let error = named.check_trust_domain(&TrustDomain::parse("other.test").unwrap()).unwrap_err().to_string();
    assert!(error.contains(OPERATOR) && error.contains("`other.test`"), "{error}");
}

#[test]
fn only_who_is_named_may_ask_by_a_certificate() {
    let token = "0123456789abcdef0123456789abcdef";
    let identities: BTreeSet<SpiffeId> = [id(OPERATOR)].into();
    let by_certificate = Access::Shown { token: None, identities: identities.clone() };
    let by_either = Access::Shown { token: Some(hash(token)), identities };
    for access in [&by_certificate, &by_either] {
        let refused = |headers: &HeaderMap, shown| access.permits(headers, shown).unwrap_err();
        assert_eq!(access.permits(&headers(&[]), Ok(id(OPERATOR))), Ok(Some(id(OPERATOR))));
        for other in ["spiffe://shop.test/ns/ops/sa/operator2", "spiffe://shop.test/ns/ops/sa", "spiffe://shop.test/ns/shop/sa/web"] {
            let found = refused(&headers(&[]), Ok(id(other)));
            assert_eq!((found.status, found.identity), (StatusCode::FORBIDDEN, Some(id(other))));
            assert!(found.why.contains(other) && found.why.contains("--admin-identity"), "{}", found.why);
        }
        let none = refused(&headers(&[]), Err(InvalidPeer::None));
        assert_eq!(none.status, StatusCode::UNAUTHORIZED);
        assert!(none.why.contains("a client certificate of the mesh"), "{}", none.why);
        let ended = refused(&headers(&[]), Err(InvalidPeer::Expired("2026-01-01T00:00:00Z".to_owned())));
        assert_eq!(ended.status, StatusCode::UNAUTHORIZED);
        assert!(ended.why.contains("expired at 2026"), "{}", ended.why);
        let page = refused(&headers(&[("origin", "https://evil.example")]), Ok(id(OPERATOR)));
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }
    let bearer = headers(&[("authorization", &format!("Bearer {token}"))]);
    assert_eq!(by_either.permits(&bearer, Err(InvalidPeer::None)), Ok(None));
    assert!(by_certificate.permits(&bearer, Err(InvalidPeer::None)).is_err());
    let neither = by_either.permits(&headers(&[]), Err(InvalidPeer::None)).unwrap_err();
    assert!(neither.why.contains("Bearer TOKEN"), "{}", neither.why);
}
