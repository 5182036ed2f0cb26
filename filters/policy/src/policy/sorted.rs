use super::documents::Documents;
use super::{Layers, Provider};
use crate::layer::{Entry, Layer};
use crate::wire::Action;

/// The rules of all policies by what they do, each list in the order of the documents.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    deny: Vec<Entry>,
    allow: Option<Vec<Entry>>,
    /// With those in dry-run; none while there is none.
    shadow: Option<(Vec<Entry>, Option<Vec<Entry>>)>,
    audit: Vec<Entry>,
    /// By provider, in the order of their names.
    custom: Vec<(String, Vec<Entry>)>,
}

impl Sorted {
    #[inline(never)]
    pub(super) fn new(documents: &Documents) -> Self {
        let has_dry_run = documents.iter().any(|(origin, _)| origin.dry_run);
        let mut sorted = Self { shadow: has_dry_run.then(Default::default), ..Self::default() };
        for (origin, entries) in documents.iter() {
            match origin.action {
                Action::Deny => {
                    if let Some((deny, _)) = &mut sorted.shadow {
                        deny.extend_from_slice(entries);
                    }
                    if !origin.dry_run {
                        sorted.deny.extend_from_slice(entries);
                    }
                }
                Action::Allow => {
                    if let Some((_, allow)) = &mut sorted.shadow {
                        allow.get_or_insert_default().extend_from_slice(entries);
                    }
                    if !origin.dry_run {
                        sorted.allow.get_or_insert_default().extend_from_slice(entries);
                    }
                }
                Action::Audit => sorted.audit.extend_from_slice(entries),
                Action::Custom => sorted.add_custom(origin.provider.as_deref().unwrap_or_default(), entries),
            }
        }
        sorted
    }

    #[inline(never)]
    fn add_custom(&mut self, provider: &str, entries: &[Entry]) {
        match self.custom.binary_search_by(|(name, _)| name.as_str().cmp(provider)) {
            Ok(place) => self.custom.iter_mut().skip(place).take(1).for_each(|(_, known)| known.extend_from_slice(entries)),
            Err(place) => self.custom.insert(place, (provider.to_owned(), entries.to_vec())),
        }
    }

    /// Those that are enforced, and the same with those in dry-run where there are any.
    #[inline(never)]
    pub(super) fn layers(self) -> (Layers, Option<Layers>, Layer, Vec<Provider>) {
        let layers = |deny, allow: Option<Vec<Entry>>| Layers { deny: Layer::new(deny), allow: allow.map(Layer::new) };
        let custom = self.custom.into_iter().map(|(name, entries)| Provider { name, layer: Layer::new(entries) });
        let shadow = self.shadow.map(|(deny, allow)| layers(deny, allow));
        (layers(self.deny, self.allow), shadow, Layer::new(self.audit), custom.collect())
    }
}
