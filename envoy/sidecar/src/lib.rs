//! The agent beside a workload: gets its identity, hands it to Envoy over a Unix socket, fetches the filter module, runs Envoy and drains
//! it, and keeps the access log. It decides nothing about requests and changes no policy: that is between the control plane and Envoy.

mod admin;
mod app;
mod drain;
mod envoy;
mod envoy_binary;
mod identity;
mod metadata;
mod module;
mod options;
mod output;
mod ports;
mod readiness;
mod renewal;
mod run;
mod sds;
mod signals;
mod state_dir;
mod supervise;

pub use options::{
    AppMapping, ControlPlaneAddress, InvalidOption, JOIN_TOKEN_VARIABLE, JoinTokenSource, SidecarOptions, TcpMapping, WorkloadName,
};
pub use run::{Ended, run};
pub use signals::Signals;
