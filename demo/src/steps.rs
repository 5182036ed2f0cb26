//! What the demo tries, in order. Each function adds its rows to the report; an error is a step that could not even be tried.

mod access_log;
mod configuration;
mod identity;
mod outage;
mod tokens;
mod traffic;

use crate::bookshop::Bookshop;
use crate::report::Report;

const CATALOG: &str = "http://catalog.bookshop.mesh";
const ORDERS: &str = "http://orders.bookshop.mesh";
const FRONTEND: &str = "http://frontend.bookshop.mesh";

/// Runs every step against a running bookshop; `progress` hears the title of each.
///
/// # Errors
/// When a step cannot be tried at all: a process is gone, a file cannot be read.
pub async fn run(mesh: &mut Bookshop, report: &mut Report, progress: &dyn Fn(&str)) -> anyhow::Result<()> {
    progress("mutual TLS and identity");
    identity::run(mesh, report).await?;
    progress("tokens");
    tokens::run(mesh, report).await?;
    progress("TCP and weighted traffic");
    traffic::run(mesh, report).await?;
    progress("live edits");
    configuration::run(mesh, report).await?;
    progress("access log");
    access_log::run(mesh, report).await?;
    progress("control plane outage");
    outage::run(mesh, report).await
}
