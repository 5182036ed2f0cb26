//! A proxy-wasm host: runs any proxy-wasm module (ABI 0.1.0, 0.2.0, 0.2.1) off-cluster the way Envoy 1.40 would, and says all that happened.
//!
//! A [`Host`] is a loaded module, a [`Plugin`] the module with its configuration and the world around it, a [`Worker`] a started plugin.
//! A stream is given as data ([`Request`], [`Tcp`], [`StreamInfo`]) and comes back as data ([`Outcome`], [`TcpOutcome`], [`Report`]). Nothing
//! is global: tests run in parallel, time is virtual, randomness is seeded.
//!
//! It does not open sockets, and knows one plugin per VM; several plugins of a stream are a [`Chain`].
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use meshwright_wasm_host::{Host, Request};
//!
//! // A filter that denies everything.
//! let wasm = wat::parse_str(r#"
//!     (module
//!       (import "env" "proxy_send_local_response"
//!         (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
//!       (memory (export "memory") 1)
//!       (data (i32.const 8) "denied")
//!       (func (export "proxy_abi_version_0_2_1"))
//!       (func (export "malloc") (param i32) (result i32) (i32.const 1024))
//!       (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
//!         (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 6)
//!                            (i32.const 0) (i32.const 0) (i32.const -1)))
//!         (i32.const 1)))
//! "#)?;
//! let outcome = Host::load(&wasm)?.plugin("", "").request(Request::get("/admin").header("x", "y")).run()?;
//! assert_eq!(outcome.status(), Some(403));
//! assert_eq!(outcome.local_reply.unwrap().body, b"denied");
//! assert_eq!(outcome.upstream_request, None);
//! # Ok(())
//! # }
//! ```

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
