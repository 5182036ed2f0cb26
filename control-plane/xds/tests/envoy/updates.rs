//! The real Envoy takes what is served, says what it refuses, and is sent nothing again after a restart.

use std::time::{Duration, Instant};

use crate::content::Website;
use crate::proxy::{Envoy, upstream};
use crate::serving::Serving;

/// What Envoy waits for, at most, until it goes on without what it waits for: 15 s. Nothing here may take as long.
const STALL: Duration = Duration::from_secs(10);

/// An Envoy that serves the website.
async fn serve(website: Website) -> (Serving, Envoy) {
    let mut serving = Serving::start(website.resources()).await;
    let envoy = Envoy::start(serving.address);
    serving.told_until("acked RDS").await;
    (serving, envoy)
}

#[tokio::test]
async fn a_request_is_served_and_follows_updates() {
    let (old, new) = (Website::at(upstream("old").await), Website::at(upstream("new").await));
    let (mut serving, envoy) = serve(old).await;
    let web = envoy.listener("web").await;
    envoy.answers(web, "/", "old").await;
    serving.unread();
    serving.publish(new.resources());
    assert_eq!(serving.told_until("acked").await, ["sent EDS 1", "acked EDS +shop"]);
    envoy.answers(web, "/", "new").await;
    serving.publish(Website { prefix: "/books", ..new }.resources());
    assert_eq!(serving.told_until("acked").await, ["sent RDS 1", "acked RDS +routes"]);
    envoy.answers(web, "/", "404 Not Found").await;
    envoy.answers(web, "/books", "new").await;
}

#[tokio::test]
async fn a_changed_cluster_does_not_wait_for_its_unchanged_endpoints() {
    let website = Website::at(upstream("shop").await);
    let (mut serving, envoy) = serve(website).await;
    let web = envoy.listener("web").await;
    serving.unread();
    let began = Instant::now();
    serving.publish(Website { connect_timeout: 6, ..website }.resources());
    let events = serving.told_until("acked CDS").await;
    assert_eq!(events[..2], ["sent CDS 1", "sent EDS 1"]);
    assert!(began.elapsed() < STALL, "{:?}", began.elapsed());
    envoy.answers(web, "/", "shop").await;
}

#[tokio::test]
async fn a_refused_listener_is_known_by_its_name_and_holds_up_nothing() {
    let (old, new) = (Website::at(upstream("old").await), upstream("new").await);
    let (mut serving, envoy) = serve(old).await;
    let web = envoy.listener("web").await;
    serving.unread();
    serving.publish(Website { upstream: new, listeners: &["bad", "other", "web"], ..old }.resources());
    let events = serving.told_until("acked LDS +other").await;
    let refusals: Vec<&String> = events.iter().filter(|event| event.starts_with("nacked")).collect();
    assert!(refusals[0].starts_with("nacked LDS by envoy: bad other: ") && refusals[0].contains("address"), "{refusals:?}");
    assert!(refusals[1].starts_with("nacked LDS by envoy: bad: "), "found among the two: {refusals:?}");
    assert_eq!(refusals.len(), 2, "{refusals:?}");
    envoy.answers(web, "/", "new").await;
    envoy.answers(envoy.listener("other").await, "/", "new").await;
    serving.publish(Website { listeners: &["bad", "other", "web"], ..old }.resources());
    serving.told_until("acked EDS").await;
    assert!(!serving.unread().iter().any(|event| event.starts_with("sent LDS")), "the same is not refused again");
    envoy.answers(web, "/", "old").await;
}

#[tokio::test]
async fn a_regex_that_only_envoy_refuses_leaves_the_routes_as_they_were_and_the_rest_moves_on() {
    let (old, new) = (Website::at(upstream("old").await), upstream("new").await);
    let (mut serving, envoy) = serve(Website { regex: Some("/a{10}|/"), ..old }).await;
    let web = envoy.listener("web").await;
    envoy.answers(web, "/", "old").await;
    serving.unread();
    // More than RE2 repeats.
    let refused = Website { regex: Some("/a{1001}|/"), ..old };
    serving.publish(refused.resources());
    let events = serving.told_until("nacked").await;
    let nack = events.last().unwrap();
    assert!(nack.starts_with("nacked RDS by envoy: routes: ") && nack.contains("repetition"), "{events:?}");
    serving.publish(Website { upstream: new, ..refused }.resources());
    assert_eq!(serving.told_until("acked").await, ["sent EDS 1", "acked EDS +shop"], "and not what was refused");
    envoy.answers(web, "/", "new").await;
    serving.publish(Website { upstream: new, prefix: "/books", ..old }.resources());
    assert_eq!(serving.told_until("acked").await, ["sent RDS 1", "acked RDS +routes"]);
    envoy.answers(web, "/books", "new").await;
}

#[tokio::test]
async fn what_is_removed_goes_from_the_listener_down() {
    let (mut serving, envoy) = serve(Website::at(upstream("shop").await)).await;
    envoy.listener("web").await;
    serving.unread();
    serving.publish(Vec::new());
    // Envoy asks for no routes and endpoints any more once what referred to them is gone.
    let events = serving.told_until("acked CDS").await;
    let acked: Vec<&String> = events.iter().filter(|event| event.starts_with("acked") && !event.contains("RDS")).collect();
    assert_eq!(acked, ["acked LDS -web", "acked CDS -shop"]);
}

#[tokio::test]
async fn a_restarted_server_sends_nothing_that_envoy_holds() {
    let (old, new) = (Website::at(upstream("old").await), Website::at(upstream("new").await));
    let (serving, envoy) = serve(old).await;
    let web = envoy.listener("web").await;
    let address = serving.address;
    drop(serving);
    envoy.answers(web, "/", "old").await;
    let mut serving = Serving::at(address, old.resources()).await;
    let events = serving.told_until("acked RDS").await;
    assert_eq!(events[0], "connected envoy");
    serving.publish(new.resources());
    let events: Vec<String> = events.into_iter().chain(serving.told_until("sent EDS").await).collect();
    for held in ["acked CDS +shop", "acked EDS +shop", "acked LDS +web", "acked RDS +routes"] {
        assert!(events.iter().any(|event| event == held), "{held} in {events:?}");
    }
    let mut sent: Vec<&String> = events.iter().filter(|event| event.starts_with("sent")).collect();
    sent.sort();
    assert_eq!(sent, ["sent CDS 0", "sent EDS 1", "sent LDS 0"], "answers without content, and the update");
    envoy.answers(web, "/", "new").await;
}

#[tokio::test]
async fn a_cluster_that_changed_while_the_server_was_away_does_not_wait_for_its_unchanged_endpoints() {
    let website = Website::at(upstream("shop").await);
    let (serving, envoy) = serve(website).await;
    let web = envoy.listener("web").await;
    let address = serving.address;
    drop(serving);
    let changed = Website { connect_timeout: 6, ..website };
    let mut serving = Serving::at(address, changed.resources()).await;
    serving.told_until("sent CDS 1").await;
    let began = Instant::now();
    let events = serving.told_until("acked CDS").await;
    assert!(began.elapsed() < STALL, "{:?} {events:?}", began.elapsed());
    assert!(events.contains(&"sent EDS 1".to_owned()), "{events:?}");
    envoy.answers(web, "/", "shop").await;
}
