use std::time::Duration;

use hyper::StatusCode;

use crate::bench::{Bench, CONNECTIONS};
use crate::load::{Bearer, Load};
use crate::measured::{Measured, middle, table};
use crate::report::{Row, Section, Target};
use crate::rounds::alternate;
use crate::{filters, policies};

const ROUND: Duration = Duration::from_secs(1);

pub(crate) async fn run(bench: &Bench, case: String, count: usize, least: f64) -> anyhow::Result<Section> {
    let policies = policies::many(count, None);
    let contenders = [bench.start_filters("rbac", &[filters::rbac(&policies.native)]).await?, bench.start_ours(&policies.ours).await?];
    let last = count.saturating_sub(1);
    let mut rows = Vec::new();
    let mut tables = Vec::new();
    for (what, path, expected) in
        [("the last matches", policies::path(last), StatusCode::OK), ("none matches", "/nowhere/book".to_owned(), StatusCode::FORBIDDEN)]
    {
        let headers = vec![("x-tenant", policies::tenant(last))];
        let load = Load { connections: CONNECTIONS, path, headers, bearer: Bearer::None, expected, differing: true };
        let measured = alternate(bench, &format!("{case}: {what}"), &contenders, &load, bench.shortened(ROUND)).await?;
        let named: Vec<Measured> =
            measured.into_iter().map(|one| Measured { name: format!("{}, {what}", one.name), samples: one.samples }).collect();
        let [native, ours] = named.as_slice() else { anyhow::bail!("two configurations are compared") };
        let target = Target::AtLeast(least);
        let (ours_then, peer) = middle(ours, native, |sample| sample.per_second);
        rows.push(Row { case: case.clone(), unit: "requests/s", ours: ours_then, peer, target });
        tables.push(table(&[native, ours]));
    }
    let text = format!(
        "{count} ALLOW policies of one rule each: a method and a path of its own (exact and prefix in turn), and a header's value or a source block in\n\
         turn; no tokens. No two requests are alike, so that the module decides about each. `rbac` has them as Istio generates them, one entry a rule. When none matches, both answer 403, and the module also finds the\n\
         policy that came nearest. Ours divided by Envoy's own: {}; the smaller one counts.",
        rows.iter().zip(["last", "none"]).map(|(row, what)| format!("{what} {:.2}", row.value())).collect::<Vec<_>>().join(", "),
    );
    rows.sort_by(|a, b| a.value().total_cmp(&b.value()));
    rows.truncate(1);
    Ok(Section { title: format!("{count} policies"), text, tables, rows })
}
