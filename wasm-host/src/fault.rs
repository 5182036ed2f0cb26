//! Faults: a host function answers a status that it could answer in Envoy, and does nothing else.

use crate::abi::Status;
use crate::abi::Status::{
    BadArgument as Bad, CasMismatch, Empty, InvalidMemoryAccess as Memory, NotFound as Missing, ParseFailure, SerializationFailure,
};

/// A host function that fails when it is told to.
///
/// ```
/// use meshwright_wasm_host::{Fault, Status};
///
/// let fault = Fault::new("proxy_get_property", Status::NotFound).unwrap().at_call(2);
/// assert!(Fault::new("proxy_get_property", Status::Empty).is_err(), "it never answers that");
/// # let _ = fault;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    function: String,
    status: Status,
    /// From 1; `None` is every call.
    call: Option<u64>,
}

/// The function does not exist, or cannot answer so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// No host function has this name.
    #[error("`{0}` is no host function of the ABI")]
    UnknownFunction(String),
    /// In no state of the world would it answer that.
    #[error("`{function}` never answers {status:?} (allowed: {allowed:?})")]
    NeverAnswers {
        /// Which function.
        function: String,
        /// What it should answer.
        status: Status,
        /// What it can answer.
        allowed: Vec<Status>,
    },
}

impl Fault {
    /// Every call of `function` answers `status`.
    ///
    /// # Errors
    /// When it never answers that in Envoy. Any function answers [`Status::InternalFailure`] when its capability is restricted.
    pub fn new(function: impl Into<String>, status: Status) -> Result<Self, FaultError> {
        let function = function.into();
        let allowed = failures_of(&function).ok_or_else(|| FaultError::UnknownFunction(function.clone()))?;
        if status != Status::InternalFailure && !allowed.contains(&status) {
            let allowed = allowed.iter().copied().chain([Status::InternalFailure]).collect();
            return Err(FaultError::NeverAnswers { function, status, allowed });
        }
        Ok(Self { function, status, call: None })
    }

    /// Only the `call`th call since the VM started does, counted from 1.
    #[must_use]
    pub const fn at_call(mut self, call: u64) -> Self {
        self.call = Some(call);
        self
    }

    pub(crate) fn answers(&self, function: &str, call: u64) -> Option<Status> {
        (self.function == function && self.call.is_none_or(|number| number == call)).then_some(self.status)
    }

    /// Every function and every failure that it can be told to answer.
    pub fn all() -> impl Iterator<Item = Self> {
        FAILURES.iter().flat_map(|(function, statuses)| {
            let statuses = statuses.iter().copied().chain([Status::InternalFailure]);
            statuses.map(|status| Self { function: (*function).to_owned(), status, call: None })
        })
    }

    /// The host function.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.function
    }

    /// What it answers.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }
}

fn failures_of(function: &str) -> Option<&'static [Status]> {
    FAILURES.iter().find(|(name, _)| *name == function).map(|(_, statuses)| *statuses)
}

/// What each function answers in Envoy 1.40 beside OK and, where its capability is restricted, `InternalFailure`.
const FAILURES: [(&str, &[Status]); 40] = [
    ("proxy_log", &[Bad, Memory]),
    ("proxy_get_log_level", &[Memory]),
    ("proxy_get_current_time_nanoseconds", &[Memory]),
    ("proxy_set_tick_period_milliseconds", &[]),
    ("proxy_get_buffer_bytes", &[Missing, Bad, Memory]),
    ("proxy_get_buffer_status", &[Missing, Bad, Memory]),
    ("proxy_set_buffer_bytes", &[Missing, Bad, Memory]),
    ("proxy_get_header_map_pairs", &[Bad, Memory]),
    ("proxy_get_header_map_size", &[Bad, Memory]),
    ("proxy_set_header_map_pairs", &[Bad, Memory]),
    ("proxy_get_header_map_value", &[Missing, Bad, Memory]),
    ("proxy_add_header_map_value", &[Bad, Memory]),
    ("proxy_replace_header_map_value", &[Bad, Memory]),
    ("proxy_remove_header_map_value", &[Bad, Memory]),
    ("proxy_get_property", &[Missing, SerializationFailure, Memory]),
    ("proxy_set_property", &[Missing, Bad, Memory]),
    ("proxy_continue_stream", &[Bad, Status::Unimplemented]),
    ("proxy_close_stream", &[Bad]),
    ("proxy_send_local_response", &[Bad, Memory]),
    ("proxy_http_call", &[Bad, Memory]),
    ("proxy_grpc_call", &[Bad, ParseFailure, Memory]),
    ("proxy_grpc_stream", &[Bad, ParseFailure, Memory]),
    ("proxy_grpc_send", &[Missing, Bad, Memory]),
    ("proxy_grpc_cancel", &[Missing, Bad]),
    ("proxy_grpc_close", &[Missing, Bad]),
    ("proxy_get_status", &[Memory]),
    ("proxy_set_effective_context", &[Bad]),
    ("proxy_done", &[Missing]),
    ("proxy_get_shared_data", &[Missing, Memory]),
    ("proxy_set_shared_data", &[CasMismatch, Memory]),
    ("proxy_register_shared_queue", &[Memory]),
    ("proxy_resolve_shared_queue", &[Missing, Memory]),
    ("proxy_enqueue_shared_queue", &[Missing, Memory]),
    ("proxy_dequeue_shared_queue", &[Missing, Empty, Memory]),
    ("proxy_define_metric", &[Bad, Memory]),
    ("proxy_get_metric", &[Missing, Bad, Memory]),
    ("proxy_record_metric", &[Missing, Bad]),
    ("proxy_increment_metric", &[Missing, Bad]),
    ("proxy_call_foreign_function", &[Missing, Bad, SerializationFailure, Memory]),
    ("envoy_resolve_dns", &[Memory]),
];
