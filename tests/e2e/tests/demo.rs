//! The demo, whole, on a network of its own: every step must go as expected.

use meshwright_demo::bookshop::Bookshop;
use meshwright_demo::report::Report;
use meshwright_demo::steps;
use meshwright_test_support as support;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_the_demo_goes_as_expected() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let mut mesh = Bookshop::start(environment, support::network(), &|_| {}).await?;
    let mut report = Report::default();
    steps::run(&mut mesh, &mut report, &|_| {}).await?;
    assert!(report.rows().len() > 20, "the demo tries more than {} things", report.rows().len());
    assert_eq!(report.failures(), 0, "\n{}", report.table(180));
    mesh.stop().await
}
