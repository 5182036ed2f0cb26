use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::bookshop::Bookshop;
use crate::report::{Report, Row};

use super::CATALOG;

/// Enough that a share of 20 % within 11 and 30 is missed by chance less than once in a thousand runs.
const CALLS: u32 = 300;
const TCP: Duration = Duration::from_secs(10);

/// The TCP ledger and the weighted split.
pub(super) async fn run(mesh: &Bookshop, report: &mut Report) -> anyhow::Result<()> {
    for (workload, expected) in [("orders", "ledger: hello"), ("catalog-v1", "connection closed")] {
        let address = mesh.ledger_from(workload).with_context(|| format!("{workload} has no way to the ledger"))?;
        let answer = line(address, "hello").await?.unwrap_or_else(|| "connection closed".to_owned());
        report.add(Row::same(&format!("TCP: the ledger answers {workload}"), expected, &answer));
    }

    let frontend = mesh.client("frontend")?;
    let mut second = 0;
    for _ in 0..CALLS {
        let answer = frontend.get(&format!("{CATALOG}/books")).await?.json();
        second += u32::from(answer["version"] == "v2");
    }
    let share = second * 100 / CALLS;
    let actual = format!("{share} % of {CALLS} calls");
    report.add(Row::checked("weights 80/20: share of catalog v2", "11 to 30 %", actual, (11..=30).contains(&share)));
    Ok(())
}

/// Sends one line and reads one; nothing when the connection is refused or closed instead.
async fn line(address: SocketAddr, text: &str) -> anyhow::Result<Option<String>> {
    let exchange = async {
        let Ok(mut stream) = TcpStream::connect(address).await else { return None };
        stream.write_all(format!("{text}\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await.ok()?;
        (!answer.is_empty()).then(|| answer.trim_end().to_owned())
    };
    tokio::time::timeout(TCP, exchange).await.with_context(|| format!("{address} neither answers nor closes"))
}
