//! A client that asks for anything in any order, which Envoy would not, and checks what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meshwright_xds::{Action, DeltaRequest, Limits, Protocol, ResourceType, Response, Session, Snapshot, SotwRequest};

/// One type, as the client has it.
#[derive(Debug, Default)]
struct View {
    /// Something was asked for on this stream.
    requested: bool,
    /// Something was named on this stream, so that naming nothing is not everything.
    named: bool,
    star: bool,
    names: BTreeSet<String>,
    held: BTreeMap<String, String>,
    pending: Option<Response>,
    nonce: String,
    /// May come again unchanged.
    again: BTreeSet<String>,
    /// Refused on its own: must not come again.
    refused: BTreeMap<String, String>,
}

impl View {
    fn wants(&self, kind: ResourceType, name: &str) -> bool {
        self.is_wildcard(kind) || self.names.contains(name)
    }

    fn is_wildcard(&self, kind: ResourceType) -> bool {
        self.star || (self.requested && !self.named && is_full(kind))
    }

    /// Drops what it does not want any more; asked for anew, that is tried anew.
    fn narrow(&mut self, kind: ResourceType) {
        let names = self.held.keys().chain(self.refused.keys());
        let wanted: BTreeSet<String> = names.filter(|name| self.wants(kind, name)).cloned().collect();
        self.held.retain(|name, _| wanted.contains(name));
        self.refused.retain(|name, _| wanted.contains(name));
    }
}

/// Clusters and listeners: everything is asked for by naming nothing, and state of the world is always all of them.
fn is_full(kind: ResourceType) -> bool {
    matches!(kind, ResourceType::Cluster | ResourceType::Listener)
}

pub(crate) struct Caller {
    protocol: Protocol,
    session: Session,
    snapshot: Arc<Snapshot>,
    views: BTreeMap<ResourceType, View>,
}

impl Caller {
    pub(crate) fn new(protocol: Protocol) -> Self {
        let views = ResourceType::ALL.into_iter().map(|kind| (kind, View::default())).collect();
        Self { protocol, session: Session::new(protocol, Limits::default()), snapshot: Arc::default(), views }
    }

    fn view(&mut self, kind: ResourceType) -> &mut View {
        self.views.get_mut(&kind).unwrap()
    }

    pub(crate) fn publish(&mut self, snapshot: &Arc<Snapshot>) {
        for (kind, view) in &mut self.views {
            view.refused.retain(|name, version| snapshot.get(*kind, name).is_some_and(|resource| resource.version() == version));
        }
        self.snapshot = Arc::clone(snapshot);
        let actions = self.session.on_snapshot(snapshot);
        self.hear(actions);
    }

    /// Adds and drops names, `*` among them.
    pub(crate) fn ask(&mut self, kind: ResourceType, subscribe: Vec<String>, unsubscribe: Vec<String>) {
        let protocol = self.protocol;
        let view = self.view(kind);
        view.requested = true;
        for name in &subscribe {
            view.named = true;
            view.star |= name == "*";
            if name != "*" {
                view.names.insert(name.clone());
                view.again.insert(name.clone());
            }
        }
        for name in &unsubscribe {
            view.named |= name == "*";
            view.star &= name != "*";
            view.names.remove(name);
            view.again.insert(name.clone());
        }
        // Naming nothing after something would mean something else to who has heard of neither.
        view.star |= protocol == Protocol::StateOfTheWorld && is_full(kind) && view.named && view.names.is_empty();
        for name in subscribe.iter().chain(&unsubscribe) {
            view.refused.remove(name);
        }
        // What is on its way may be dropped by this and come again.
        view.again.extend(view.pending.iter().flat_map(Response::resources).map(|resource| resource.name().to_owned()));
        view.narrow(kind);
        self.say(kind, subscribe, unsubscribe, String::new(), None);
    }

    /// Answers what has come, if something has.
    pub(crate) fn answer(&mut self, kind: ResourceType, refuse: bool, whole: bool) -> bool {
        let full = self.protocol == Protocol::StateOfTheWorld && is_full(kind);
        let current = Arc::clone(&self.snapshot);
        let view = self.view(kind);
        let Some(response) = view.pending.take() else { return false };
        view.nonce = response.nonce().to_owned();
        let takes_nothing = refuse && whole && !response.resources().is_empty();
        if !takes_nothing {
            if full {
                view.held.clear();
            }
            for resource in response.resources() {
                view.held.insert(resource.name().to_owned(), resource.version().to_owned());
            }
            view.held.retain(|name, _| !response.removed().contains(name));
            view.narrow(kind);
        }
        if refuse {
            let names: Vec<String> = response.resources().iter().map(|resource| resource.name().to_owned()).collect();
            // What went meanwhile may be tried again when it comes back.
            if let ([resource], false) = (response.resources(), full)
                && view.wants(kind, resource.name())
                && current.get(kind, resource.name()).is_some_and(|now| now.version() == resource.version())
            {
                view.refused.insert(resource.name().to_owned(), resource.version().to_owned());
            }
            view.again.extend(names);
            view.again.extend(response.removed().iter().cloned());
        }
        self.say(kind, Vec::new(), Vec::new(), response.nonce().to_owned(), refuse.then(|| "no".to_owned()));
        true
    }

