//! What Envoy's HTTP connection manager makes of a path before any filter: `path_normalization` of the mesh, byte for byte. Measured on
//! Envoy 1.40 and compared with it by `tests/envoy`; where Envoy differs from RFC 3986, so does this.

use meshwright_config::PathNormalization;

/// The target, which is printable ASCII, as policy and app get it, with its query. `None`: Envoy answers 400.
pub(super) fn normalized(target: &str, mode: PathNormalization) -> Option<String> {
    let (path, query) = match target.find('?').and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path, query),
        None => (target, ""),
    };
    let path = match mode {
        PathNormalization::None => return Some(target.to_owned()),
        PathNormalization::Base => canonical(path.as_bytes())?,
        PathNormalization::MergeSlashes => merged(&canonical(path.as_bytes())?),
        PathNormalization::DecodeAndMergeSlashes => merged(&canonical(&with_decoded_slashes(path.as_bytes()))?),
    };
    let mut normalized = String::from_utf8(path).ok()?;
    normalized.push_str(query);
    Some(normalized)
}

/// `%2F` and `%5C`, in one pass.
fn with_decoded_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        match escaped(rest, 0) {
            Some(slash @ (b'/' | b'\\')) => {
                out.push(slash);
                rest = rest.get(3..).unwrap_or_default();
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

/// Of several slashes one stays; a path of nothing but slashes keeps two, as in Envoy.
fn merged(path: &[u8]) -> Vec<u8> {
    if !path.windows(2).any(|pair| pair == b"//") {
        return path.to_vec();
    }
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()).collect();
    let slash = |there: bool| if there { b"/".as_slice() } else { b"" };
    [slash(path.first() == Some(&b'/')), &segments.join(b"/".as_slice()), slash(path.last() == Some(&b'/'))].concat()
}

/// Dot segments, `\` as `/`, unreserved characters decoded, unsafe ones encoded. `None` for `%00`.
fn canonical(path: &[u8]) -> Option<Vec<u8>> {
    let path = without_dot_parameters(path);
    let mut out = Vec::with_capacity(path.len());
    // Where in `out` the last `%` is that starts no escape.
    let mut lone_percent = None;
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        if let Some(dot) = dot_length(&path, at) {
            at = at.saturating_add(dot);
            match (out.last() == Some(&b'/')).then(|| directory(&path, at)).flatten() {
                None => out.push(b'.'),
                Some(Directory::Current(consumed)) => at = at.saturating_add(consumed),
                Some(Directory::Up(consumed)) => {
                    go_up(&mut out);
                    lone_percent = lone_percent.filter(|percent| *percent < out.len());
                    at = at.saturating_add(consumed);
                }
            }
            continue;
        }
        match (byte, escaped(&path, at)) {
            (_, Some(0)) => return None,
            (_, Some(value)) => {
                at = at.saturating_add(3);
                if is_unreserved(value) {
                    out.push(value);
                    if let Some(percent) = lone_percent {
                        keep_escape_from_forming(&path, at, percent, &mut out);
                    }
                } else {
                    out.extend(path.get(at.saturating_sub(3)..at).unwrap_or_default());
                }
                continue;
            }
            (b'%', None) => {
                lone_percent = Some(out.len());
                out.push(b'%');
            }
            (b'\\', None) => out.push(b'/'),
            (b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}', None) => out.extend(format!("%{byte:02X}").bytes()),
            (_, None) => out.push(byte),
        }
        at = at.saturating_add(1);
    }
    Some(out)
}

/// A segment `..;x` is `..` to many apps; Envoy takes it for that too. Not so one whose dots are encoded.
fn without_dot_parameters(path: &[u8]) -> Vec<u8> {
    let plain = |segment: &[u8]| match segment {
        [b'.', b'.', b';', ..] => b"..".to_vec(),
        [b'.', b';', ..] => b".".to_vec(),
        _ => segment.to_vec(),
    };
    path.split(|byte| *byte == b'/').map(plain).collect::<Vec<_>>().join(b"/".as_slice())
}

/// What a dot behind a slash means, and how many bytes behind it belong to it.
enum Directory {
    Current(usize),
    Up(usize),
}

/// `None`: the dot is part of a name.
fn directory(path: &[u8], behind: usize) -> Option<Directory> {
    let ends = |at: usize| match path.get(at) {
        None => Some(0_usize),
        Some(b'/' | b'\\') => Some(1),
        Some(_) => None,
    };
    if let Some(consumed) = ends(behind) {
        return Some(Directory::Current(consumed));
    }
    let second = dot_length(path, behind)?;
    ends(behind.saturating_add(second)).map(|slash| Directory::Up(second.saturating_add(slash)))
}

/// Of `/a/b/` stays `/a/`; of `/` itself.
fn go_up(out: &mut Vec<u8>) {
    let above = out.len().saturating_sub(1);
    let slash = out.get(..above).and_then(|above| above.iter().rposition(|byte| *byte == b'/'));
    out.truncate(slash.map_or(1, |slash| slash.saturating_add(1)));
}

/// A lone `%` and what was just decoded behind it may look like an escape now, which somebody would decode again: that `%` becomes `%25`.
fn keep_escape_from_forming(path: &[u8], next: usize, percent: usize, out: &mut Vec<u8>) {
    let decoded: Vec<u8> = out.get(percent.saturating_add(1)..).unwrap_or_default().to_vec();
    let digits = match decoded.as_slice() {
        [first] => path.get(next).map(|second| [*first, *second]),
        [first, second] => Some([*first, *second]),
        _ => None,
    };
    if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
        out.truncate(percent);
        out.extend_from_slice(b"%25");
        out.extend(decoded);
    }
}

