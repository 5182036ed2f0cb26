//! Whatever a client sends, our module decides and does not trap.

use meshwright_wasm_host::{Ended, Request};
use proptest::prelude::*;
use serde_json::json;

use crate::support::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_exchange_is_decided(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        thread_local!(static PLUGIN: meshwright_wasm_host::Plugin = authz(policy("ALLOW", json!([
            {"to": [{"operation": {"methods": ["GET"], "paths": ["/books/*"]}}]},
            {"from": [{"source": {"requestPrincipals": ["*"]}}], "when": [{"key": "request.headers[x-a]", "values": ["1*"]}]},
        ]))));
        let outcome = PLUGIN.with(|plugin| plugin.request(Request::arbitrary(&bytes)).run()).unwrap();
        prop_assert_eq!(&outcome.report.traps, &[]);
        prop_assert_eq!(outcome.ended, Ended::Completed);
        prop_assert!(outcome.local_reply.is_some() || outcome.upstream_request.is_some() || outcome.status() == Some(404) || outcome.status() == Some(503));
    }
}
