use std::net::IpAddr;

/// Why there is no answer. What is in hand stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GetError {
    #[error("`{0}` cannot be used as a URL: {1}")]
    Url(String, String),
    #[error("`{host}` is {address}, {why}; keys are never fetched there")]
    RefusedAddress { host: String, address: IpAddr, why: &'static str },
    #[error("`{0}` cannot be reached: {1}")]
    Unreachable(String, String),
    #[error("`{0}` answered {1}")]
    Status(String, u16),
    #[error("`{0}` answered with a redirect ({1}), which is not followed; write the URL that it leads to")]
    Redirect(String, u16),
    #[error("`{0}` answered with more than {1} bytes")]
    TooLarge(String, usize),
    #[error("`{0}` answered with what is no text")]
    NotText(String),
}
