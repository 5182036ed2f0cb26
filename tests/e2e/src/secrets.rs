//! Where secrets are not: every form in which the bytes of one could be written, looked for in what was written.

use std::fmt::Write as _;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// The secret number of an EC key in PKCS #8 (RFC 5915 section 3: version 1, then an octet string).
///
/// # Errors
/// When it is no such key.
pub fn ec_secret(pkcs8: &[u8]) -> anyhow::Result<Vec<u8>> {
    let before = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = pkcs8.windows(before.len()).position(|window| window == before).context("an EC key on P-256")?;
    let start = at.saturating_add(before.len());
    Ok(pkcs8.get(start..start.saturating_add(32)).context("the key's number")?.to_vec())
}

/// The forms of one secret.
#[derive(Clone)]
pub struct Secret {
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Secret {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hex = String::new();
        for byte in bytes {
            let _written = write!(hex, "{byte:02x}");
        }
        let listed: Vec<String> = bytes.iter().map(u8::to_string).collect();
        let mut forms = vec![
            ("raw", bytes.to_vec()),
            ("list", listed.join(", ").into_bytes()),
            ("list", listed.join(",").into_bytes()),
            ("upper case hexadecimal", hex.to_uppercase().into_bytes()),
            ("hexadecimal", hex.into_bytes()),
        ];
        // Wherever it begins in a group of three bytes: the digits that are its own alone.
        for skipped in 0..3 {
            let whole: Vec<u8> = bytes.iter().skip(skipped).copied().collect();
            let length = whole.len().saturating_sub(whole.len() % 3);
            let groups = whole.get(..length).unwrap_or_default();
            forms.extend([("base64", STANDARD.encode(groups).into_bytes()), ("base64 for URLs", URL_SAFE.encode(groups).into_bytes())]);
        }
        Self { forms }
    }

    /// In which form `text` has it.
    #[must_use]
    pub fn in_text(&self, text: &[u8]) -> Option<&'static str> {
        // A PEM breaks lines within the digits.
        let joined: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
        let found = |(_, form): &&(&str, Vec<u8>)| contains(text, form) || contains(&joined, form);
        self.forms.iter().find(found).map(|(name, _)| *name)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return false };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with(part) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form_and_at_every_place() {
        let bytes: Vec<u8> = (100..132).collect();
        let secret = Secret::of(&bytes);
        for (before, place) in [(&b""[..], 0), (b"x", 1), (b"xy", 2), (b"xyz", 3)] {
            let whole = [before, &bytes[..], b"end"].concat();
            let digits = STANDARD.encode(&whole);
            let (first, second) = digits.split_at(20);
            let broken = format!("{first}\n{second}");
            assert_eq!(secret.in_text(digits.as_bytes()), Some("base64"), "{place}");
            assert_eq!(secret.in_text(broken.as_bytes()), Some("base64"), "{place}");
            assert_eq!(secret.in_text(&whole), Some("raw"), "{place}");
        }
        assert_eq!(secret.in_text(format!("{bytes:?}").as_bytes()), Some("list"));
        assert_eq!(secret.in_text(format!("{bytes:02x?}").replace(", ", "").as_bytes()), Some("hexadecimal"));
        assert_eq!(secret.in_text(b"nothing of it"), None);
    }
}
