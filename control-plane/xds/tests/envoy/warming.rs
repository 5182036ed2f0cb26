//! What the real Envoy waits for, and what it does when something it waits for is missing: nothing here ever waits until Envoy gives up.

use std::time::{Duration, Instant};

use crate::content::{Endpoints, Website};
use crate::https;
use crate::listening::{Awaited, Listening, Sources};
use crate::proxy::{Envoy, get, upstream};
use crate::serving::Serving;

/// Envoy gives up after 15 s. Nothing here may take as long.
const STALL: Duration = Duration::from_secs(10);
const PRESENT: Awaited = Awaited { timeout: 0, exists: true };
const MISSING: Awaited = Awaited { timeout: 0, exists: false };

async fn serve(website: Website) -> (Serving, Envoy) {
    let mut serving = Serving::start(website.resources()).await;
    let envoy = Envoy::start(serving.address);
    serving.told_until("acked RDS").await;
    (serving, envoy)
}

/// The events until one begins with `end`, which must come before Envoy gives up waiting.
async fn without_stall(serving: &mut Serving, end: &str) -> Vec<String> {
    let began = Instant::now();
    let events = serving.told_until(end).await;
    assert!(began.elapsed() < STALL, "{:?}: {events:?}", began.elapsed());
    events
}

async fn listening(listening: Listening) -> Website {
    Website { listening, ..Website::at(upstream("shop").await) }
}

#[tokio::test]
async fn a_missing_assignment_holds_up_no_start() {
    let website = Website { endpoints: Endpoints::Missing, ..Website::at(upstream("shop").await) };
    let mut serving = Serving::start(website.resources()).await;
    let envoy = Envoy::start(serving.address);
    let events = without_stall(&mut serving, "acked RDS").await;
    assert!(events.contains(&"acked EDS -shop".to_owned()), "{events:?}");
    let web = envoy.listener("web").await;
    envoy.answers(web, "/", "503").await;
    serving.publish(Website { endpoints: Endpoints::Present, ..website }.resources());
    envoy.answers(web, "/", "shop").await;
}

#[tokio::test]
async fn endpoints_that_were_sent_just_before_their_cluster_changed_are_sent_again() {
    let (old, new) = (Website::at(upstream("old").await), upstream("new").await);
    let (mut serving, envoy) = serve(old).await;
    let web = envoy.listener("web").await;
    serving.unread();
    serving.publish(Website { upstream: new, ..old }.resources());
    assert_eq!(serving.told().await, "sent EDS 1");
    serving.publish(Website { upstream: new, connect_timeout: 6, ..old }.resources());
    let events = without_stall(&mut serving, "acked CDS").await;
    assert_eq!(events.iter().filter(|event| *event == "sent EDS 1").count(), 1, "{events:?}");
    envoy.answers(web, "/", "new").await;
}

#[tokio::test]
async fn endpoints_are_drained_by_an_empty_assignment_and_not_by_a_missing_one() {
    let website = Website::at(upstream("shop").await);
    let (mut serving, envoy) = serve(website).await;
    let web = envoy.listener("web").await;
    serving.unread();
    serving.publish(Website { endpoints: Endpoints::Missing, ..website }.resources());
    serving.told_until("acked EDS -shop").await;
    assert!(get(web, "/").await.unwrap().ends_with("shop"), "Envoy goes on with what it has");
    serving.publish(Website { endpoints: Endpoints::Empty, ..website }.resources());
    envoy.answers(web, "/", "503").await;
}

#[tokio::test]
async fn routes_that_do_not_exist_leave_404_once_envoy_has_given_up_on_them() {
    let listening = Listening { routes_timeout: Some(1), ..Listening::default() };
    let website = Website { has_routes: false, listening, ..Website::at(upstream("shop").await) };
    let mut serving = Serving::start(website.resources()).await;
    let envoy = Envoy::start(serving.address);
    serving.told_until("acked LDS").await;
    let web = envoy.listener("web").await;
    envoy.answers(web, "/", "404").await;
    serving.publish(Website { has_routes: true, ..website }.resources());
    envoy.answers(web, "/", "shop").await;
}