fn dot_length(path: &[u8], at: usize) -> Option<usize> {
    match (path.get(at)?, escaped(path, at)) {
        (b'.', _) => Some(1),
        (_, Some(b'.')) => Some(3),
        _ => None,
    }
}

/// The byte that `%XX` at `at` stands for.
fn escaped(path: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = path.get(at..at.checked_add(3)?)? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)?.saturating_mul(16).saturating_add(digit(*low)?))
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Envoy 1.40 answers: the target, then NONE, BASE, MERGE_SLASHES, DECODE_AND_MERGE_SLASHES; `400` is a refusal.
    const MEASURED: &[(&str, [&str; 4])] = &[
        ("/a/../b", ["/a/../b", "/b", "/b", "/b"]),
        ("/a//b", ["/a//b", "/a//b", "/a/b", "/a/b"]),
        ("/a%2Fb", ["/a%2Fb", "/a%2Fb", "/a%2Fb", "/a/b"]),
        ("/a%5cb", ["/a%5cb", "/a%5cb", "/a%5cb", "/a/b"]),
        ("/a\\b", ["/a\\b", "/a/b", "/a/b", "/a/b"]),
        ("/a%00b", ["/a%00b", "400", "400", "400"]),
        ("/a?%00", ["/a?%00", "/a?%00", "/a?%00", "/a?%00"]),
        ("/%61%7E%2D%5f", ["/%61%7E%2D%5f", "/a~-_", "/a~-_", "/a~-_"]),
        ("/a?x=/../y", ["/a?x=/../y", "/a?x=/../y", "/a?x=/../y", "/a?x=/../y"]),
        ("/../../etc", ["/../../etc", "/etc", "/etc", "/etc"]),
        ("/a/b/..", ["/a/b/..", "/a/", "/a/", "/a/"]),
        ("//", ["//", "//", "//", "//"]),
        ("///a//b//", ["///a//b//", "///a//b//", "/a/b/", "/a/b/"]),
        ("///..", ["///..", "//", "//", "//"]),
        ("/a%252f", ["/a%252f", "/a%252f", "/a%252f", "/a%252f"]),
        ("/a%2f..%2fb", ["/a%2f..%2fb", "/a%2f..%2fb", "/a%2f..%2fb", "/b"]),
        ("/a%2f%2fb", ["/a%2f%2fb", "/a%2f%2fb", "/a%2f%2fb", "/a/b"]),
        ("/a/b//../c", ["/a/b//../c", "/a/b/c", "/a/b/c", "/a/b/c"]),
        (
            "/a\"<>`{}|^[]'b",
            ["/a\"<>`{}|^[]'b", "/a%22%3C%3E%60%7B%7D%7C%5E[]'b", "/a%22%3C%3E%60%7B%7D%7C%5E[]'b", "/a%22%3C%3E%60%7B%7D%7C%5E[]'b"],
        ),
        ("/a/..;x=1/b", ["/a/..;x=1/b", "/b", "/b", "/b"]),
        ("/a/%2e%2e;/b", ["/a/%2e%2e;/b", "/a/..;/b", "/a/..;/b", "/a/..;/b"]),
        ("/a\\..;\\b", ["/a\\..;\\b", "/a/..;/b", "/a/..;/b", "/a/..;/b"]),
        ("/a/..;%5cb", ["/a/..;%5cb", "/", "/", "/"]),
        ("/%2f..;/a", ["/%2f..;/a", "/%2f..;/a", "/%2f..;/a", "/a"]),
        ("/a;/../b", ["/a;/../b", "/b", "/b", "/b"]),
        ("/a/.%2E/b", ["/a/.%2E/b", "/b", "/b", "/b"]),
        ("/%%41%42", ["/%%41%42", "/%25AB", "/%25AB", "/%25AB"]),
        ("/%%41B", ["/%%41B", "/%25AB", "/%25AB", "/%25AB"]),
        ("/%4%31", ["/%4%31", "/%2541", "/%2541", "/%2541"]),
        ("/%%4%31", ["/%%4%31", "/%%2541", "/%%2541", "/%%2541"]),
        ("/%%%41%41", ["/%%%41%41", "/%%25AA", "/%%25AA", "/%%25AA"]),
        ("/a/%%32%65%%32%65/b", ["/a/%%32%65%%32%65/b", "/a/%252e%252e/b", "/a/%252e%252e/b", "/a/%252e%252e/b"]),
        ("/%%2e%2e", ["/%%2e%2e", "/%..", "/%..", "/%.."]),
        ("/a/%2e%2", ["/a/%2e%2", "/a/.%2", "/a/.%2", "/a/.%2"]),
        ("/%G1%", ["/%G1%", "/%G1%", "/%G1%", "/%G1%"]),
        ("/a%c0%afb%3Fc%23", ["/a%c0%afb%3Fc%23", "/a%c0%afb%3Fc%23", "/a%c0%afb%3Fc%23", "/a%c0%afb%3Fc%23"]),
    ];

    #[test]
    fn every_mode_gives_what_envoy_gives() {
        use PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
        for (target, expected) in MEASURED {
            let found = [None, Base, MergeSlashes, DecodeAndMergeSlashes].map(|mode| normalized(target, mode));
            assert_eq!(found.each_ref().map(|path| path.as_deref().unwrap_or("400")), *expected, "{target}");
        }
    }
}
