//! CUSTOM: external authorizers are asked about what the rules say, after tokens are verified, and about nothing else; what they cannot
//! answer is denied.

use meshwright_demo::bookshop::Network;
use meshwright_demo::client::{Answer, Client};
use meshwright_demo::keys::Issuer;
use meshwright_e2e::asking::{self, CASES, ISSUER, LEGACY, OPA, on_paths, policy};
use meshwright_e2e::authorizer::{Authorizer, Question};
use meshwright_e2e::pair::{self, HOST, Pair, TCP, UNDECLARED};
use meshwright_test_support as support;

/// Two providers, the services that they are, and the rules that ask them.
struct Asked {
    grpc: Authorizer,
    http: Authorizer,
    issuer: Issuer,
    network: Network,
}

impl Asked {
    async fn start(network: Network) -> anyhow::Result<Self> {
        let (grpc, http) = tokio::try_join!(Authorizer::grpc(network.at(9, 9191)), Authorizer::http(network.at(9, 8181)))?;
        Ok(Self { grpc, http, issuer: Issuer::new(ISSUER)?, network })
    }

    fn services(&self) -> anyhow::Result<String> {
        Ok(asking::services([self.grpc.address(), self.http.address()], &self.issuer.jwks()?))
    }

    fn documents(&self, policies: &str) -> anyhow::Result<String> {
        Ok(asking::documents(self.network, &self.services()?, policies))
    }

    /// Paths that were asked about, by gRPC and by HTTP.
    fn paths(&self) -> (Vec<String>, Vec<String>) {
        let paths = |asked: Vec<Question>| asked.into_iter().filter_map(|question| question.path).collect();
        (paths(self.grpc.asked()), paths(self.http.asked()))
    }
}

async fn get(client: &Client, path: &str) -> anyhow::Result<Answer> {
    client.get(&format!("http://{HOST}{path}")).await
}

fn seen(path: Option<&str>) -> Vec<String> {
    path.into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_asked_about_as_the_rules_say() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let asked = Asked::start(support::network()).await?;
    let mesh = Pair::start(environment, asked.network, &asked.documents(&asking::policies())?).await?;
    let client = mesh.calls()?;
    for case in CASES {
        assert_eq!(get(&client, case.path).await?.status(), Some(case.status), "{}", case.path);
        assert_eq!(asked.paths(), (seen(case.grpc), seen(case.http)), "{}", case.path);
    }
    answers_travel_as_they_should(&asked, &client).await?;

    let Asked { grpc, http, .. } = asked;
    grpc.stop();
    http.stop();
    // docs/external-authorizers.md: Envoy 1.37 takes an HTTP provider that cannot be reached for one that refuses.
    let on_error = if support::envoy_version()? == (1, 37) { 403 } else { 503 };
    for (path, status) in [("/free", 200), ("/opa/yes", 403), ("/legacy/yes", on_error), ("/both/yes", 403)] {
        assert_eq!(get(&client, path).await?.status(), Some(status), "{path}, and nobody to ask");
    }
    mesh.stop().await
}