#[tokio::test]
async fn a_changed_listener_reuses_its_routes() {
    let website = listening(Listening::default()).await;
    let (mut serving, envoy) = serve(website).await;
    let web = envoy.listener("web").await;
    serving.unread();
    // Once with the same source of routes, once with another.
    for changed in [Listening { generation: 1, ..Listening::default() }, Listening { routes_timeout: Some(7), ..Listening::default() }] {
        serving.publish(Website { listening: changed, ..website }.resources());
        assert_eq!(without_stall(&mut serving, "acked LDS").await, ["sent LDS 1", "acked LDS +web"]);
        envoy.answers(web, "/", "shop").await;
    }
}

#[tokio::test]
async fn a_changed_listener_refuses_no_connection() {
    let website = listening(Listening::default()).await;
    let (mut serving, envoy) = serve(website).await;
    let web = envoy.listener("web").await;
    serving.unread();
    for generation in 1..6 {
        serving.publish(Website { listening: Listening { generation, ..website.listening }, ..website }.resources());
        let mut acked = false;
        while !acked {
            assert!(get(web, "/").await.is_some_and(|answer| answer.ends_with("shop")), "generation {generation}");
            acked = serving.unread().iter().any(|event| event.starts_with("acked LDS"));
        }
    }
}

#[tokio::test]
async fn a_listener_waits_for_its_certificate_and_serves_nobody_without() {
    let website = listening(Listening { certificate: Some(MISSING), ..Listening::default() }).await;
    let mut serving = Serving::start(website.resources()).await;
    let envoy = Envoy::start(serving.address);
    serving.told_until("acked LDS").await;
    assert!(!serving.unread().iter().any(|event| event.contains("SDS")), "silence: Envoy would take an answer for the certificate");
    assert_eq!(envoy.state("web").await, "warming");
    serving.publish(Website { listening: Listening { certificate: Some(PRESENT), ..website.listening }, ..website }.resources());
    let web = envoy.listener("web").await;
    // Its first listener, so that its workers begin only now.
    envoy.answers_by(async || https::get(web, "/").await, "shop").await;
}

#[tokio::test]
async fn a_changed_listener_gets_its_certificate_again_and_is_never_without() {
    let website = listening(Listening { certificate: Some(PRESENT), ..Listening::default() }).await;
    let (mut serving, envoy) = serve(website).await;
    let web = envoy.listener("web").await;
    assert!(https::get(web, "/").await.unwrap().ends_with("shop"));
    serving.unread();
    // Another listener with the same source of certificates, then with others: one that Envoy waits for as long as it takes, one not.
    let other = |generation, timeout| Listening { generation, certificate: Some(Awaited { timeout, ..PRESENT }), ..Listening::default() };
    for changed in [other(1, 0), other(1, 15), other(2, 0)] {
        serving.publish(Website { listening: changed, ..website }.resources());
        let (began, mut events) = (Instant::now(), Vec::new());
        while events.iter().filter(|event: &&String| event.starts_with("acked")).count() < 2 {
            assert!(https::get(web, "/").await.is_some_and(|answer| answer.ends_with("shop")), "{events:?}");
            assert!(began.elapsed() < STALL, "{events:?}");
            events.extend(serving.unread());
        }
        assert_eq!(events[..2], ["sent LDS 1", "sent SDS 1"]);
    }
    envoy.settled().await;
    assert!(https::get(web, "/").await.unwrap().ends_with("shop"));
}

#[tokio::test]
async fn a_changed_listener_gets_its_extension_again() {
    let website = listening(Listening { extension: Some(PRESENT), ..Listening::default() }).await;
    let (mut serving, envoy) = serve(website).await;
    let web = envoy.listener("web").await;
    envoy.answers(web, "/", "x-from: extension").await;
    serving.unread();
    let extension = Some(Awaited { timeout: 14, ..PRESENT });
    serving.publish(Website { listening: Listening { extension, ..Listening::default() }, ..website }.resources());
    let events = without_stall(&mut serving, "acked ECDS").await;
    assert_eq!(events[..2], ["sent LDS 1", "sent ECDS 1"]);
    envoy.settled().await;
    assert!(get(web, "/").await.unwrap().contains("x-from: extension"));
}

