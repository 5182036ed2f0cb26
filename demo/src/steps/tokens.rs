use crate::bookshop::{Bookshop, INGRESS_HOST, ISSUER};
use crate::client::{Answer, Client};
use crate::keys::Issuer;
use crate::report::{Report, Row};

use super::ORDERS;

const HOUR: i64 = 3600;

/// JWTs inside the mesh and at the ingress.
pub(super) async fn run(mesh: &Bookshop, report: &mut Report) -> anyhow::Result<()> {
    let frontend = mesh.client("frontend")?;
    let right = mesh.issuer.token("ada", &["customer"], HOUR)?;
    let wrong_claim = mesh.issuer.token("eve", &["visitor"], HOUR)?;
    let expired = mesh.issuer.token("ada", &["customer"], -HOUR)?;
    let forged = Issuer::new(ISSUER)?.token("ada", &["customer"], HOUR)?;
    let orders = format!("{ORDERS}/orders");

    for (step, token, expected) in [
        ("token with the claim groups=customer", Some(&right), "200"),
        ("no token", None, "403 RBAC: access denied"),
        ("token without the claim", Some(&wrong_claim), "403 RBAC: access denied"),
        ("expired token", Some(&expired), "401 Jwt is expired"),
        ("forged token (another key)", Some(&forged), "401 Jwt verification fails"),
    ] {
        let answer = post(&frontend, &orders, token.map(String::as_str)).await?;
        report.add(Row::same(&format!("orders: {step}"), expected, &answer.summary()));
    }

    let browser = mesh.browser()?;
    let shop = format!("https://{INGRESS_HOST}:{}/orders", mesh.address("gateway")?.port());
    for (step, token, expected) in [
        ("the same token over TLS", Some(&right), "200"),
        ("no token", None, "403 RBAC: access denied"),
        ("forged token", Some(&forged), "401 Jwt verification fails"),
    ] {
        let answer = post(&browser, &shop, token.map(String::as_str)).await?;
        report.add(Row::same(&format!("ingress: {step}"), expected, &answer.summary()));
    }
    Ok(())
}

async fn post(client: &Client, url: &str, token: Option<&str>) -> anyhow::Result<Answer> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|value| ("authorization", value.as_str())).collect();
    client.send("POST", url, &headers).await
}
