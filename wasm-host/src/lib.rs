//! A proxy-wasm host: runs any proxy-wasm module (ABI 0.1.0, 0.2.0, 0.2.1) off-cluster the way Envoy 1.40 would, and says all that happened.
//!
//! A [`Host`] is a loaded module, a [`Plugin`] the module with its configuration and the world around it, a [`Worker`] a started plugin.
//! A stream is given as data ([`Request`], [`Tcp`], [`StreamInfo`]) and comes back as data ([`Outcome`], [`TcpOutcome`], [`Report`]). Nothing
//! is global: tests run in parallel, time is virtual, randomness is seeded.
//!
//! It does not open sockets, and knows one plugin per VM; several plugins of a stream are a [`Chain`].
//!
//! ```
//! # let wasm = wat::parse_file("doc/tour.wat")?;
//! use meshwright_wasm_host::{Host, Request};
//!
//! let outcome = Host::load(&wasm)?.plugin("", "good day").request(Request::get("/admin").header("x", "y")).run()?;
//! assert_eq!(outcome.status(), Some(403));
//! assert_eq!(outcome.local_reply.unwrap().body, b"not for you");
//! assert_eq!(outcome.upstream_request, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! All examples run one small filter, `doc/tour.wat`. Where to look:
//!
//! | | |
//! |---|---|
//! | requests, upstreams that answer or reset | [`Request`], [`Response`] |
//! | TCP connections, access loggers | [`Tcp`], [`StreamInfo`] |
//! | services that the filter calls | [`Upstream`], [`Answer`], [`Grpc`] |
//! | attributes, filter state | [`Request::property`], [`Request::filter_state`], [`Plugin::property`] |
//! | clock, timers | [`Plugin::now`], [`Worker::advance`] |
//! | shared data, queues, several workers, new configurations | [`Worker`], [`Shared`] |
//! | several filters of a stream | [`Chain`] |
//! | logs, metrics, calls, what is misused | [`Report`], [`Misuse`] |
//! | limits, traps, cost | [`Limits`], [`FailurePolicy`], [`Cost`], [`Engine`] |
//! | functions that fail or are not allowed, foreign ones | [`Fault`], [`Plugin::allowed_capabilities`], [`Plugin::foreign_function`] |
//! | fuzzing | [`Request::arbitrary`], [`Plugin::run_arbitrary`] |

#![deny(missing_docs)]

mod abi;
mod attributes;
mod call;
mod callbacks;
mod calls;
mod chain;
mod dns;
mod engine;
mod error;
mod exports;
mod fault;
mod foreign;
mod fuzz;
mod grpc;
mod headers;
mod host;
mod hostcalls;
mod http;
mod inspect;
mod limits;
mod message;
mod metrics;
mod misuse;
mod plugin;
mod profile;
mod property;
mod random;
mod recorder;
mod report;
mod roots;
mod script;
mod shared;
mod state;
mod stream;
mod tcp;
mod timeline;
mod tls;
mod upstream;
mod value;
mod vm;
mod wasi;
mod worker;

pub use abi::{AbiVersion, LogLevel, MetricType, Status};
pub use attributes::AttributePath;
pub use chain::{Chain, ChainOutcome};
pub use dns::Dns;
pub use engine::Engine;
pub use error::{LoadError, StartError};
pub use fault::{Fault, FaultError};
pub use grpc::Grpc;
pub use headers::Headers;
pub use host::Host;
pub use inspect::Inspection;
pub use limits::{FailurePolicy, Limits};
pub use message::{Message, Request, Response};
pub use misuse::{Misuse, Severity};
pub use plugin::{Plugin, Run};
pub use profile::Profile;
pub use report::{Cost, Ended, GrpcCall, HttpCall, LocalReply, LogLine, Metric, Outcome, Report, TcpOutcome, TraceEvent, Trap, TrapKind};
pub use script::{StreamInfo, Tcp};
pub use shared::Shared;
pub use tls::{Certificate, CertificateError, Tls};
pub use upstream::{Answer, Upstream};
pub use value::Value;
pub use worker::Worker;
