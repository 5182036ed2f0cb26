//! The agent beside a workload: gets its identity, hands it to Envoy over a Unix socket, fetches the filter module, runs Envoy and drains
//! it, and keeps the access log. It decides nothing about requests and changes no policy: that is between the control plane and Envoy.

mod options;
mod run;
mod signals;

pub use options::{
    AppMapping, ControlPlaneAddress, InvalidOption, JOIN_TOKEN_VARIABLE, JoinTokenSource, SidecarOptions, TcpMapping, WorkloadName,
};
pub use run::{Ended, run};
pub use signals::Signals;
