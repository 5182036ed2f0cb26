use super::text::TextMatch;
use crate::index::{self, Pattern};

const ONE: &str = "{*}";
const MANY: &str = "{**}";
/// What RFC 3986 calls `pchar` beyond letters, digits and percent-encoding.
const PCHAR: &str = "-._~!$&'()+,;=:@%";

/// `paths`: a string match, or a template when it has an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathMatch {
    Text(TextMatch),
    Template(Template),
}

/// A path template of Istio. `{*}` is one segment that is not empty, `{**}` any characters; slashes around both are literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    /// Segments before `{**}`, or all of them.
    head: Vec<Segment>,
    /// What follows `{**}`, slash included; none when there is no `{**}`.
    tail: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    One,
}

impl PathMatch {
    pub(crate) fn parse(pattern: &str) -> Result<Self, String> {
        if pattern.contains(ONE) || pattern.contains(MANY) {
            return Template::parse(pattern).map(Self::Template);
        }
        TextMatch::parse(pattern).map(Self::Text)
    }

    /// What every path that matches begins or ends with.
    pub(crate) fn pattern(&self) -> Option<Pattern<'_>> {
        match self {
            Self::Text(text) => index::text(text),
            Self::Template(template) => Some(Pattern::Prefix(template.literal_start().into())),
        }
    }

    /// `path` is without query and fragment.
    #[inline(never)]
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Text(text) => text.matches(path),
            Self::Template(template) => template.matches(path),
        }
    }
}

impl Template {
    fn parse(pattern: &str) -> Result<Self, String> {
        let wrong = |allowed: &str| Err(format!("found the path template `{pattern}`; {allowed}"));
        let Some(rest) = pattern.strip_prefix('/') else { return wrong("it starts with `/`") };
        let mut head = Vec::new();
        let mut segments = rest.split('/');
        while let Some(segment) = segments.next() {
            match segment {
                ONE => head.push(Segment::One),
                MANY => {
                    let tail: Vec<&str> = segments.collect();
                    if tail.iter().any(|segment| segment.contains(['{', '}'])) {
                        return wrong("`{**}` is its last operator");
                    }
                    if !tail.iter().all(|segment| is_literal(segment)) {
                        return wrong("literals are made of RFC 3986's path characters, without `*`");
                    }
                    let tail = if tail.is_empty() { String::new() } else { format!("/{}", tail.join("/")) };
                    return Ok(Self { head, tail: Some(tail) });
                }
                literal if literal.contains(['{', '}']) => return wrong("an operator, `{*}` or `{**}`, is a whole segment"),
                literal if !is_literal(literal) => return wrong("literals are made of RFC 3986's path characters, without `*`"),
                literal => head.push(Segment::Literal(literal.to_owned())),
            }
        }
        Ok(Self { head, tail: None })
    }

    /// What stands before the first operator.
    fn literal_start(&self) -> Vec<u8> {
        let literals = self.head.iter().map_while(|segment| match segment {
            Segment::Literal(literal) => Some(literal.as_bytes()),
            Segment::One => None,
        });
        // The slash behind the last literal is one, too: there is an operator behind it, or the template would be a text.
        literals.flat_map(|literal| [b"/", literal]).chain([&b"/"[..]]).collect::<Vec<_>>().concat()
    }

    fn matches(&self, path: &[u8]) -> bool {
        let mut rest = path;
        for segment in &self.head {
            let Some(after) = rest.strip_prefix(b"/") else { return false };
            let end = after.iter().position(|byte| *byte == b'/').unwrap_or(after.len());
            let Some((found, following)) = after.split_at_checked(end) else { return false };
            let matches = match segment {
                Segment::Literal(literal) => found == literal.as_bytes(),
                Segment::One => !found.is_empty(),
            };
            if !matches {
                return false;
            }
            rest = following;
        }
        match &self.tail {
            None => rest.is_empty(),
            // The slash before `{**}` is literal, and so is what follows it.
            Some(tail) => rest.strip_prefix(b"/").is_some_and(|rest| rest.ends_with(tail.as_bytes())),
        }
    }
}

fn is_literal(segment: &str) -> bool {
    segment.chars().all(|c| c.is_ascii_alphanumeric() || PCHAR.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_match_as_istio_tests_them() {
        for (pattern, yes, no) in [
            ("/allow/admin/{**}", vec!["/allow/admin/", "/allow/admin/a", "/allow/admin/a/b"], vec!["/allow/admin", "/allow/administer"]),
            ("/store/{**}/cart", vec!["/store//cart", "/store/a/cart", "/store/a/b/cart"], vec!["/store/cart", "/store/a/cart/"]),
            ("/foo/{*}/bar/{**}", vec!["/foo/a/bar/", "/foo/a/bar/x/y"], vec!["/foo//bar/x", "/foo/a/b/bar/x", "/foo/a/bar"]),
            ("/{*}", vec!["/a"], vec!["/", "/a/", "/a/b"]),
            ("/{**}", vec!["/", "/a/b"], vec![""]),
            ("/a/{*}/c", vec!["/a/b/c"], vec!["/a//c", "/a/b/c/", "/A/b/c"]),
        ] {
            let compiled = PathMatch::parse(pattern).unwrap();
            yes.iter().for_each(|path| assert!(compiled.matches(path.as_bytes()), "{pattern} {path}"));
            no.iter().for_each(|path| assert!(!compiled.matches(path.as_bytes()), "{pattern} {path}"));
        }
    }

    #[test]
    fn other_templates_are_refused() {
        for bad in ["/{**}/{*}", "/{**}/a/{**}", "/a{*}", "/{*}b", "{*}", "/a*/{*}", "/{x}/{*}", "/a b/{*}", "/{**}/*"] {
            assert!(PathMatch::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_an_operator_it_is_text() {
        assert!(PathMatch::parse("/a*").unwrap().matches(b"/abc"));
        assert!(PathMatch::parse("*.html").unwrap().matches(b"/x.html"));
        assert!(!PathMatch::parse("/a").unwrap().matches(b"/a/"));
    }
}
