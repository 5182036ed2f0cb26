//! Runs proxy-wasm filters in a real Envoy, so that what another host says of them can be compared.
//!
//! One Envoy process serves many cases: each has a listener, a client and an upstream of its own, all on loopback, and a VM of its own.
//! A client plays the [`Traffic`] of its case and what both ends saw, and what the filter logged, comes back as an [`Observed`].
//! HTTP is HTTP/1.1; gRPC services that a filter calls speak HTTP/2 through a second listener of the same Envoy.
//!
//! It compares nothing, and downloads no Envoy.

mod case;
mod client;
mod config;
mod error;
mod http1;
mod log;
mod process;
mod run;
mod service;
mod tcp;
mod tls;

pub use case::{Case, Cluster, Exchange, Observed, ObservedTcp, Reply, TcpStep, Traffic};
pub use error::EnvoyError;
pub use log::Line;
pub use run::{Options, find, run};
pub use tls::{Identity, Tls};
