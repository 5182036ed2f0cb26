/// Which trace and span a request belongs to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) trace_id: Option<String>,
    pub(crate) span_id: Option<String>,
}

/// From W3C `traceparent`, else B3's single header, else B3's `x-b3-*` headers: the first that is well-formed. Ids are lower case.
pub(crate) fn of<'a>(header: impl Fn(&str) -> Option<&'a [u8]>) -> Trace {
    let text = |name: &str| header(name).and_then(|value| std::str::from_utf8(value).ok()).map(str::trim);
    text("traceparent")
        .and_then(traceparent)
        .or_else(|| text("b3").and_then(b3_single))
        .or_else(|| b3_multiple(text("x-b3-traceid")?, text("x-b3-spanid")))
        .unwrap_or_default()
}

/// `version-traceid-parentid-flags`, W3C Trace Context section 3.2: a later version may append fields, version `ff` is invalid.
#[inline(never)]
fn traceparent(value: &str) -> Option<Trace> {
    let mut fields = value.split('-');
    let (version, trace_id, span_id, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let known = is_hex(version, 2) && !version.eq_ignore_ascii_case("ff") && is_hex(flags, 2);
    let complete = version != "00" || fields.next().is_none();
    (known && complete).then_some(())?;
    Some(Trace { trace_id: Some(id(trace_id, &[32])?), span_id: Some(id(span_id, &[16])?) })
}

/// `{trace id}-{span id}[-{sampled}[-{parent span id}]]`; a lone sampling decision (`0`, `1`, `d`) names no trace.
#[inline(never)]
fn b3_single(value: &str) -> Option<Trace> {
    let mut fields = value.split('-');
    Some(Trace { trace_id: Some(id(fields.next()?, &[16, 32])?), span_id: Some(id(fields.next()?, &[16])?) })
}

#[inline(never)]
fn b3_multiple(trace_id: &str, span_id: Option<&str>) -> Option<Trace> {
    Some(Trace { trace_id: Some(id(trace_id, &[16, 32])?), span_id: span_id.and_then(|span_id| id(span_id, &[16])) })
}

/// All zero is the invalid id in both formats.
fn id(value: &str, lengths: &[usize]) -> Option<String> {
    let well_formed = lengths.iter().any(|length| is_hex(value, *length)) && value.bytes().any(|byte| byte != b'0');
    well_formed.then(|| value.to_ascii_lowercase())
}

fn is_hex(value: &str, length: usize) -> bool {
    value.len() == length && value.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn check(headers: &[(&str, &str)], expected: Option<(&str, Option<&str>)>) {
        let found = of(|name| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_bytes()));
        let expected = match expected {
            Some((trace_id, span_id)) => Trace { trace_id: Some(trace_id.to_owned()), span_id: span_id.map(str::to_owned) },
            None => Trace::default(),
        };
        assert_eq!(found, expected, "{headers:?}");
    }

    #[test]
    fn reads_each_format() {
        let both = Some((TRACE, Some(SPAN)));
        check(&[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))], both);
        check(&[("traceparent", &format!("01-{TRACE}-{SPAN}-01-more"))], both);
        check(&[("b3", &format!("{TRACE}-{SPAN}-1-{SPAN}"))], both);
        check(&[("b3", &format!("{TRACE}-{SPAN}"))], both);
        check(&[("x-b3-traceid", &TRACE.to_uppercase()), ("x-b3-spanid", SPAN)], both);
        check(&[("x-b3-traceid", "463ac35c9f6413ad")], Some(("463ac35c9f6413ad", None)));
    }

    #[test]
    fn prefers_w3c_and_falls_back_when_it_is_malformed() {
        let other = "11112222333344445555666677778888";
        check(&[("traceparent", &format!("00-{TRACE}-{SPAN}-01")), ("b3", &format!("{other}-{SPAN}"))], Some((TRACE, Some(SPAN))));
        check(&[("traceparent", "nonsense"), ("b3", &format!("{other}-{SPAN}"))], Some((other, Some(SPAN))));
    }

    #[test]
    fn refuses_what_is_malformed() {
        for bad in [
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}x-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", "é".repeat(16)),
            String::new(),
        ] {
            check(&[("traceparent", &bad)], None);
        }
        check(&[("b3", "0")], None);
        check(&[("b3", "d")], None);
        check(&[("x-b3-spanid", SPAN)], None);
        let found = of(|name| (name == "traceparent").then_some(&b"\xff\xfe"[..]));
        assert_eq!(found, Trace::default());
    }
}
