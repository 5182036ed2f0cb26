//! URLs that keys may be fetched from. Narrower than RFC 3986: what two parsers could read differently is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::key_server::refused_key_server;

/// Longer ones are a mistake or an attack.
const LONGEST: usize = 2048;
const ALLOWED: &str = "an absolute http or https URL is allowed";

/// Checks an absolute `http` or `https` URL. A name in it may still lead to an address that is refused later.
///
/// # Errors
/// What was found and what is allowed.
pub fn check_key_url(text: &str) -> Result<(), String> {
    let found = |what: &str| format!("found `{}`{what}; {ALLOWED}", text.chars().take(LONGEST).collect::<String>());
    if text.len() > LONGEST {
        return Err(format!("found {} bytes; {ALLOWED}, of at most {LONGEST}", text.len()));
    }
    let behind = |scheme: &str| text.get(..scheme.len()).filter(|head| head.eq_ignore_ascii_case(scheme)).and(text.get(scheme.len()..));
    let rest = behind("https://").or_else(|| behind("http://")).ok_or_else(|| found(""))?;
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'^')) {
        return Err(found(", which has characters that no URL has"));
    }
    if text.contains('#') {
        return Err(found(", which has a fragment"));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(found(", which has a user in it"));
    }
    let (host, port) = split(authority).ok_or_else(|| found(", which has no host"))?;
    // Digits alone: `+80` is a number to Rust.
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if port.is_some_and(|port| !is_port(port)) {
        return Err(found(", which has no port from 1 to 65535"));
    }
    match host {
        Host::Address(address) => {
            refused_key_server(address).map_or(Ok(()), |why| Err(format!("found `{text}`, {why}; keys are never fetched there")))
        }
        Host::Name(name) if is_name(name) => Ok(()),
        Host::Name(_) => Err(found(", which has no host")),
    }
}

enum Host<'a> {
    Address(IpAddr),
    Name(&'a str),
}

fn split(authority: &str) -> Option<(Host<'_>, Option<&str>)> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?) };
        return Some((Host::Address(address.parse::<Ipv6Addr>().ok()?.into()), port));
    }
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    Some((host.parse::<Ipv4Addr>().map_or(Host::Name(host), |address| Host::Address(address.into())), port))
}

/// A name of which nobody can make a number: browsers read `0xa9fea9fe` and `2852039166` as addresses (WHATWG URL section 3.5).
fn is_name(name: &str) -> bool {
    let label = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(label) && !last.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_keys() {
        for url in [
            "https://issuer.example",
            "http://issuer.example:8080/keys?set=1",
            "HTTPS://Issuer.example./keys",
            "https://127.0.0.1:9000/keys",
            "http://[::1]:80/keys",
            "https://keys_1.identity.svc.cluster.local/",
            "https://localhost",
        ] {
            assert_eq!(check_key_url(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn what_is_no_url_of_keys() {
        for (url, words) in [
            ("", "an absolute http or https URL"),
            ("issuer.example/keys", "an absolute http or https URL"),
            ("ftp://issuer.example", "an absolute http or https URL"),
            ("file:///etc/passwd", "an absolute http or https URL"),
            ("https://", "no host"),
            ("https:///keys", "no host"),
            ("https://:80", "no host"),
            ("https://a..b", "no host"),
            ("https://a b", "characters"),
            ("https://ä.example", "characters"),
            ("https://a.example\\@b.example", "characters"),
            ("https://user:word@a.example", "a user"),
            ("https://a.example/#x", "fragment"),
            ("https://a.example:0", "port"),
            ("https://a.example:+80", "port"),
            ("https://a.example:65536", "port"),
            ("https://a.example:", "port"),
            ("https://2852039166/", "no host"),
            ("https://0xa9fea9fe/", "no host"),
            ("https://169.254.43518/", "no host"),
            ("https://[::1", "no host"),
            ("https://[::1]80", "no host"),
            ("http://169.254.169.254/latest", "link-local"),
            ("http://[::ffff:169.254.169.254]/latest", "link-local"),
            ("http://[fd00:ec2::254]/latest", "metadata"),
        ] {
            let error = check_key_url(url).unwrap_err();
            assert!(error.contains(words), "{url}: {error}");
        }
        assert!(check_key_url(&format!("https://a.example/{}", "a".repeat(2048))).is_err());
    }
}
