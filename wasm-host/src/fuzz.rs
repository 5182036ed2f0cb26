//! Turns any bytes into an exchange, for fuzzers: every string of bytes is one, and small changes of the bytes are small changes of it.

use crate::error::StartError;
use crate::fault::Fault;
use crate::message::{Request, Response};
use crate::plugin::Plugin;
use crate::report::Outcome;

const MOST_FAULTS: u8 = 4;
const NAMES: [&str; 12] = [
    ":path",
    ":method",
    ":authority",
    ":scheme",
    "content-type",
    "content-length",
    "authorization",
    "cookie",
    "x-forwarded-for",
    "host",
    "te",
    "x-a",
];

/// Takes bytes one after another; when they are used up, zeros.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte() % 64).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken.to_vec()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A name of a header as Envoy's codecs let it through: a token (RFC 9110 section 5.6.2).
    fn name(&mut self) -> Vec<u8> {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~";
        let letter = |byte: u8| LETTERS.get(usize::from(byte) % LETTERS.len()).copied().unwrap_or(b'x');
        let name: Vec<u8> = self.bytes().into_iter().map(letter).collect();
        if name.is_empty() { b"x".to_vec() } else { name }
    }

    /// A value as Envoy's codecs let it through: any bytes but those that end lines.
    fn value(&mut self) -> Vec<u8> {
        let mut value = self.bytes();
        value.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
        value
    }

    fn pair(&mut self) -> (Vec<u8>, Vec<u8>) {
        let name = NAMES.get(usize::from(self.byte() % 16)).map_or_else(|| self.name(), |name| name.as_bytes().to_vec());
        (name, self.value())
    }
}

impl Request {
    /// An exchange made of any bytes: every header that a codec of Envoy lets through, pieces of bodies, trailers, an answer or a reset.
    #[must_use]
    pub fn arbitrary(bytes: &[u8]) -> Self {
        Self::from_source(&mut Source(bytes))
    }

    fn from_source(source: &mut Source<'_>) -> Self {
        let (mut request, mut response) = (Self::get("/"), Response::new(200));
        let mut reset = false;
        while !source.is_empty() {
            match source.byte() % 8 {
                0 | 1 => {
                    let (name, value) = source.pair();
                    request = request.header(name, value);
                }
                2 => request = request.chunk(source.bytes()),
                3 => request = request.trailer(source.name(), source.value()),
                4 => response = response.header(source.name(), source.value()),
                5 => response = response.chunk(source.bytes()),
                6 => response = response.trailer(source.name(), source.value()),
                _ => reset = source.byte().is_multiple_of(4),
            }
        }
        if reset { request.upstream_reset() } else { request.upstream(response) }
    }
}

impl Plugin {
    /// Runs an exchange made of any bytes, with host functions that fail where the bytes say so.
    ///
    /// ```
    /// # let wasm = wat::parse_file("doc/tour.wat")?;
    /// # let fuzzers_bytes = [7; 40];
    /// use meshwright_wasm_host::Host;
    ///
    /// let outcome = Host::load(&wasm)?.plugin("", "").run_arbitrary(&fuzzers_bytes)?;
    /// assert!(outcome.report.traps.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the plugin does not start, which a fault may cause.
    pub fn run_arbitrary(&self, bytes: &[u8]) -> Result<Outcome, StartError> {
        let mut source = Source(bytes);
        let mut plugin = self.clone();
        let all: Vec<Fault> = Fault::all().collect();
        for _ in 0..source.byte() % MOST_FAULTS {
            let fault = all.get(usize::from(source.byte()) % all.len().max(1)).cloned();
            let call = u64::from(source.byte() % 4);
            if let Some(fault) = fault {
                plugin = plugin.fault(if call == 0 { fault } else { fault.at_call(call) });
            }
        }
        plugin.request(Request::from_source(&mut source)).run()
    }
}
