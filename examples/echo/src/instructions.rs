use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};

/// The request header with the same meaning as the query parameter `call`.
const CALL_HEADER: &str = "x-echo-call";
/// Enough for any example; more would make one request a load generator.
const MOST_CALLS: usize = 16;
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// What a request asks for beyond the answer itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Instructions {
    /// URLs to GET through the proxy, in order (`call=`, repeatable).
    pub(crate) calls: Vec<Uri>,
    /// Loopback addresses to send a line to (`tcp=`, repeatable).
    pub(crate) tcp: Vec<SocketAddr>,
    /// That line (`send=`).
    pub(crate) line: String,
    /// The status to answer with (`status=`).
    pub(crate) status: StatusCode,
    /// How long to wait first (`delay_ms=`).
    pub(crate) delay: Duration,
}

/// Why the instructions of a request cannot be followed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidInstruction(pub(crate) String);

impl Instructions {
    pub(crate) fn read(uri: &Uri, headers: &HeaderMap) -> Result<Self, InvalidInstruction> {
        let mut read = Self { calls: Vec::new(), tcp: Vec::new(), line: "hello".to_owned(), status: StatusCode::OK, delay: Duration::ZERO };
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let invalid = |allowed: &str| InvalidInstruction(format!("`{key}={value}`: {allowed}"));
            match key.as_ref() {
                "call" => read.calls.push(url(&value).ok_or_else(|| invalid("an absolute http URL is allowed"))?),
                "tcp" => read.tcp.push(loopback(&value).ok_or_else(|| invalid("a loopback address with a port is allowed"))?),
                "send" if value.contains(['\n', '\r']) => return Err(invalid("one line is allowed")),
                "send" => read.line = value.into_owned(),
                "status" => read.status = status(&value).ok_or_else(|| invalid("200 to 599 is allowed"))?,
                "delay_ms" => read.delay = delay(&value).ok_or_else(|| invalid("0 to 60000 is allowed"))?,
                // The app's own parameters, as far as anybody else is concerned.
                _ => {}
            }
        }
        for value in headers.get_all(CALL_HEADER) {
            let call = value.to_str().ok().and_then(url);
            read.calls.push(call.ok_or_else(|| InvalidInstruction(format!("`{CALL_HEADER}`: an absolute http URL is allowed")))?);
        }
        if read.calls.len() + read.tcp.len() > MOST_CALLS {
            return Err(InvalidInstruction(format!("at most {MOST_CALLS} calls are allowed in one request")));
        }
        Ok(read)
    }
}

fn url(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok()?;
    (url.scheme_str() == Some("http") && url.host().is_some_and(|host| !host.is_empty())).then_some(url)
}

fn loopback(text: &str) -> Option<SocketAddr> {
    text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback() && address.port() != 0)
}

fn status(text: &str) -> Option<StatusCode> {
    text.parse().ok().filter(|code| (200..=599).contains(code)).and_then(|code| StatusCode::from_u16(code).ok())
}

fn delay(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis).filter(|delay| *delay <= LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str, headers: &[(&'static str, &str)]) -> Result<Instructions, InvalidInstruction> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Instructions::read(&target.parse().unwrap(), &map)
    }

    #[test]
    fn without_instructions_it_only_answers() {
        let plain = read("/books?page=2", &[]).unwrap();
        assert_eq!((plain.calls, plain.tcp, plain.status, plain.delay), (vec![], vec![], StatusCode::OK, Duration::ZERO));
    }

    #[test]
    fn query_and_header_name_the_calls_in_order() {
        let target = "/?call=http://a.mesh/x?y%3D1%26call%3Dhttp://c.mesh/&tcp=127.0.0.1:19000&send=hi+you&status=503&delay_ms=5";
        let read = read(target, &[("x-echo-call", "http://b.mesh/")]).unwrap();
        assert_eq!(
            read.calls.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["http://a.mesh/x?y=1&call=http://c.mesh/", "http://b.mesh/"]
        );
        assert_eq!(read.tcp, ["127.0.0.1:19000".parse().unwrap()]);
        assert_eq!((read.line.as_str(), read.status.as_u16(), read.delay), ("hi you", 503, Duration::from_millis(5)));
    }

    #[test]
    fn what_it_will_not_do_is_an_error() {
        let many = format!("/?{}", "call=http://a/&".repeat(17));
        for (target, part) in [
            ("/?call=https://a/", "absolute http URL"),
            ("/?call=/relative", "absolute http URL"),
            ("/?call=file:///etc/passwd", "absolute http URL"),
            ("/?tcp=10.0.0.1:80", "loopback"),
            ("/?tcp=127.0.0.1:0", "loopback"),
            ("/?send=a%0Ab", "one line"),
            ("/?status=99", "200 to 599"),
            ("/?status=ok", "200 to 599"),
            ("/?delay_ms=60001", "0 to 60000"),
            (many.as_str(), "at most 16"),
        ] {
            let InvalidInstruction(message) = read(target, &[]).unwrap_err();
            assert!(message.contains(part), "{target}: {message}");
        }
        assert!(read("/", &[("x-echo-call", "nowhere")]).is_err());
    }
}
