use std::time::Duration;

use hyper::StatusCode;
use meshwright_test_support::signing::{self, SigningKey};

use crate::bench::{Bench, CONNECTIONS};
use crate::bootstrap::Content;
use crate::envoy::Memory;
use crate::filters;
use crate::load::{Bearer, Load};
use crate::measured::Range;
use crate::report::{Section, Table, Target};
use crate::{policies, tokens};

/// Each in new Envoys.
const ROUNDS: usize = 5;
const LOAD: Duration = Duration::from_secs(2);

/// What a sidecar may need above its Envoy, in MB.
const MOST: f64 = 30.0;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Section> {
    let key = SigningKey::es256()?;
    let policies = policies::with_token(&signing::jwks(&[&key]));
    let silent = bench.ours(bench.module(), vec![filters::authz(bench.module(), &policies.ours).in_listener()]);
    let authz = Content { access_log: Vec::new(), ..silent.clone() };
    let both = Content { access_log: vec![filters::access_log(bench.module())], ..silent };
    let contents = [("no module", Content::default()), ("authz", authz), ("authz and access log", both)];
    let load = Load {
        connections: CONNECTIONS,
        path: "/books/1".to_owned(),
        headers: Vec::new(),
        bearer: Bearer::Same(tokens::bearer(&key, 0)?),
        expected: StatusCode::OK,
        differing: false,
    };
    let mut found: [Vec<Memory>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        for ((name, content), found) in contents.iter().zip(&mut found) {
            let contender = bench.start(name, content).await?;
            load.run(contender.envoy.address(), bench.shortened(LOAD)).await?;
            let memory = contender.envoy.memory()?;
            eprintln!("bench: memory: round {round} of {ROUNDS}: {name}: {:.1} MB", memory.resident);
            found.push(memory);
        }
    }
    let resident = found.each_ref().map(|all| Range::of(all.iter().map(|one| one.resident)));
    let anonymous = found.each_ref().map(|all| Range::of(all.iter().map(|one| one.anonymous)));
    let [bare, ..] = resident;
    let mut table = Table::new(&["configuration", "resident, MB", "of it anonymous, MB", "above no module, MB", "target", "met"]);
    for (((name, _), resident), anonymous) in contents.iter().zip(resident).zip(anonymous) {
        let above = resident.median - bare.median;
        let [target, met] = Target::AtMost(MOST).cells(above);
        table.row([(*name).to_owned(), resident.cell(1), anonymous.cell(1), format!("{above:.1}"), target, met]);
    }
    let text = "`VmRSS` of an Envoy with one worker that has served the first case's requests for two seconds. A sidecar has both of the module's \
                roles, in one VM: the filter and the access log. Anonymous memory is the process's own; the \
                rest is pages of Envoy's file, of which V8 needs more. Every Envoy gives free memory back once a second, as a sidecar's does.";
    Ok(Section { title: "Memory".to_owned(), text: text.to_owned(), tables: vec![table], rows: Vec::new() })
}
