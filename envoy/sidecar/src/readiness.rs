use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::admin::Admin;

const POLL: Duration = Duration::from_millis(25);

/// A listener that takes connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
}

/// A listener that Envoy refused and has no older version of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) why: String,
}

/// An address that must be listened on before the workload is whole, and what for.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) address: SocketAddr,
    pub(crate) what: String,
}

/// How far a proxy is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready(Vec<Listener>),
    /// What is still missing.
    Waiting(String),
    /// What will not change by waiting.
    Failed(String),
}

/// Looks until the proxy is ready, has failed, or `deadline` passes.
pub(crate) async fn wait(admin: &Admin, expected: &[Expected], deadline: Duration) -> Result<Vec<Listener>, String> {
    let mut missing = "Envoy's admin interface does not answer".to_owned();
    let waiting = async {
        loop {
            match look(admin, expected).await {
                Readiness::Ready(listeners) => return Ok(listeners),
                Readiness::Failed(why) => return Err(why),
                Readiness::Waiting(what) => missing = what,
            }
            tokio::time::sleep(POLL).await;
        }
    };
    match tokio::time::timeout(deadline, waiting).await {
        Ok(result) => result,
        Err(_) => Err(format!("the proxy is not ready after {deadline:?}: {missing}")),
    }
}

async fn look(admin: &Admin, expected: &[Expected]) -> Readiness {
    if !admin.is_live().await {
        return Readiness::Waiting("Envoy has not received its first configuration from the control plane".to_owned());
    }
    let answers =
        async { anyhow::Ok((admin.json("/listeners?format=json").await?, admin.json("/config_dump?resource=dynamic_listeners").await?)) };
    match answers.await {
        Ok((active, dump)) => judge(active, dump, expected),
        Err(error) => Readiness::Waiting(format!("{error:#}")),
    }
}

fn judge(active: Active, dump: Dump, expected: &[Expected]) -> Readiness {
    let refused: Vec<String> = dump.refused().map(|Refused { name, why }| format!("`{name}`: {why}")).collect();
    if !refused.is_empty() {
        return Readiness::Failed(format!("Envoy refuses what the control plane sent: {}", refused.join("; ")));
    }
    let listeners: Vec<Listener> = active.listeners().collect();
    let missing = expected.iter().find(|expected| !listeners.iter().any(|listener| listener.address == expected.address));
    match missing {
        Some(Expected { address, what }) => Readiness::Waiting(format!("the control plane sent no listener for {address}, {what}")),
        None if listeners.is_empty() => Readiness::Waiting("the control plane sent no listener".to_owned()),
        None => Readiness::Ready(listeners),
    }
}

/// `GET /listeners?format=json` (`envoy.admin.v3.Listeners`), as much of it as is needed.
#[derive(Debug, Default, Deserialize)]
struct Active {
    #[serde(default)]
    listener_statuses: Vec<ListenerStatus>,
}

#[derive(Debug, Deserialize)]
struct ListenerStatus {
    name: String,
    local_address: Address,
}

#[derive(Debug, Deserialize)]
struct Address {
    socket_address: Option<SocketAddress>,
}

#[derive(Debug, Deserialize)]
struct SocketAddress {
    address: String,
    port_value: u16,
}

/// `GET /config_dump?resource=dynamic_listeners` (`envoy.admin.v3.ListenersConfigDump.DynamicListener`).
#[derive(Debug, Default, Deserialize)]
struct Dump {
    #[serde(default)]
    configs: Vec<DynamicListener>,
}

#[derive(Debug, Deserialize)]
struct DynamicListener {
    #[serde(default)]
    name: String,
    active_state: Option<serde::de::IgnoredAny>,
    error_state: Option<UpdateFailure>,
}

#[derive(Debug, Deserialize)]
struct UpdateFailure {
    #[serde(default)]
    details: String,
}

impl Active {
    fn listeners(self) -> impl Iterator<Item = Listener> {
        self.listener_statuses.into_iter().filter_map(|ListenerStatus { name, local_address }| {
            let SocketAddress { address, port_value } = local_address.socket_address?;
            Some(Listener { name, address: SocketAddr::new(address.parse().ok()?, port_value) })
        })
    }
}

impl Dump {
    fn refused(self) -> impl Iterator<Item = Refused> {
        self.configs.into_iter().filter_map(|DynamicListener { name, active_state, error_state }| {
            let why = error_state?.details;
            active_state.is_none().then_some(Refused { name, why })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(active: Value, dump: Value, expected: &[&str]) -> Readiness {
        let expected: Vec<Expected> = expected
            .iter()
            .map(|address| Expected { address: address.parse().unwrap(), what: "the outbound address".to_owned() })
            .collect();
        judge(serde_json::from_value(active).unwrap(), serde_json::from_value(dump).unwrap(), &expected)
    }

    fn listening(listeners: &[(&str, &str, u16)]) -> Value {
        let statuses: Vec<Value> = listeners
            .iter()
            .map(|(name, address, port)| json!({"name": name, "local_address": {"socket_address": {"address": address, "port_value": port}}}))
            .collect();
        json!({"listener_statuses": statuses})
    }

    fn waiting(what: &str) -> Readiness {
        Readiness::Waiting(what.to_owned())
    }

    #[test]
    fn ready_is_every_expected_address_and_at_least_one_listener() {
        let both = listening(&[("outbound", "127.0.0.1", 15001), ("inbound|8080", "127.0.0.2", 8080)]);
        let listeners = vec![
            Listener { name: "outbound".to_owned(), address: "127.0.0.1:15001".parse().unwrap() },
            Listener { name: "inbound|8080".to_owned(), address: "127.0.0.2:8080".parse().unwrap() },
        ];
        assert_eq!(check(both.clone(), json!({}), &["127.0.0.1:15001"]), Readiness::Ready(listeners.clone()));
        assert_eq!(check(both, json!({}), &[]), Readiness::Ready(listeners));
        let inbound = listening(&[("inbound|8080", "127.0.0.2", 8080)]);
        let missing = waiting("the control plane sent no listener for 127.0.0.1:15001, the outbound address");
        assert_eq!(check(inbound, json!({}), &["127.0.0.1:15001"]), missing);
        assert_eq!(check(json!({}), json!({}), &[]), waiting("the control plane sent no listener"));
    }

    #[test]
    fn a_refused_listener_fails_unless_an_older_one_stays() {
        let outbound = listening(&[("outbound", "127.0.0.1", 15001)]);
        let error = json!({"details": "cannot bind '127.0.0.2:8080': Address already in use"});
        let refused = json!({"configs": [{"name": "inbound|8080", "error_state": error}]});
        let why = "Envoy refuses what the control plane sent: `inbound|8080`: cannot bind '127.0.0.2:8080': Address already in use";
        assert_eq!(check(outbound.clone(), refused, &["127.0.0.1:15001"]), Readiness::Failed(why.to_owned()));
        let kept = json!({"configs": [{"name": "inbound|8080", "active_state": {"version_info": "1"}, "error_state": error}]});
        assert!(matches!(check(outbound, kept, &["127.0.0.1:15001"]), Readiness::Ready(_)));
    }
}
