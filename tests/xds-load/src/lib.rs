//! Thousands of delta ADS clients in one process, which behave like Envoy 1.40 and decode each distinct content once; and the benchmark that
//! drives a control plane with them. The clients know nothing of any control plane.

pub mod bench;
mod client;
mod contents;
mod marks;
mod process;
mod references;
mod stats;
mod stream;
mod swarm;
mod target;
pub mod wire;

pub use client::{Client, Reply};
pub use contents::Contents;
pub use marks::{MarkId, Marks};
pub use process::{Usage, pin_to, usage};
pub use stats::{Counts, percentile};
pub use swarm::{Pace, Swarm};
pub use target::Target;
pub use wire::Kind;
