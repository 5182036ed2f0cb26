//! What policies decide, as tables: the end-to-end tests ask a mesh of real Envoys, and `tests/hosted.rs` asks the module in the host. Both must
//! give the same answer.

/// What `pathNormalization` may be.
pub const MODES: [&str; 4] = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];

/// What is sent, and what the app is to receive in each of [`MODES`]; `None`: the request is refused with 400.
pub type Target = (&'static str, [Option<&'static str>; 4]);

/// Every odd path there is.
pub const TARGETS: &[Target] = &[
    ("/a/b", [Some("/a/b"), Some("/a/b"), Some("/a/b"), Some("/a/b")]),
    ("/a/../b", [Some("/a/../b"), Some("/b"), Some("/b"), Some("/b")]),
    ("/a/./b", [Some("/a/./b"), Some("/a/b"), Some("/a/b"), Some("/a/b")]),
    ("/a/b/..", [Some("/a/b/.."), Some("/a/"), Some("/a/"), Some("/a/")]),
    ("/../../b", [Some("/../../b"), Some("/b"), Some("/b"), Some("/b")]),
    ("/a//b", [Some("/a//b"), Some("/a//b"), Some("/a/b"), Some("/a/b")]),
    ("//a", [Some("//a"), Some("//a"), Some("/a"), Some("/a")]),
    ("/a//../b", [Some("/a//../b"), Some("/a/b"), Some("/a/b"), Some("/a/b")]),
    ("/a/b//", [Some("/a/b//"), Some("/a/b//"), Some("/a/b/"), Some("/a/b/")]),
    ("/a%2Fb", [Some("/a%2Fb"), Some("/a%2Fb"), Some("/a%2Fb"), Some("/a/b")]),
    ("/a%2fb", [Some("/a%2fb"), Some("/a%2fb"), Some("/a%2fb"), Some("/a/b")]),
    ("/a%2F%2Fb", [Some("/a%2F%2Fb"), Some("/a%2F%2Fb"), Some("/a%2F%2Fb"), Some("/a/b")]),
    ("/a%5Cb", [Some("/a%5Cb"), Some("/a%5Cb"), Some("/a%5Cb"), Some("/a/b")]),
    ("/a%5cb", [Some("/a%5cb"), Some("/a%5cb"), Some("/a%5cb"), Some("/a/b")]),
    ("/a\\b", [Some("/a\\b"), Some("/a/b"), Some("/a/b"), Some("/a/b")]),
    ("/a\\..\\b", [Some("/a\\..\\b"), Some("/b"), Some("/b"), Some("/b")]),
    ("/a/%2e%2e/b", [Some("/a/%2e%2e/b"), Some("/b"), Some("/b"), Some("/b")]),
    ("/a/.%2E/b", [Some("/a/.%2E/b"), Some("/b"), Some("/b"), Some("/b")]),
    ("/a/%2e/b", [Some("/a/%2e/b"), Some("/a/b"), Some("/a/b"), Some("/a/b")]),
    ("/a/..%2Fb", [Some("/a/..%2Fb"), Some("/a/..%2Fb"), Some("/a/..%2Fb"), Some("/b")]),
    ("/a/%2e%2e%2fb", [Some("/a/%2e%2e%2fb"), Some("/a/..%2fb"), Some("/a/..%2fb"), Some("/b")]),
    ("/a/..%5c../b", [Some("/a/..%5c../b"), Some("/a/..%5c../b"), Some("/a/..%5c../b"), Some("/b")]),
    ("/a%00b", [Some("/a%00b"), None, None, None]),
    ("/%61dmin", [Some("/%61dmin"), Some("/admin"), Some("/admin"), Some("/admin")]),
    ("/a%252Fb", [Some("/a%252Fb"), Some("/a%252Fb"), Some("/a%252Fb"), Some("/a%252Fb")]),
    ("/a/%252e%252e/b", [Some("/a/%252e%252e/b"), Some("/a/%252e%252e/b"), Some("/a/%252e%252e/b"), Some("/a/%252e%252e/b")]),
    ("/a#/../b", [Some("/a"), Some("/a"), Some("/a"), Some("/a")]),
    ("/a%23b", [Some("/a%23b"), Some("/a%23b"), Some("/a%23b"), Some("/a%23b")]),
    ("/A;x=1/B", [Some("/A;x=1/B"), Some("/A;x=1/B"), Some("/A;x=1/B"), Some("/A;x=1/B")]),
    ("/a/...", [Some("/a/..."), Some("/a/..."), Some("/a/..."), Some("/a/...")]),
    ("/a%c0%afb", [Some("/a%c0%afb"), Some("/a%c0%afb"), Some("/a%c0%afb"), Some("/a%c0%afb")]),
    ("/a%zzb", [Some("/a%zzb"), Some("/a%zzb"), Some("/a%zzb"), Some("/a%zzb")]),
    ("http://server.test.mesh/a/../b", [Some("/a/../b"), Some("/b"), Some("/b"), Some("/b")]),
];

