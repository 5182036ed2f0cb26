//! What becomes of each rule on each port: `check`, `status` and the admin API say the same, and a rule that would match more than it says
//! is refused where it is written.

use meshwright_e2e::pair::{self, Pair};
use meshwright_test_support as support;
use serde_json::{Value, json};

fn policy(name: &str, annotations: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: test, annotations: {annotations}}}\n\
         spec: {{selector: {{matchLabels: {{app: server}}}}, {spec}}}\n---\n"
    )
}

/// What is said of one rule on each of the server's ports, as `port protocol answer`.
fn answers(rules: &Value, policy: &str) -> Vec<String> {
    let of_policy = rules.as_array().into_iter().flatten().filter(|rule| rule.get("policy") == Some(&json!(policy)));
    let text = |rule: &Value, key: &str| rule.get(key).map(|value| value.to_string().replace('"', "")).unwrap_or_default();
    of_policy.map(|rule| ["port", "protocol", "enforcement"].map(|key| text(rule, key)).join(" ")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_is_answered_for_wherever_one_asks() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let network = support::network();
    let unseen = "rules: [{to: [{operation: {paths: [/admin]}}]}]";
    let policies = [
        policy("allow", "{}", unseen),
        policy("deny", "{meshwright.io/accept-widening: \"true\"}", &format!("action: DENY, {unseen}")),
        policy("identity", "{}", "rules: [{from: [{source: {namespaces: [test]}}]}]"),
    ];
    let good = pair::documents(network, "", &policies.concat());
    let mesh = Pair::start(environment, network, &good).await?;
    let folder = mesh.environment.config_dir().to_string_lossy().into_owned();
    let admin = format!("http://{}", mesh.control_plane.admin());

    let checked: Value = serde_json::from_str(&mesh.environment.command(&["check", "--output", "json", &folder]).await?)?;
    let rules = checked.get("rules").cloned().unwrap_or_default();
    assert_eq!(answers(&rules, "test/allow"), ["8080 http enforced", "9000 tcp never_matches"]);
    assert_eq!(answers(&rules, "test/deny"), ["8080 http enforced", "9000 tcp widened"]);
    assert_eq!(answers(&rules, "test/identity"), ["8080 http enforced", "9000 tcp enforced"]);
    let status: Value =
        serde_json::from_str(&mesh.environment.command(&["status", "--admin", &admin, "--rules", "--output", "json"]).await?)?;
    assert_eq!(status.get("rules"), Some(&rules), "what is in force is what was checked");
    let line = "AuthorizationPolicy test/deny rule 0 (DENY): enforced on 8080 (HTTP) of test/server; \
                matches more than it says on 9000 (TCP) of test/server (`to[0].operation.paths`)";
    for said in
        [mesh.environment.command(&["check", &folder]).await?, mesh.environment.command(&["status", "--admin", &admin, "--rules"]).await?]
    {
        assert!(said.lines().any(|found| found == line), "{said}");
    }

    // Not accepted, it is refused; what was in force stays.
    meshwright_e2e::configure(&mesh.environment, &good.replace("meshwright.io/accept-widening: \"true\"", ""))?;
    let Err(refused) = mesh.environment.command(&["check", &folder]).await else { anyhow::bail!("a rule that is widened passes") };
    let refused = refused.to_string();
    assert!(refused.contains("(AuthorizationPolicy test/deny): spec.rules[0].to[0].operation.paths: cannot be seen on port 9000 (TCP)"));
    assert!(refused.contains(" 1 error,"), "{refused}");
    mesh.stop().await
}
