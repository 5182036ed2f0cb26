use crate::bookshop::Bookshop;
use crate::client::Client;
use crate::report::{Report, Row};

use super::CATALOG;

const DENIED: &str = "403 RBAC: access denied";

/// mTLS in force, plaintext refused, principals, methods and paths.
pub(super) async fn run(mesh: &Bookshop, report: &mut Report) -> anyhow::Result<()> {
    let frontend = mesh.client("frontend")?;
    let books = format!("{CATALOG}/books");

    let answer = frontend.get(&books).await?;
    let peer = "spiffe://bookshop.local/ns/bookshop/sa/frontend";
    let seen = answer.json()["headers"]["x-forwarded-client-cert"].to_string();
    let actual = format!("{}, {}", answer.summary(), if seen.contains(peer) { format!("peer {peer}") } else { format!("peer {seen}") });
    report.add(Row::same("mutual TLS: catalog sees frontend's certificate", &format!("200, peer {peer}"), &actual));

    let plain = Client::outside()?.get(&format!("http://{}/books", mesh.address("catalog-v1")?)).await?;
    report.add(Row::same("STRICT: plaintext to catalog", "connection closed", &plain.summary()));

    report.add(Row::same("principal: frontend may read books", "200", &frontend.get(&books).await?.summary()));
    let payments = mesh.client("payments")?.get(&books).await?;
    report.add(Row::same("principal: payments may not", DENIED, &payments.summary()));

    let delete = frontend.send("DELETE", &books, &[]).await?;
    report.add(Row::same("method: frontend may not DELETE", DENIED, &delete.summary()));
    let admin = frontend.get(&format!("{CATALOG}/admin")).await?;
    report.add(Row::same("path: frontend may not GET /admin", DENIED, &admin.summary()));
    let dots = frontend.get(&format!("{CATALOG}/books/%2e%2e/admin")).await?;
    report.add(Row::same("path: nor by way of /books/%2e%2e/admin", DENIED, &dots.summary()));
    Ok(())
}
