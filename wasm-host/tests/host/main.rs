//! Every family of host functions and every edge of the state machines, each with a filter of a few lines.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "tests fail by panicking")]

mod abi;
mod access_log;
mod buffers;
mod calls;
mod capabilities;
mod chain;
mod cost;
mod documentation;
mod expressions;
mod failure;
mod floods;
mod fuzz;
mod grpc;
mod headers;
mod inspect;
mod loading;
mod metrics;
mod misuse;
mod pool;
mod properties;
mod shared;
mod streams;
mod support;
mod tcp;
mod time;
mod traps;
mod workers;