/// Providers see what the token says and who calls; of their answers goes on what is listed.
async fn answers_travel_as_they_should(asked: &Asked, client: &Client) -> anyhow::Result<()> {
    let bearer = format!("Bearer {}", asked.issuer.token("ada", &[], 3600)?);
    let headers = [("authorization", bearer.as_str()), ("x-user", "root"), ("x-other", "1"), ("x-checked", "forged")];
    let answer = client.send("GET", &format!("http://{HOST}/both/token"), &headers).await?;
    assert_eq!(answer.status(), Some(200));
    let received = answer.json();
    let header =
        |name: &str| received.get("headers").and_then(|headers| headers.get(name)).and_then(|value| value.as_str()).map(str::to_owned);
    assert_eq!((header("x-checked").as_deref(), header("x-user").as_deref()), (Some("yes"), Some("ada")), "{received}");
    let (grpc, http) = (asked.grpc.asked(), asked.http.asked());
    let ([grpc], [http]) = (&grpc[..], &http[..]) else { anyhow::bail!("asked once each: {grpc:?} {http:?}") };
    assert_eq!(grpc.headers.get("x-user").map(String::as_str), Some("ada"), "the verified claim, not what the client said");
    assert_eq!(grpc.principal, "spiffe://test.local/ns/test/sa/client");
    assert_eq!(http.headers.get("x-user").map(String::as_str), Some("ada"));
    assert_eq!(http.headers.get("x-mesh").map(String::as_str), Some("test"));
    assert_eq!(http.headers.get("x-other"), None, "not listed");

    let bad = client.send("GET", &format!("http://{HOST}/both/bad"), &[("authorization", "Bearer bad")]).await?;
    assert_eq!((bad.status(), asked.paths()), (Some(401), (Vec::new(), Vec::new())), "a bad token is refused before anybody is asked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_never_lets_pass_what_is_to_be_asked_about() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let asked = Asked::start(support::network()).await?;
    let mesh = Pair::start(environment, asked.network, &pair::documents(asked.network, "", &asked.services()?)).await?;
    let client = mesh.calls()?;
    assert_eq!(get(&client, "/opa/before").await?.status(), Some(200));
    // Providers that the mesh did not have: connections of before are in chains without them, and are denied there.
    let custom = policy("grpc", OPA, &on_paths("/opa/*"));
    mesh.edit(&asked.documents(&custom)?).await?;
    for number in 0..30 {
        let path = format!("/opa/{number}");
        let status = get(&client, &path).await?.status();
        let (grpc, _) = asked.paths();
        match status {
            Some(200) => assert_eq!(grpc, [path], "it passed"),
            Some(403) => assert!(grpc.is_empty(), "it was denied and asked about"),
            other => anyhow::bail!("{path}: {other:?}"),
        }
    }
    // With the filters there, a policy is in force at once, on every connection.
    mesh.edit(&asked.documents("")?).await?;
    assert_eq!((get(&client, "/legacy/a").await?.status(), asked.paths()), (Some(200), (Vec::new(), Vec::new())));
    mesh.edit(&asked.documents(&policy("http", LEGACY, &on_paths("/legacy/*")))?).await?;
    let fresh = mesh.calls()?;
    for client in [&client, &fresh] {
        let refused = get(client, "/legacy/refuse").await?;
        assert!(matches!(refused.status(), Some(401 | 403)), "{}", refused.summary());
    }
    mesh.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_asked_about_before_a_byte_passes() -> anyhow::Result<()> {
    let (_folder, environment) = support::environment()?;
    let asked = Asked::start(support::network()).await?;
    let plain = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: test}\nspec: {mtls: {mode: PERMISSIVE}}\n---\n";
    let rule = |port: u16| format!("{{to: [{{operation: {{ports: ['{port}']}}}}]}}");
    let documents = |policies: &str| asked.documents(&format!("{plain}{policies}"));
    let custom = policy("grpc", OPA, &rule(TCP));
    let mesh = Pair::start(environment, asked.network, &documents(&custom)?).await?;
    let from_mesh = || pair::line(mesh.tcp(), "hello");
    let from_outside = || pair::line(mesh.server_port(TCP), "hello");
    let hello = Some("server: hello".to_owned());
    if support::envoy_version()? < (1, 37) {
        // It cannot ask: docs/tcp-policy.md. What nobody can be asked about is denied, and nothing else.
        assert_eq!((from_mesh().await?, from_outside().await?, asked.grpc.asked().len()), (None, None, 0));
        assert_eq!(pair::line(mesh.server_port(UNDECLARED), "hello").await?, hello);
        return mesh.stop().await;
    }

    assert_eq!(from_mesh().await?, hello);
    let [question] = &asked.grpc.asked()[..] else { anyhow::bail!("not asked once") };
    assert_eq!((question.path.as_deref(), question.principal.as_str()), (None, "spiffe://test.local/ns/test/sa/client"));
    assert_eq!((from_outside().await?, asked.grpc.asked().len()), (hello.clone(), 1));
    asked.grpc.refuse_connections(true);
    assert_eq!((from_mesh().await?, from_outside().await?, asked.grpc.asked().len()), (None, None, 2));
    asked.grpc.refuse_connections(false);
    assert_eq!((pair::line(mesh.server_port(UNDECLARED), "hello").await?, asked.grpc.asked().len()), (hello.clone(), 0));

    // Nobody can be asked over HTTP about a connection: where the documents could not tell, the proxy denies.
    mesh.edit(&documents(&policy("http", LEGACY, &rule(UNDECLARED)))?).await?;
    assert_eq!(pair::line(mesh.server_port(UNDECLARED), "hello").await?, None);
    assert_eq!((from_mesh().await?, asked.grpc.asked().len()), (hello, 0), "no rule asks any more");

    mesh.edit(&documents(&custom)?).await?;
    let Asked { grpc, .. } = asked;
    grpc.stop();
    assert_eq!((from_mesh().await?, from_outside().await?), (None, None), "nobody to ask");
    mesh.stop().await
}
