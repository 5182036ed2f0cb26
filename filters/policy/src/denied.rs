//! Peers that are refused before any policy is asked: by who they are, or by the one certificate that they show.

use meshwright_identity::SpiffeId;
use rustc_hash::FxHashSet;

use crate::decision::Reason;
use crate::invalid::Errors;
use crate::matcher::identity::LocalDomains;
use crate::request::Peer;
use crate::wire;

/// What stands for all service accounts of a namespace.
const ALL: &str = "*";
/// RFC 5280 section 4.1.2.2 has at most 20 bytes; authorities of others have made more.
const LONGEST_SERIAL: usize = 128;
/// In `spiffe://<trust domain>/ns/<namespace>/`, counted from 0: the one behind the namespace.
const SLASH_OF_NAMESPACE: usize = 4;

/// The compiled list. Where it is empty nothing of a peer is read for it; else a decision costs a lookup for each kind of entry there is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Denied {
    identities: FxHashSet<String>,
    /// `spiffe://<trust domain>/ns/<namespace>/`.
    namespaces: FxHashSet<String>,
    serials: FxHashSet<String>,
}

impl Denied {
    #[inline(never)]
    pub(crate) fn compile(list: &wire::DeniedPeers, domains: &LocalDomains, errors: &mut Errors) -> Self {
        let mut denied = Self::default();
        for (index, entry) in list.identities.iter().enumerate() {
            match parse(entry) {
                Ok((id, of_namespace)) => denied.add(&id, of_namespace, domains),
                Err(why) => errors.add(format!("denied_peers.identities[{index}]"), format!("found `{entry}`; {why}")),
            }
        }
        for (index, serial) in list.serials.iter().enumerate() {
            if is_serial(serial) {
                denied.serials.insert(serial.clone());
            } else {
                let why = "lower case hexadecimal digits without leading zeros are allowed";
                errors.add(format!("denied_peers.serials[{index}]"), format!("found `{serial}`; {why}"));
            }
        }
        denied
    }

    /// Under each name that the mesh has: an identity of an alias is the same one.
    #[inline(never)]
    fn add(&mut self, id: &SpiffeId, of_namespace: bool, domains: &LocalDomains) {
        let own = id.trust_domain().as_str();
        let names = if domains.contains(own) { domains.names().collect() } else { vec![own] };
        for name in names {
            let text = format!("spiffe://{name}{}", id.path());
            if of_namespace {
                self.namespaces.insert(text + "/");
            } else {
                self.identities.insert(text);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.namespaces.is_empty() && self.serials.is_empty()
    }

    pub(crate) fn has_serials(&self) -> bool {
        !self.serials.is_empty()
    }

    /// Why this peer is refused; none: it is not. A certificate whose serial nobody could read is refused where serials are denied.
    pub(crate) fn reason(&self, peer: &Peer) -> Option<Reason> {
        if self.is_empty() {
            return None;
        }
        let Peer::Authenticated { uri_sans, serial, .. } = peer else { return None };
        if self.has_one_of(uri_sans) {
            return Some(Reason::PeerIdentityDenied);
        }
        match serial {
            _ if self.serials.is_empty() => None,
            None => Some(Reason::PeerSerialUnknown),
            Some(serial) => self.serials.contains(serial.trim_start_matches('0')).then_some(Reason::PeerSerialDenied),
        }
    }

    /// Whether one of a certificate's names is denied, whatever its serial.
    pub(crate) fn has_one_of(&self, uri_sans: &[String]) -> bool {
        uri_sans.iter().any(|san| self.has_identity(san))
    }

    fn has_identity(&self, san: &str) -> bool {
        if self.identities.contains(san) {
            return true;
        }
        let of_namespace = || {
            let (end, _) = san.match_indices('/').nth(SLASH_OF_NAMESPACE)?;
            san.get(..=end)
        };
        !self.namespaces.is_empty() && of_namespace().is_some_and(|prefix| self.namespaces.contains(prefix))
    }
}

/// A SPIFFE ID below a trust domain, or that of a namespace and whether it stands for all in it.
#[inline(never)]
fn parse(entry: &str) -> Result<(SpiffeId, bool), String> {
    let (text, of_namespace) = match entry.strip_suffix(ALL).and_then(|text| text.strip_suffix('/')) {
        Some(text) => (text, true),
        None => (entry, false),
    };
    let id = SpiffeId::parse(text).map_err(|error| error.to_string())?;
    let is_namespace = id.path().strip_prefix("/ns/").is_some_and(|namespace| !namespace.contains('/'));
    match (of_namespace, id.path().is_empty()) {
        (true, _) if !is_namespace => Err("`*` is allowed in `spiffe://<trust domain>/ns/<namespace>/*` alone".to_owned()),
        (false, true) => Err("an identity of the trust domain is allowed, not the trust domain itself".to_owned()),
        (true | false, _) => Ok((id, of_namespace)),
    }
}

#[inline(never)]
fn is_serial(serial: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    !serial.starts_with('0') && (1..=LONGEST_SERIAL).contains(&serial.len()) && serial.bytes().all(digit)
}