#[tokio::test]
async fn an_extension_that_does_not_exist_leaves_its_default_and_no_errors() {
    let gone = Some(Awaited { timeout: 1, ..MISSING });
    let website = listening(Listening { extension: gone, ..Listening::default() }).await;
    let (mut serving, envoy) = serve(website).await;
    let web = envoy.listener("web").await;
    envoy.answers(web, "/", "x-from: default").await;
    let there = Website { listening: Listening { extension: Some(Awaited { timeout: 1, ..PRESENT }), ..website.listening }, ..website };
    serving.publish(there.resources());
    envoy.answers(web, "/", "x-from: extension").await;
    serving.unread();
    serving.publish(website.resources());
    serving.told_until("acked ECDS -extension").await;
    envoy.answers(web, "/", "x-from: default").await;
}

#[tokio::test]
async fn an_extension_goes_only_after_the_listener_that_needs_it() {
    let website = listening(Listening { extension: Some(PRESENT), ..Listening::default() }).await;
    let (mut serving, envoy) = serve(website).await;
    let web = envoy.listener("web").await;
    serving.unread();
    serving.publish(Website { listening: Listening::default(), ..website }.resources());
    let mut events = Vec::new();
    while !events.iter().any(|event: &String| event.starts_with("acked LDS")) {
        assert!(get(web, "/").await.unwrap().ends_with("shop"), "{events:?}");
        events.extend(serving.unread());
    }
    assert_eq!(events[..2], ["sent LDS 1", "acked LDS +web"], "and no removal before");
    envoy.settled().await;
    assert!(!get(web, "/").await.unwrap().contains("x-from"));
}

#[tokio::test]
async fn a_restarted_server_finds_listener_certificate_and_extension_as_they_were() {
    let everything = Listening { certificate: Some(PRESENT), extension: Some(PRESENT), ..Listening::default() };
    let website = listening(everything).await;
    let (serving, envoy) = serve(website).await;
    let web = envoy.listener("web").await;
    let address = serving.address;
    drop(serving);
    let mut serving = Serving::at(address, website.resources()).await;
    let mut events = Vec::new();
    for kind in ["CDS", "EDS", "LDS", "SDS", "ECDS", "RDS"] {
        if !events.iter().any(|event: &String| event.starts_with(&format!("acked {kind}"))) {
            events.extend(serving.told_until(&format!("acked {kind}")).await);
        }
    }
    assert!(events.iter().filter(|event| event.starts_with("sent")).all(|event| event.ends_with(" 0")), "{events:?}");
    // The listener changes while its secrets have been told by the server before.
    serving.publish(Website { listening: Listening { generation: 1, ..everything }, ..website }.resources());
    without_stall(&mut serving, "acked ECDS").await;
    envoy.settled().await;
    assert!(https::get(web, "/").await.unwrap().contains("x-from: extension"));
}

#[tokio::test]
async fn each_type_from_its_own_service_is_the_same_website() {
    let website =
        Website { sources: Sources::Separate, ..listening(Listening { certificate: Some(PRESENT), ..Listening::default() }).await };
    let mut serving = Serving::start(website.resources()).await;
    let envoy = Envoy::with(serving.address, Sources::Separate);
    without_stall(&mut serving, "acked RDS").await;
    let web = envoy.listener("web").await;
    assert!(https::get(web, "/").await.unwrap().ends_with("shop"));
    serving.unread();
    // Envoy opens a stream for the endpoints of each cluster that warms, and asks anew.
    serving.publish(Website { connect_timeout: 6, ..website }.resources());
    without_stall(&mut serving, "acked EDS").await;
    envoy.settled().await;
    assert!(https::get(web, "/").await.unwrap().ends_with("shop"));
}