/// Envoy 1.36 leaves these as they are, 1.40 takes them for `.` and `..`. What matters is that policy and app see the same.
pub const BY_VERSION: &[&str] = &["/a/..;/b", "/a/.;/b", "/a/..;x=1/b"];

/// What a policy does, and the status of a request that it matches.
#[derive(Debug, Clone, Copy)]
pub struct Enforcement {
    pub what: &'static str,
    annotation: &'static str,
    spec: &'static str,
    pub status: u16,
}

/// AUDIT and dry-run refuse nothing.
pub const ENFORCEMENTS: &[Enforcement] = &[
    Enforcement { what: "DENY", annotation: "", spec: "action: DENY, rules: [{}]", status: 403 },
    Enforcement { what: "DENY, tried out", annotation: "istio.io/dry-run: \"true\"", spec: "action: DENY, rules: [{}]", status: 200 },
    Enforcement {
        what: "DENY, no longer tried out",
        annotation: "istio.io/dry-run: \"F\"",
        spec: "action: DENY, rules: [{}]",
        status: 403,
    },
    Enforcement { what: "AUDIT", annotation: "", spec: "action: AUDIT, rules: [{}]", status: 200 },
    // Were it enforced, it would be the only ALLOW policy, and nothing else would pass.
    Enforcement { what: "ALLOW for nobody, tried out", annotation: "istio.io/dry-run: \"1\"", spec: "action: ALLOW", status: 200 },
];

impl Enforcement {
    /// The policy, for the server.
    #[must_use]
    pub fn document(&self) -> String {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: tried, namespace: test, annotations: {{{}}}}}\n\
             spec: {{selector: {{matchLabels: {{app: server}}}}, {}}}\n",
            self.annotation, self.spec
        )
    }
}

/// A policy for the bookshop's gateway, and for none of its sidecars: `/closed` is denied there.
pub const AT_THE_GATEWAY: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: closed, namespace: bookshop}
spec:
  targetRefs: [{group: networking.istio.io, kind: Gateway, name: shop}]
  action: DENY
  rules: [{to: [{operation: {paths: [/closed]}}]}]
";

/// What the listener takes, and who then has a name.
#[derive(Debug, Clone)]
pub struct Mode {
    pub what: &'static str,
    /// None where there is none, which is at the start only.
    pub document: Option<String>,
    /// Those of the mesh come over mutual TLS; else plaintext, on the HTTP port.
    pub mesh_is_secure: bool,
    pub found: Found,
}

/// What each way in does in one mode; no status: the connection was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `/named`, `/nameless` through the client's sidecar.
    pub mesh_http: [Option<u16>; 2],
    /// The same, straight to the port.
    pub outside_http: [Option<u16>; 2],
    pub mesh_tcp: bool,
    pub outside_tcp: bool,
    /// TLS that does not offer the mesh's protocol.
    pub own_tls: bool,
}

