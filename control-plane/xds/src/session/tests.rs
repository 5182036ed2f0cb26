//! The rules of the protocol, each by name. What a session says is compared as text: `CDS 1 +a -b` is a response with nonce 1.

mod model;
mod model_client;
mod ordering;
mod reconnects;
mod refusals;
mod requests;
mod responses;
mod wildcards;

use std::sync::Arc;

use super::{Action, DeltaRequest, Limits, Protocol, Session, SotwRequest};
use crate::{Resource, ResourceType, Snapshot};

fn resource(kind: ResourceType, name: &str, content: &str) -> Resource {
    referring(kind, name, content, &[])
}

fn referring(kind: ResourceType, name: &str, content: &str, dependencies: &[(ResourceType, &str)]) -> Resource {
    let dependencies = dependencies.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect();
    Resource::new(kind, name, content.to_owned().into(), dependencies)
}

fn version(content: &str) -> String {
    resource(ResourceType::Cluster, "any", content).version().to_owned()
}

fn snapshot(resources: impl IntoIterator<Item = Resource>) -> Arc<Snapshot> {
    Arc::new(Snapshot::build(resources).unwrap())
}

/// Of one type, each `name` or `name=content`.
fn of(kind: ResourceType, resources: &[&str]) -> Arc<Snapshot> {
    snapshot(resources.iter().map(|text| {
        let (name, content) = text.split_once('=').unwrap_or((text, "1"));
        resource(kind, name, content)
    }))
}

fn told(actions: &[Action]) -> Vec<String> {
    let tell = |action: &Action| match action {
        Action::Send(response) => {
            let added = response.resources().iter().map(|resource| format!(" +{}", resource.name()));
            let removed = response.removed().iter().map(|name| format!(" -{name}"));
            format!("{} {}{}", response.kind().short_name(), response.nonce(), added.chain(removed).collect::<String>())
        }
        Action::Acked { kind, versions, removed } => {
            let held = versions.iter().map(|(name, _)| format!(" +{name}"));
            format!("ack {}{}", kind.short_name(), held.chain(removed.iter().map(|name| format!(" -{name}"))).collect::<String>())
        }
        Action::Nacked { kind, names, message } => format!("nack {} {}: {message}", kind.short_name(), names.join(" ")),
    };
    actions.iter().map(tell).collect()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A delta stream.
struct Delta(Session);

impl Delta {
    fn holding(snapshot: &Arc<Snapshot>) -> Self {
        let mut session = Session::new(Protocol::Delta, Limits::default());
        assert_eq!(session.on_snapshot(snapshot), [], "nothing was asked for");
        Self(session)
    }

    fn snapshot(&mut self, snapshot: &Arc<Snapshot>) -> Vec<String> {
        told(&self.0.on_snapshot(snapshot))
    }

    fn request(&mut self, request: DeltaRequest) -> Vec<String> {
        told(&self.0.on_delta_request(request).unwrap())
    }

    fn subscribe(&mut self, kind: ResourceType, names: &[&str]) -> Vec<String> {
        self.request(DeltaRequest { type_url: kind.type_url().to_owned(), subscribe: owned(names), ..DeltaRequest::default() })
    }

    fn unsubscribe(&mut self, kind: ResourceType, names: &[&str]) -> Vec<String> {
        self.request(DeltaRequest { type_url: kind.type_url().to_owned(), unsubscribe: owned(names), ..DeltaRequest::default() })
    }

    fn reconnect(&mut self, kind: ResourceType, names: &[&str], held: &[(&str, &str)]) -> Vec<String> {
        let initial_versions = held.iter().map(|(name, content)| ((*name).to_owned(), version(content))).collect();
        let type_url = kind.type_url().to_owned();
        self.request(DeltaRequest { type_url, subscribe: owned(names), initial_versions, ..DeltaRequest::default() })
    }

    fn ack(&mut self, kind: ResourceType, nonce: &str) -> Vec<String> {
        self.request(DeltaRequest { type_url: kind.type_url().to_owned(), nonce: nonce.to_owned(), ..DeltaRequest::default() })
    }

    fn nack(&mut self, kind: ResourceType, nonce: &str) -> Vec<String> {
        let (type_url, nonce, error) = (kind.type_url().to_owned(), nonce.to_owned(), Some("no".to_owned()));
        self.request(DeltaRequest { type_url, nonce, error, ..DeltaRequest::default() })
    }
}

/// A state-of-the-world stream.
struct Sotw(Session);

impl Sotw {
    fn holding(snapshot: &Arc<Snapshot>) -> Self {
        let mut session = Session::new(Protocol::StateOfTheWorld, Limits::default());
        assert_eq!(session.on_snapshot(snapshot), [], "nothing was asked for");
        Self(session)
    }

    fn snapshot(&mut self, snapshot: &Arc<Snapshot>) -> Vec<String> {
        told(&self.0.on_snapshot(snapshot))
    }

    fn request(&mut self, kind: ResourceType, nonce: &str, names: &[&str]) -> Vec<String> {
        self.answer(kind, nonce, names, None)
    }

    fn nack(&mut self, kind: ResourceType, nonce: &str, names: &[&str]) -> Vec<String> {
        self.answer(kind, nonce, names, Some("no".to_owned()))
    }

    fn answer(&mut self, kind: ResourceType, nonce: &str, names: &[&str], error: Option<String>) -> Vec<String> {
        let (type_url, names, nonce) = (kind.type_url().to_owned(), owned(names), nonce.to_owned());
        told(&self.0.on_sotw_request(SotwRequest { type_url, names, nonce, error }).unwrap())
    }
}
