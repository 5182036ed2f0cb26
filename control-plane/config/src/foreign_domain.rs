//! Other trust domains whose workloads this mesh knows, each with the roots that vouch for it and for no other, or where they are served
//! (SPIFFE Federation section 5). Fetching them is somebody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meshwright_bundle::TrustBundle;
use meshwright_identity::{SpiffeId, TrustDomain};
use meshwright_policy::check_key_url;

use crate::reader::Reader;
use crate::record::{record, words};

words! {
    /// How the server of a bundle is authenticated (SPIFFE Federation section 5.2).
    EndpointProfile {
        /// By the system's roots and its name.
        HttpsWeb = "https_web",
        /// By its SPIFFE ID and the bundle in hand.
        HttpsSpiffe = "https_spiffe",
    }
}

record! {
    /// Another trust domain.
    #[derive(Eq)]
    ForeignDomain {
        plain name: TrustDomain,
        /// From the document; with an endpoint, what holds until the first answer.
        maybe bundle: TrustBundle,
        maybe endpoint: BundleEndpoint,
    }
}

record! {
    /// Where a trust domain's bundle is fetched.
    #[derive(Eq)]
    BundleEndpoint {
        text url,
        plain server: EndpointServer,
    }
}

/// Who may answer at an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointServer {
    /// Whom the system's roots vouch for by the URL's name.
    Web,
    /// Whom the bundle in hand vouches for by this identity.
    Spiffe(SpiffeId),
}

/// A bundle that was fetched, and by which declaration: for another one it says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedBundle {
    pub of: ForeignDomain,
    pub bundle: TrustBundle,
}

/// By trust domain.
pub type FetchedBundles = BTreeMap<TrustDomain, Arc<FetchedBundle>>;

impl ForeignDomain {
    /// The bundle in force: what was fetched by this very declaration, else what the document has. None: nobody of the domain is believed.
    #[must_use]
    pub fn bundle_in_force<'a>(&'a self, fetched: &'a FetchedBundles) -> Option<&'a TrustBundle> {
        let fetched = fetched.get(&self.name).filter(|fetched| fetched.of == *self);
        fetched.map(|fetched| &fetched.bundle).or(self.bundle.as_ref())
    }
}

/// The declarations of a mesh of the trust domain `own`.
pub(crate) fn read_all(list: &Reader<'_>, own: Option<&TrustDomain>) -> Vec<ForeignDomain> {
    let mut names = BTreeSet::new();
    let read = |item: &Reader<'_>| {
        let domain = read(item)?;
        if own == Some(&domain.name) {
            item.get("name").fail(format!("`{}` is this mesh's own; its roots are the control plane's", domain.name));
        }
        if !names.insert(domain.name.clone()) {
            item.get("name").fail(format!("`{}` is declared twice; one trust domain has one bundle", domain.name));
        }
        Some(domain)
    };
    list.items().iter().filter_map(read).collect()
}

fn read(item: &Reader<'_>) -> Option<ForeignDomain> {
    let name = item
        .get("name")
        .required_text()
        .and_then(|text| TrustDomain::parse(&text).map_err(|error| item.get("name").fail(format!("`{text}`: {error}"))).ok());
    let bundle = item.get("trustDomainBundle");
    let url = item.get("bundleEndpointURL");
    let profile = item.get("bundleEndpointProfile");
    if !bundle.is_present() && !url.is_present() {
        item.fail("`trustDomainBundle` or `bundleEndpointURL` is required: without a bundle nobody of the trust domain is believed");
    }
    if profile.is_present() && !url.is_present() {
        profile.fail("says how a bundle is fetched, and there is no `bundleEndpointURL`");
    }
    let name = name?;
    let roots = bundle
        .non_empty_text()
        .filter(|text| !text.is_empty())
        .and_then(|text| TrustBundle::parse(&name, &text).map_err(|error| bundle.fail(format!("is no bundle of `{name}`: {error}"))).ok());
    let endpoint = if url.is_present() { Some(read_endpoint(item, &name)?) } else { None };
    // A bundle that is wrong has been reported; it must not be read as none.
    (!bundle.is_present() || roots.is_some()).then_some(ForeignDomain { name, bundle: roots, endpoint })
}

fn read_endpoint(item: &Reader<'_>, name: &TrustDomain) -> Option<BundleEndpoint> {
    let url = item.get("bundleEndpointURL");
    let checked = url.non_empty_text().filter(|text| check_url(&url, text));
    let profile = item.get("bundleEndpointProfile").required()?;
    let id = profile.get("endpointSPIFFEID");
    let server = match profile.get("type").required()?.word(EndpointProfile::from_word)? {
        EndpointProfile::HttpsWeb => {
            if id.is_present() {
                id.fail("is of `https_spiffe`; with `https_web` the server is authenticated by its name");
            }
            EndpointServer::Web
        }
        EndpointProfile::HttpsSpiffe => {
            if !item.get("trustDomainBundle").is_present() {
                item.get("trustDomainBundle").fail("is required with `https_spiffe`: the first answer is authenticated by it");
            }
            EndpointServer::Spiffe(read_id(&id, name)?)
        }
    };
    Some(BundleEndpoint { url: checked?, server })
}

/// Section 5.2: both profiles are HTTPS.
fn check_url(field: &Reader<'_>, text: &str) -> bool {
    let checked = check_key_url(text).and_then(|()| {
        let is_https = text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        if is_https { Ok(()) } else { Err(format!("found `{text}`; bundles are fetched from `https://` URLs")) }
    });
    checked.map_err(|error| field.fail(error)).is_ok()
}

/// Only the domain itself serves its bundle: a chain of domains that vouch for each other would be a merge by another name.
fn read_id(field: &Reader<'_>, name: &TrustDomain) -> Option<SpiffeId> {
    let text = field.required_text()?;
    match SpiffeId::parse(&text) {
        Ok(id) if id.trust_domain() == name && !id.path().is_empty() => Some(id),
        Ok(_) => {
            field.fail(format!("found `{text}`, expected the identity of a server in `{name}` itself"));
            None
        }
        Err(error) => {
            field.fail(format!("`{text}`: {error}"));
            None
        }
    }
}
