//! The agent beside a workload: gets its identity, hands it to Envoy over a Unix socket, fetches the filter module, runs Envoy and drains
//! it, keeps the access log, serves the SPIFFE Workload API where it is told to, and tells the control plane of keys that tokens name and the proxy does not have. It decides nothing about
//! requests and changes no policy: that is between the control plane and Envoy.
//!
//! What outlives what: the private key lives in this process's memory alone, so a restarted sidecar joins again with a new token, unless it
//! is told to keep its identity in its state directory (mode 0600): then it goes on with that for as long as it is valid. A sidecar
//! that is killed (SIGKILL) leaves its Envoy serving with the certificate it has; the next sidecar for that state directory refuses to
//! start, naming the process to end, because two Envoys cannot hold the same ports. An Envoy that ends by itself ends the sidecar and the
//! app with an error that shows its last words. A supervisor that ends all of a group at once (systemd's default) should be told to signal
//! the sidecar alone (`KillMode=mixed`): it passes the signal on when the proxy is drained.

mod admin;
mod app;
mod drain;
mod envoy;
mod envoy_binary;
mod expiry;
mod held;
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
mod unknown_keys;
mod workload_api;

pub use held::{HeldSecrets, held_secrets};
pub use options::{
    AppMapping, ControlPlaneAddress, InvalidOption, JOIN_TOKEN_VARIABLE, JoinTokenSource, SidecarOptions, TcpMapping, WorkloadName,
};
pub use run::{Ended, run};
pub use signals::Signals;
pub use unknown_keys::UnknownKey;
pub use workload_api::WorkloadApiOptions;
