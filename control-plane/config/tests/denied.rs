//! Deny lists: whom they name, until when, and whom they do not name.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use meshwright_config::{State, parse_file};
use meshwright_identity::SpiffeId;

const MESH: &str = "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {trustDomain: a.example, trustDomainAliases: [old.example]}\n";
const CART: &str = "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: cart-1, namespace: shop}\nspec: {address: 127.0.0.1, serviceAccount: cart, labels: {app: cart}}\n";
/// 2026-01-31T12:00:00Z.
const END: u64 = 1_769_860_800;

fn state(entries: &str) -> State {
    let list = format!(
        "---\napiVersion: meshwright.dev/v1alpha1\nkind: IdentityDenyList\nmetadata: {{name: list, namespace: shop}}\nspec: {{entries: [{entries}]}}\n"
    );
    let text = format!("{MESH}{CART}{list}");
    let documents = parse_file("test.yaml", &text).into_iter().map(|parsed| parsed.unwrap_or_else(|error| panic!("{error}"))).collect();
    let (state, errors) = State::assemble(documents);
    assert_eq!(errors, []);
    state
}

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

#[test]
fn an_entry_names_an_identity_a_namespace_or_a_certificate() {
    let state = state(
        "{spiffeId: spiffe://old.example/ns/shop/sa/cart, reason: leaked}, {spiffeId: spiffe://b.example/ns/x/*}, {serial: '00:0A:FF'}",
    );
    for (identity, serial, entry) in [
        ("spiffe://a.example/ns/shop/sa/cart", None, Some("spiffe://old.example/ns/shop/sa/cart")),
        ("spiffe://old.example/ns/shop/sa/cart", None, Some("spiffe://old.example/ns/shop/sa/cart")),
        ("spiffe://b.example/ns/shop/sa/cart", None, None),
        ("spiffe://b.example/ns/x/sa/a", Some("1"), Some("spiffe://b.example/ns/x/*")),
        ("spiffe://b.example/ns/x", None, None),
        ("spiffe://a.example/ns/x/sa/a", Some("0aff"), Some("serial aff")),
        ("spiffe://a.example/ns/x/sa/a", Some("AFF"), Some("serial aff")),
        ("spiffe://a.example/ns/x/sa/a", Some("aff0"), None),
    ] {
        let found = state.denial_of(Some(&id(identity)), serial).map(|denial| denial.entry.denied().to_string());
        assert_eq!(found.as_deref(), entry, "{identity} {serial:?}");
    }
    assert_eq!(state.denial_of(None, Some("0aff")).unwrap().list.to_string(), "IdentityDenyList shop/list");
    let peers = state.denied_peers();
    assert_eq!(peers.identities, ["spiffe://b.example/ns/x/*", "spiffe://old.example/ns/shop/sa/cart"]);
    assert_eq!(peers.serials, ["aff"]);
}

#[test]
fn an_entry_ends_when_it_says() {
    let state = state("{serial: '0a', until: 2026-01-31T12:00:00Z}, {serial: '0b'}, {serial: '0c', until: '2026-01-31T14:00:00+01:00'}");
    assert!(state.without_ended(END - 1).is_none());
    assert_eq!((state.next_end_of_denial(0), state.next_end_of_denial(END)), (Some(END), Some(END + 3600)));
    assert_eq!(state.without_ended(END).unwrap().denied_peers().serials, ["b", "c"]);
    let last = state.without_ended(END + 3600).unwrap();
    assert_eq!((last.denied_peers().serials.len(), last.next_end_of_denial(END + 3600)), (1, None));
    assert!(last.denial_of(None, Some("0a")).is_none() && last.denial_of(None, Some("0b")).is_some());
}

#[test]
fn an_entry_that_names_nobody_is_told() {
    let state = state(
        "{spiffeId: spiffe://a.example/ns/shop/sa/cart}, {spiffeId: spiffe://old.example/ns/shop/*}, {spiffeId: spiffe://a.example/ns/shop/sa/carts}, \
         {spiffeId: spiffe://a.example/ns/shopp/*}, {spiffeId: spiffe://c.example/ns/shop/sa/cart}, {serial: '01'}",
    );
    assert_eq!(
        state.idle_denials(),
        [
            "IdentityDenyList shop/list: spiffe://a.example/ns/shop/sa/carts names nobody: no workload has this identity",
            "IdentityDenyList shop/list: spiffe://a.example/ns/shopp/* names nobody: no workload is in the namespace `shopp`",
            "IdentityDenyList shop/list: spiffe://c.example/ns/shop/sa/cart names nobody: `c.example` is no trust domain of this mesh",
        ]
    );
}

#[test]
fn the_documented_list_is_one() {
    let page = include_str!("../../../docs/identity.md");
    let lists = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lists: Vec<&str> = lists.filter(|text| text.contains("kind: IdentityDenyList")).collect();
    assert_eq!(lists.len(), 1);
    for parsed in lists.iter().flat_map(|text| parse_file("identity.md", text)) {
        let document = parsed.unwrap_or_else(|error| panic!("{error}"));
        let (state, errors) = State::assemble(vec![document]);
        assert_eq!((errors.len(), state.denials().count()), (0, 3));
    }
}
