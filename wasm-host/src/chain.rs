//! Several plugins on one stream, as Envoy's HTTP filters in a row.

use crate::http;
use crate::message::{Message, Request};
use crate::report::{Ended, LocalReply, Report};
use crate::worker::Worker;

/// Started plugins through which requests pass in order, and responses in reverse.
///
/// ```
/// # let wasm = wat::parse_file("doc/tour.wat")?;
/// use meshwright_wasm_host::{Chain, Host, Request};
///
/// let host = Host::load(&wasm)?;
/// let mut chain = Chain::new([host.plugin("", "a").start()?, host.plugin("", "b").start()?]);
/// let outcome = chain.request(Request::get("/admin"));
/// assert_eq!(outcome.local_reply.unwrap().0, 0, "the first denied it");
/// let outcome = chain.request(Request::get("/"));
/// let client = outcome.client_response.unwrap();
/// assert_eq!(client.headers.get_all("x-tour").collect::<Vec<_>>(), [b"b", b"a"], "responses pass in reverse");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Chain {
    workers: Vec<Worker>,
}

impl Chain {
    /// The first is nearest to the client.
    #[must_use]
    pub fn new(workers: impl IntoIterator<Item = Worker>) -> Self {
        Self { workers: workers.into_iter().collect() }
    }

    /// Drives an HTTP request through all of them to its end. A plugin whose VM is lost answers 503, or is left out, as its policy says.
    pub fn request(&mut self, request: Request) -> ChainOutcome {
        let open = self.workers.iter_mut().filter_map(Worker::for_chain);
        let open: Vec<_> = open.collect();
        if open.is_empty() {
            let outcome = http::bypass(request);
            let crate::Outcome { upstream_request, client_response, code_details, .. } = outcome;
            return ChainOutcome { upstream_request, client_response, code_details, ..ChainOutcome::default() };
        }
        http::chain(open, request)
    }

    /// The plugins, in order.
    pub fn workers(&mut self) -> &mut [Worker] {
        &mut self.workers
    }
}

/// How a request through a chain ended.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ChainOutcome {
    /// How the stream came to its end.
    pub ended: Ended,
    /// The reply that a filter sent, and which filter, counted from 0.
    pub local_reply: Option<(usize, LocalReply)>,
    /// What the upstream got, after all filters.
    pub upstream_request: Option<Message>,
    /// What the client got, after all filters.
    pub client_response: Option<Message>,
    /// Why Envoy answered so.
    pub code_details: Option<String>,
    /// What each filter did, in order; filters that were left out have none.
    pub reports: Vec<Report>,
}

impl ChainOutcome {
    /// The status that the client got.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.client_response.as_ref().and_then(Message::status)
    }
}