    /// Refuses something that nobody sent, which must change nothing.
    pub(crate) fn answer_nothing(&mut self, kind: ResourceType) {
        let (type_url, nonce, error) = (kind.type_url().to_owned(), "stale".to_owned(), Some("no".to_owned()));
        if !self.view(kind).requested {
            return;
        }
        let names = self.names(kind);
        let actions = match self.protocol {
            Protocol::Delta => self.session.on_delta_request(DeltaRequest { type_url, nonce, error, ..DeltaRequest::default() }),
            Protocol::StateOfTheWorld => self.session.on_sotw_request(SotwRequest { type_url, names, nonce, error }),
        };
        assert_eq!(actions, Ok(Vec::new()));
    }

    /// A new stream. Only a delta client can say what it holds; the other begins anew.
    pub(crate) fn reconnect(&mut self, snapshot: &Arc<Snapshot>) {
        self.session = Session::new(self.protocol, Limits::default());
        assert_eq!(self.session.on_snapshot(snapshot), [], "nothing was asked for");
        let protocol = self.protocol;
        for kind in ResourceType::ALL {
            let view = self.view(kind);
            let asks_nothing = !view.is_wildcard(kind) && view.names.is_empty();
            (view.pending, view.nonce) = (None, String::new());
            view.again.clear();
            view.refused.clear();
            view.named = view.star || !view.names.is_empty();
            view.requested = view.requested && !asks_nothing;
            if asks_nothing || protocol == Protocol::StateOfTheWorld {
                view.held.clear();
            }
        }
        for kind in ResourceType::ALL {
            if self.view(kind).requested {
                let names = self.names(kind);
                self.say(kind, names, Vec::new(), String::new(), None);
            }
        }
    }

    fn names(&mut self, kind: ResourceType) -> Vec<String> {
        let view = self.view(kind);
        view.names.iter().cloned().chain(view.star.then(|| "*".to_owned())).collect()
    }

    fn say(&mut self, kind: ResourceType, subscribe: Vec<String>, unsubscribe: Vec<String>, nonce: String, error: Option<String>) {
        let (type_url, names) = (kind.type_url().to_owned(), self.names(kind));
        let view = self.view(kind);
        let (held, last_nonce) = (view.held.clone(), view.nonce.clone());
        let actions = match self.protocol {
            Protocol::Delta => {
                // Read on the first request of a type on a stream only.
                let initial_versions = held.into_iter().collect();
                self.session.on_delta_request(DeltaRequest { type_url, subscribe, unsubscribe, initial_versions, nonce, error })
            }
            Protocol::StateOfTheWorld => self.session.on_sotw_request(SotwRequest { type_url, names, nonce: last_nonce, error }),
        };
        self.hear(actions.unwrap());
    }

    fn hear(&mut self, actions: Vec<Action>) {
        for action in actions {
            let Action::Send(response) = action else { continue };
            let (protocol, kind) = (self.protocol, response.kind());
            let full = protocol == Protocol::StateOfTheWorld && is_full(kind);
            let view = self.view(kind);
            assert!(view.pending.is_none(), "two {} responses are on their way", kind.short_name());
            let mut names = BTreeSet::new();
            for name in response.resources().iter().map(|resource| resource.name()).chain(response.removed().iter().map(String::as_str)) {
                assert!(names.insert(name.to_owned()), "{} {name} is there twice", kind.short_name());
            }
            for resource in response.resources() {
                let (name, version) = (resource.name(), resource.version());
                let wanted = protocol == Protocol::StateOfTheWorld || view.wants(kind, name);
                assert!(wanted, "{} {name} was not asked for", kind.short_name());
                let unchanged = view.held.get(name).is_some_and(|held| held == version);
                assert!(full || !unchanged || view.again.contains(name), "{} {name} comes again unchanged", kind.short_name());
                assert!(
                    full || view.refused.get(name).is_none_or(|refused| refused != version),
                    "{} {name} was refused",
                    kind.short_name()
                );
            }
            for name in names {
                view.again.remove(&name);
            }
            let dependencies: Vec<_> = response.resources().iter().flat_map(|resource| resource.dependencies().to_vec()).collect();
            view.pending = Some(response);
            // What changed waits for these.
            for (kind, name) in dependencies {
                self.view(kind).again.insert(name);
            }
        }
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.views.values().all(|view| view.pending.is_none())
    }

    /// Names and versions, in order.
    pub(crate) fn held(&self, kind: ResourceType) -> impl Iterator<Item = (&str, &str)> {
        self.views[&kind].held.iter().map(|(name, version)| (name.as_str(), version.as_str()))
    }

    /// It holds what it asked for and the snapshot has, and, where it can be told so, nothing else.
    pub(crate) fn check(&self, snapshot: &Snapshot) {
        for (kind, view) in &self.views {
            let expected: BTreeMap<&str, &str> = snapshot
                .resources(*kind)
                .filter(|resource| view.wants(*kind, resource.name()))
                .map(|resource| (resource.name(), resource.version()))
                .collect();
            let hears_of_removals = is_full(*kind) || (self.protocol == Protocol::Delta && *kind != ResourceType::Secret);
            let held: BTreeMap<&str, &str> =
                self.held(*kind).filter(|(name, _)| hears_of_removals || snapshot.get(*kind, name).is_some()).collect();
            assert_eq!(held, expected, "{} {view:?}", kind.short_name());
        }
    }
}
