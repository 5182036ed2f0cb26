use std::time::Duration;

use hyper::StatusCode;
use meshwright_test_support::signing::{self, SigningKey};

use crate::bench::{Bench, CONNECTIONS};
use crate::bootstrap::Content;
use crate::filters::{self, Filter};
use crate::load::{Bearer, Load};
use crate::measured::Range;
use crate::report::{Section, Table};
use crate::{policies, tokens};

const LOAD: Duration = Duration::from_secs(2);
const MEGABYTE: u32 = 1 << 20;

/// What a sidecar may need above its Envoy, in MB.
const MOST: f64 = 30.0;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Section> {
    let key = SigningKey::es256()?;
    let policies = policies::with_token(&signing::jwks(&[&key]));
    let authz: Vec<_> = bench.ours(&policies.ours).iter().map(Filter::in_listener).collect();
    let contents = [
        ("no module", Content::default()),
        ("authz", Content { filters: authz.clone(), access_log: Vec::new() }),
        ("authz and access log", Content { filters: authz, access_log: vec![filters::access_log(bench.module())] }),
    ];
    let load = Load {
        connections: CONNECTIONS,
        path: "/books/1".to_owned(),
        headers: Vec::new(),
        bearer: Bearer::Same(tokens::bearer(&key, 0)?),
        expected: StatusCode::OK,
    };
    let mut found = [Vec::new(), Vec::new(), Vec::new()];
    for round in 1..=bench.rounds() {
        for ((name, content), found) in contents.iter().zip(&mut found) {
            let contender = bench.start(name, content).await?;
            load.run(contender.envoy.address(), bench.shortened(LOAD)).await?;
            let megabytes = f64::from(u32::try_from(contender.envoy.resident()? >> 10)?) * 1024.0 / f64::from(MEGABYTE);
            eprintln!("bench: memory: round {round} of {}: {name}: {megabytes:.1} MB", bench.rounds());
            found.push(megabytes);
        }
    }
    let ranges = found.map(Range::of);
    let [bare, ..] = ranges;
    let mut table = Table::new(&["configuration", "resident, MB", "above no module, MB", "target", "met"]);
    for ((name, _), range) in contents.iter().zip(ranges) {
        let above = range.median - bare.median;
        let met = if above <= MOST { "yes" } else { "no" };
        table.row([(*name).to_owned(), range.cell(1), format!("{above:.1}"), format!("≤ {MOST}"), met.to_owned()]);
    }
    let text = "`VmRSS` of an Envoy with one worker that has served the first case's requests for two seconds. A sidecar has the module twice: as the \
                filter and as the access log.";
    Ok(Section { title: "Memory".to_owned(), text: text.to_owned(), tables: vec![table], rows: Vec::new() })
}
