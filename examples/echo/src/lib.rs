//! The app of every workload in the examples: answers with what it received, and calls the next service when asked to.
//! It knows nothing of the mesh but the address of its sidecar's outbound listener.

mod call;
mod http;
mod instructions;
mod options;
mod server;
mod tcp;

pub use options::EchoOptions;
pub use server::{Echo, run};
