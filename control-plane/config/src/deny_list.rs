//! IdentityDenyList: peers that the whole mesh refuses, by who they are or by the one certificate that they show.

use std::fmt;

use meshwright_identity::SpiffeId;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::key::DocumentKey;
use crate::reader::Reader;
use crate::record::record;

/// RFC 5280 section 4.1.2.2 has at most 20 bytes; authorities of others have made more.
const LONGEST_SERIAL: usize = 128;

/// Whom an entry means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    Identity(SpiffeId),
    /// `spiffe://<trust domain>/ns/<namespace>`: every identity below it.
    Namespace(SpiffeId),
    /// A certificate's: lower case hexadecimal digits without leading zeros.
    Serial(String),
}

record! {
    /// One entry of a list.
    #[derive(Eq)]
    DenyEntry {
        plain denied: Denied,
        /// For people.
        maybe_text reason,
        /// From when on it is as if the entry were not there.
        maybe_copy until: OffsetDateTime,
    }
}

record! {
    /// An IdentityDenyList. All lists hold in all of the mesh.
    #[derive(Eq)]
    IdentityDenyList {
        plain key: DocumentKey,
        list entries: DenyEntry,
    }
}

impl IdentityDenyList {
    pub(crate) fn read(spec: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        // Every entry is read, so that every error is told; with one that is wrong the document is rejected.
        let entries = spec.get("entries").required_items().iter().filter_map(DenyEntry::read).collect();
        Some(Self { key, entries })
    }
}

impl DenyEntry {
    /// When it ends, as a document has it.
    #[must_use]
    pub fn until_text(&self) -> Option<String> {
        self.until.and_then(|until| until.format(&Rfc3339).ok())
    }

    /// Whether it holds at `now`, in seconds since the epoch.
    #[must_use]
    pub fn holds_at(&self, now: u64) -> bool {
        self.ends().is_none_or(|end| end > now)
    }

    /// In seconds since the epoch.
    pub(crate) fn ends(&self) -> Option<u64> {
        self.until.map(|until| u64::try_from(until.unix_timestamp()).unwrap_or_default())
    }

    fn read(field: &Reader<'_>) -> Option<Self> {
        let (identity, serial) = (field.get("spiffeId"), field.get("serial"));
        let denied = match (identity.is_present(), serial.is_present()) {
            (true, false) => read_identity(&identity),
            (false, true) => read_serial(&serial),
            (true, true) | (false, false) => {
                field.fail("one of `spiffeId` and `serial` is required");
                None
            }
        };
        let reason = field.get("reason").non_empty_text();
        let until = field.get("until");
        let until = until.text().and_then(|text| read_time(&until, &text));
        // A time that cannot be read has been reported, and rejects the document.
        Some(Self { denied: denied?, reason, until })
    }
}

fn read_identity(field: &Reader<'_>) -> Option<Denied> {
    let text = field.text()?;
    let namespace = text.strip_suffix("/*");
    let id = SpiffeId::parse(namespace.unwrap_or(&text)).map_err(|error| field.fail(format!("found `{text}`: {error}"))).ok()?;
    let is_namespace = id.path().strip_prefix("/ns/").is_some_and(|name| !name.contains('/'));
    match (namespace, id.path().is_empty()) {
        (Some(_), _) if is_namespace => Some(Denied::Namespace(id)),
        (None, false) => Some(Denied::Identity(id)),
        (Some(_) | None, _) => {
            let allowed = "`spiffe://<trust domain>/<path>` and `spiffe://<trust domain>/ns/<namespace>/*` are allowed";
            field.fail(format!("found `{text}`; {allowed}"));
            None
        }
    }
}

/// As `openssl x509 -serial` prints it, or with colons as its `-text` does, in either case.
fn read_serial(field: &Reader<'_>) -> Option<Denied> {
    let text = field.text()?;
    let digits: String = text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
    let number = digits.trim_start_matches('0');
    if number.is_empty() || number.len() > LONGEST_SERIAL || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let shown = crate::yaml::shorten(&text);
        field.fail(format!("found `{shown}`, expected a serial number in hexadecimal digits, as `openssl x509 -serial` prints it"));
        return None;
    }
    Some(Denied::Serial(number.to_owned()))
}

fn read_time(field: &Reader<'_>, text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| field.fail(format!("found `{text}`, expected a time as in `2026-01-31T12:00:00Z`")))
        .ok()
}

impl fmt::Display for Denied {
    /// As a document has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(id) => write!(f, "{id}"),
            Self::Namespace(id) => write!(f, "{id}/*"),
            Self::Serial(serial) => write!(f, "serial {serial}"),
        }
    }
}
