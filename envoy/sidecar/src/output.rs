//! Envoy's output: split into lines of bounded length, access-log records told from everything else.

mod access_log;
mod lines;
mod queue;
mod reader;

pub(crate) use access_log::AccessLog;
pub(crate) use lines::{LOG_FORMAT, Line};
pub(crate) use queue::Queue;
pub(crate) use reader::{Output, Tail};
