use std::net::IpAddr;
use std::time::Duration;

use meshwright_policy::InvalidJwks;

/// Why keys could not be fetched. The ones in hand stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("`{0}` cannot be used as a URL: {1}")]
    Url(String, String),
    #[error("`{host}` is {address}, {why}; keys are never fetched there")]
    RefusedAddress { host: String, address: IpAddr, why: &'static str },
    #[error("`{0}` cannot be reached: {1}")]
    Unreachable(String, String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("`{0}` answered {1}")]
    Status(String, u16),
    #[error("`{0}` answered with a redirect ({1}), which is not followed; write the URL that it leads to")]
    Redirect(String, u16),
    #[error("`{0}` answered with more than {1} bytes")]
    TooLarge(String, usize),
    #[error("`{0}` answered with what is no text")]
    NotText(String),
    #[error("the issuer's configuration at `{0}`: {1}")]
    Discovery(String, String),
    #[error("the key set at `{0}`: {1}")]
    Keys(String, InvalidJwks),
}

/// What became of a fetch; the label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Success,
    RefusedAddress,
    Unreachable,
    Timeout,
    /// Something came that is no answer.
    BadAnswer,
    /// An answer came, and the policy does not take its keys.
    BadKeys,
}

impl Outcome {
    pub const ALL: [Self; 6] = [Self::Success, Self::RefusedAddress, Self::Unreachable, Self::Timeout, Self::BadAnswer, Self::BadKeys];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RefusedAddress => "refused_address",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::BadAnswer => "bad_answer",
            Self::BadKeys => "bad_keys",
        }
    }
}

impl FetchError {
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::RefusedAddress { .. } => Outcome::RefusedAddress,
            Self::Unreachable(..) => Outcome::Unreachable,
            Self::Timeout(_) => Outcome::Timeout,
            Self::Url(..) | Self::Status(..) | Self::Redirect(..) | Self::TooLarge(..) | Self::NotText(_) | Self::Discovery(..) => {
                Outcome::BadAnswer
            }
            Self::Keys(..) => Outcome::BadKeys,
        }
    }
}
