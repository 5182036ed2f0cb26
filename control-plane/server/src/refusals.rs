//! Documents of which a proxy has refused what was made, though they are right by all that is known here: for that proxy, and no other, they
//! stay at their last good version until they change, and everything else moves on. A proxy that never had anything else is given nothing
//! older. Pure: who is to blame is found by translating, which the caller does.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshwright_config::{Document, DocumentKey, State};
use meshwright_sources::InForce;
use serde::Serialize;

use crate::receipts::footprint::ResourceKey;
use crate::receipts::label;

/// Documents that are looked at for one refusal: more than that do not change between two responses but by a flood of edits.
pub(crate) const SUSPECTS: usize = 16;

/// What `status` says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refused {
    /// `Kind namespace/name`.
    pub(crate) document: String,
    /// The version that the proxy does not take; null where it does not take that the document is gone.
    pub(crate) version: Option<String>,
    /// `TYPE name` of what was made of it.
    pub(crate) resource: String,
    /// The proxy's own words.
    pub(crate) message: String,
}

/// A document that may be why a proxy has refused a resource.
#[derive(Debug, Clone)]
pub(crate) struct Suspect {
    pub(crate) key: DocumentKey,
    /// Its version in force.
    pub(crate) version: Option<String>,
    /// None: it is new.
    pub(crate) last_good: Option<Arc<Document>>,
}

#[derive(Debug)]
struct Kept {
    suspect: Suspect,
    resource: ResourceKey,
    message: String,
    /// Tried once more with the others kept, and refused.
    guilty: bool,
}

/// Of one proxy.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    kept: Vec<Kept>,
    /// In force again to see whether it was to blame.
    tried: Option<Kept>,
    /// Changed since, and not taken yet: what was in force before that change is not what the proxy had.
    changed: Vec<Kept>,
}

impl Refusals {
    /// The proxy has refused `resource`; `suspects` are those that changed it since what the proxy holds. False when nothing follows.
    pub(crate) fn blame(&mut self, resource: &ResourceKey, message: &str, suspects: Vec<Suspect>) -> bool {
        if let Some(tried) = self.tried.take_if(|tried| tried.resource == *resource) {
            self.kept.push(Kept { guilty: true, message: message.to_owned(), ..tried });
            return true;
        }
        let new: Vec<Suspect> =
            suspects.into_iter().filter(|suspect| self.kept.iter().all(|kept| kept.suspect.key != suspect.key)).collect();
        let found = !new.is_empty();
        self.changed.retain(|changed| new.iter().all(|suspect| suspect.key != changed.suspect.key));
        self.kept.extend(new.into_iter().map(|suspect| Kept {
            suspect,
            resource: resource.clone(),
            message: message.to_owned(),
            guilty: false,
        }));
        found
    }

    /// The proxy has taken `resource`. Where several documents are kept because of it, one is tried: true when that changes something.
    pub(crate) fn acquit(&mut self, resource: &ResourceKey) -> bool {
        self.changed.retain(|changed| changed.resource != *resource);
        let was_tried = self.tried.take_if(|tried| tried.resource == *resource).is_some();
        let of_it = self.kept.iter().filter(|kept| kept.resource == *resource).count();
        let open = self.kept.iter().position(|kept| kept.resource == *resource && !kept.guilty);
        // One alone, with all others innocent, is guilty.
        if let Some(open) = open.filter(|_| self.tried.is_none() && of_it > 1) {
            self.tried = Some(self.kept.remove(open));
            return true;
        }
        was_tried
    }

    /// Forgets documents that have changed since.
    pub(crate) fn keep_unchanged(&mut self, in_force: &BTreeMap<DocumentKey, InForce>) {
        let unchanged = |kept: &Kept| in_force.get(&kept.suspect.key).map(InForce::version) == kept.suspect.version.as_deref();
        self.changed.extend(self.kept.extract_if(.., |kept| !unchanged(kept)));
        self.changed.extend(self.tried.take_if(|tried| !unchanged(tried)));
    }

    /// What the proxy had of a document that it refused and that has changed since.
    pub(crate) fn last_good(&self, key: &DocumentKey) -> Option<Option<Arc<Document>>> {
        self.changed.iter().find(|changed| changed.suspect.key == *key).map(|changed| changed.suspect.last_good.clone())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.tried.is_none() && self.changed.is_empty()
    }

