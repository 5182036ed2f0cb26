//! What a filter must not do, because of what Envoy makes of it. Each is found where it happens; here are only their names and words.

/// A mistake of the filter that a run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// Envoy crashes.
    #[error("`proxy_continue_stream(RESPONSE)` before there is a response: Envoy crashes")]
    ResumeResponseInRequest,
    /// Envoy crashes.
    #[error("`proxy_send_local_response` in `proxy_on_log`: Envoy logs without end and crashes")]
    ReplyInLog,
    /// Envoy crashes.
    #[error("`proxy_close_stream` in `proxy_on_log`: Envoy logs without end and crashes")]
    CloseInLog,
    /// Envoy crashes.
    #[error("`proxy_grpc_call` or `proxy_grpc_stream` with a service that names nothing: Envoy crashes")]
    GrpcServiceEmpty,
    /// The client sees a second response inside the body; without a body, Envoy crashes.
    #[error("`proxy_continue_stream(RESPONSE)` in `proxy_on_response_headers`, which then continues: the headers are sent twice")]
    ResponseHeadersTwice,
    /// Status 2, or an empty map.
    #[error(
        "headers or trailers were used outside their phase, where they are BAD_ARGUMENT or an empty map: copy what is needed in its phase"
    )]
    MapOutsidePhase,
    /// NOT_FOUND.
    #[error(
        "an attribute of the request's headers was read outside their phase, where it is NOT_FOUND: read it in the request's headers phase"
    )]
    AttributeOutsidePhase,
    /// It does nothing, or more than was meant.
    #[error("`proxy_continue_stream` for a half of the stream that is not paused")]
    ResumeWithoutPause,
    /// The second does nothing.
    #[error("`proxy_continue_stream` a second time for the same pause")]
    ResumeTwice,
    /// The connection is cut.
    #[error("`proxy_send_local_response` after the response's headers were sent: the client gets half a response")]
    ReplyAfterHeaders,
    /// The stream hangs until Envoy's idle timeout.
    #[error("the stream was paused and nothing was left that could resume it: it hangs until the idle timeout")]
    PauseForNothing,
    /// The call is refused.
    #[error("`proxy_http_call` without `:method`, `:path` or `:authority`: it is refused")]
    CallIncomplete,
    /// The message is refused when it is sent.
    #[error("a header's value has a line break or a zero byte in it: Envoy answers 503 when it sends the message")]
    LineBreakInHeader,
    /// The others are not seen: what decides by the first value can be deceived.
    #[error("only the first value of a header that has several was read: use the attribute `request.headers.NAME`, which joins them")]
    FirstValueOnly,
    /// The router answers 404.
    #[error(
        "`proxy_set_header_map_pairs` left no `:path` or `:status`: what is malformed, over 1 MiB or over 1024 pairs is read as nothing"
    )]
    MapWiped,
    /// The receiver waits for more, or takes the rest for another message.
    #[error("the body's length was changed and `content-length` was not: remove it in the headers phase")]
    StaleContentLength,
    /// Every definition is a new id that is never freed.
    #[error(
        "a metric was defined in a stream's callback: each definition makes a new id for ever; define metrics when the plugin is configured"
    )]
    MetricPerStream,
    /// Envoy ends the VM.
    #[error("a host function other than logging was called inside the allocator or while the module initialises: Envoy ends the VM")]
    HostcallInAllocator,
    /// Neither it nor its VM is ever freed.
    #[error("`proxy_on_done` answered false and `proxy_done` was never called: the context is kept for ever")]
    ContextNeverDone,
}

/// How bad a misuse is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// It costs something, or works by accident.
    Warning,
    /// The stream does not go as the filter means it to.
    Error,
    /// Envoy crashes, or others can be harmed.
    Critical,
}

impl Severity {
    /// In lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl Misuse {
    /// Every kind there is.
    pub const ALL: [Self; 19] = [
        Self::ResumeResponseInRequest,
        Self::ReplyInLog,
        Self::CloseInLog,
        Self::GrpcServiceEmpty,
        Self::ResponseHeadersTwice,
        Self::MapOutsidePhase,
        Self::AttributeOutsidePhase,
        Self::ResumeWithoutPause,
        Self::ResumeTwice,
        Self::ReplyAfterHeaders,
        Self::PauseForNothing,
        Self::CallIncomplete,
        Self::LineBreakInHeader,
        Self::FirstValueOnly,
        Self::MapWiped,
        Self::StaleContentLength,
        Self::MetricPerStream,
        Self::HostcallInAllocator,
        Self::ContextNeverDone,
    ];

    /// Whether Envoy crashes at it.
    #[must_use]
    pub const fn ends_envoy(self) -> bool {
        matches!(self, Self::ResumeResponseInRequest | Self::ReplyInLog | Self::CloseInLog | Self::GrpcServiceEmpty)
    }

    /// A short name that does not change.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResumeResponseInRequest => "resume_response_in_request",
            Self::ReplyInLog => "reply_in_log",
            Self::CloseInLog => "close_in_log",
            Self::GrpcServiceEmpty => "grpc_service_empty",
            Self::ResponseHeadersTwice => "response_headers_twice",
            Self::MapOutsidePhase => "map_outside_phase",
            Self::AttributeOutsidePhase => "attribute_outside_phase",
            Self::ResumeWithoutPause => "resume_without_pause",
            Self::ResumeTwice => "resume_twice",
            Self::ReplyAfterHeaders => "reply_after_headers",
            Self::PauseForNothing => "pause_for_nothing",
            Self::CallIncomplete => "call_incomplete",
            Self::LineBreakInHeader => "line_break_in_header",
            Self::FirstValueOnly => "first_value_only",
            Self::MapWiped => "map_wiped",
            Self::StaleContentLength => "stale_content_length",
            Self::MetricPerStream => "metric_per_stream",
            Self::HostcallInAllocator => "hostcall_in_allocator",
            Self::ContextNeverDone => "context_never_done",
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::ResumeResponseInRequest
            | Self::ReplyInLog
            | Self::CloseInLog
            | Self::GrpcServiceEmpty
            | Self::ResponseHeadersTwice
            | Self::FirstValueOnly => Severity::Critical,
            Self::MapOutsidePhase
            | Self::ReplyAfterHeaders
            | Self::PauseForNothing
            | Self::CallIncomplete
            | Self::LineBreakInHeader
            | Self::MapWiped
            | Self::StaleContentLength
            | Self::HostcallInAllocator => Severity::Error,
            Self::AttributeOutsidePhase | Self::ResumeWithoutPause | Self::ResumeTwice | Self::MetricPerStream | Self::ContextNeverDone => {
                Severity::Warning
            }
        }
    }
}