/// `/named*` is for the client's identity alone, `/nameless*` for who has none.
pub const WHO: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: who, namespace: test}
spec:
  selector: {matchLabels: {app: server}}
  rules:
  - from: [{source: {principals: [test.local/ns/test/sa/client]}}]
    to: [{operation: {paths: [/named*]}}]
  - from: [{source: {notPrincipals: ['*']}}]
    to: [{operation: {paths: [/nameless*]}}]
  - to: [{operation: {ports: ['9000']}}]
";

/// Every mode of PeerAuthentication, beside [`WHO`].
#[must_use]
pub fn modes() -> Vec<Mode> {
    let document = |mode: &str, ports: &str| {
        let spec = format!("spec:\n  selector: {{matchLabels: {{app: server}}}}\n  mtls: {{mode: {mode}}}\n{ports}---\n");
        Some(format!("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: server, namespace: test}}\n{spec}"))
    };
    let (named, nameless, closed) = ([Some(200), Some(403)], [Some(403), Some(200)], [None, None]);
    let permissive = || Found { mesh_http: named, outside_http: nameless, mesh_tcp: true, outside_tcp: true, own_tls: true };
    let strict = || Found { mesh_http: named, outside_http: closed, mesh_tcp: true, outside_tcp: false, own_tls: false };
    // Callers know and use plaintext, so that nobody has a name.
    let disabled = || Found { mesh_http: nameless, ..permissive() };
    let split = "  portLevelMtls: {8080: {mode: STRICT}, 9000: {mode: DISABLE}}\n";
    let each_port = Found { mesh_tcp: true, outside_tcp: true, own_tls: true, ..strict() };
    let mode = |what, document, found| Mode { what, document, mesh_is_secure: what != "DISABLE", found };
    vec![
        mode("without a document", None, permissive()),
        mode("STRICT", document("STRICT", ""), strict()),
        mode("PERMISSIVE", document("PERMISSIVE", ""), permissive()),
        mode("DISABLE", document("DISABLE", ""), disabled()),
        mode("a mode for each port", document("UNSET", split), each_port),
        mode("back to STRICT", document("STRICT", ""), strict()),
    ]
}

/// A request of the bookshop's frontend to its catalog, and the statuses that are right.
#[derive(Debug, Clone, Copy)]
pub struct Hostile {
    pub what: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    pub header: Option<(&'static str, &'static str)>,
    pub statuses: [u16; 2],
}

/// Those of the hostile requests that policies, or what stands right before them, answer.
pub const HOSTILE: &[Hostile] = &[
    Hostile { what: "nothing hostile", method: "GET", path: "/books", header: None, statuses: [200, 200] },
    Hostile { what: "an encoded zero byte", method: "GET", path: "/books/%00", header: None, statuses: [400, 400] },
    Hostile { what: "a lower-case method", method: "get", path: "/books", header: None, statuses: [400, 403] },
    Hostile {
        what: "a forged peer header",
        method: "GET",
        path: "/admin",
        header: Some(("x-forwarded-client-cert", "URI=spiffe://bookshop.local/ns/bookshop/sa/admin")),
        statuses: [403, 403],
    },
    Hostile {
        what: "a token that is none",
        method: "GET",
        path: "/books",
        header: Some(("authorization", "Bearer a.b")),
        statuses: [401, 401],
    },
    Hostile {
        what: "an unsigned token",
        method: "GET",
        path: "/books",
        header: Some(("authorization", "Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2FjY291bnRzLmJvb2tzaG9wLmV4YW1wbGUifQ.")),
        statuses: [401, 401],
    },
    Hostile { what: "a way up and down again", method: "GET", path: "/books/../admin", header: None, statuses: [403, 403] },
    Hostile { what: "a way up with an encoded dot", method: "GET", path: "/books/%2e%2e/admin", header: None, statuses: [403, 403] },
];