    /// Whether the state for this proxy is another than that for the rest.
    pub(crate) fn keeps_any(&self) -> bool {
        !self.kept.is_empty()
    }

    /// The state for this proxy; none when the last good versions do not go together with the rest any more.
    pub(crate) fn state(&self, in_force: &BTreeMap<DocumentKey, InForce>) -> Option<State> {
        with(in_force, self.kept.iter().map(|kept| &kept.suspect))
    }

    pub(crate) fn status(&self) -> Vec<Refused> {
        let of = |kept: &Kept| Refused {
            document: kept.suspect.key.to_string(),
            version: kept.suspect.version.clone(),
            resource: label(kept.resource.0, &kept.resource.1),
            message: kept.message.clone(),
        };
        self.kept.iter().map(of).collect()
    }
}

/// The documents in force, with these at their last good version.
pub(crate) fn with<'a>(in_force: &BTreeMap<DocumentKey, InForce>, kept: impl Iterator<Item = &'a Suspect>) -> Option<State> {
    let mut documents: BTreeMap<&DocumentKey, &Document> = in_force.iter().map(|(key, found)| (key, &**found.document())).collect();
    for suspect in kept {
        match &suspect.last_good {
            Some(last_good) => drop(documents.insert(&suspect.key, last_good)),
            None => drop(documents.remove(&suspect.key)),
        }
    }
    let (state, errors) = State::assemble(documents.into_values().cloned().collect());
    errors.is_empty().then_some(state)
}

#[cfg(test)]
mod tests {
    use meshwright_config::Kind;
    use meshwright_xds::ResourceType;

    use super::*;

    fn suspects(names: &[&str]) -> Vec<Suspect> {
        let suspect = |name: &&str| Suspect {
            key: DocumentKey::new(Kind::VirtualService, "shop".to_owned(), (*name).to_owned()),
            version: Some("1".to_owned()),
            last_good: None,
        };
        names.iter().map(suspect).collect()
    }

    fn kept(refusals: &Refusals) -> Vec<String> {
        refusals.status().into_iter().map(|refused| refused.document).collect()
    }

    fn resource() -> ResourceKey {
        (ResourceType::Route, "outbound".to_owned())
    }

    #[test]
    fn one_alone_is_guilty() {
        let mut refusals = Refusals::default();
        assert!(refusals.blame(&resource(), "no", suspects(&["a"])));
        assert!(!refusals.acquit(&resource()), "nothing to find out");
        assert_eq!(refusals.status()[0].resource, "RDS outbound");
        assert_eq!(kept(&refusals), ["VirtualService shop/a"]);
    }

    #[test]
    fn of_several_each_is_tried_until_only_the_guilty_are_kept() {
        let mut refusals = Refusals::default();
        assert!(refusals.blame(&resource(), "no", suspects(&["good", "bad", "fine"])));
        assert!(refusals.acquit(&resource()), "`good` is tried");
        assert_eq!(kept(&refusals), ["VirtualService shop/bad", "VirtualService shop/fine"]);
        assert!(refusals.acquit(&resource()), "and taken: `bad` is tried");
        assert_eq!(kept(&refusals), ["VirtualService shop/fine"]);
        assert!(refusals.blame(&resource(), "no", suspects(&["bad"])), "and refused");
        assert!(refusals.acquit(&resource()), "`fine` is tried");
        assert_eq!(kept(&refusals), ["VirtualService shop/bad"]);
        assert!(refusals.acquit(&resource()), "and taken");
        assert!(!refusals.acquit(&resource()), "there is nothing more to find out");
        assert_eq!(kept(&refusals), ["VirtualService shop/bad"]);
    }

    #[test]
    fn what_has_changed_is_tried_anew_and_its_last_good_version_remembered_until_it_is_taken() {
        let mut refusals = Refusals::default();
        refusals.blame(&resource(), "no", suspects(&["a"]));
        refusals.keep_unchanged(&BTreeMap::new());
        assert!(kept(&refusals).is_empty(), "it is gone");
        assert!(refusals.last_good(&suspects(&["a"])[0].key).is_some());
        assert!(!refusals.acquit(&resource()));
        assert!(refusals.is_empty());
    }

    #[test]
    fn who_has_no_suspects_keeps_nothing() {
        let mut refusals = Refusals::default();
        assert!(!refusals.blame(&resource(), "no", Vec::new()));
        assert!(refusals.is_empty());
    }
}
