use std::time::Duration;

use meshwright_fetch::GetError;
use meshwright_policy::InvalidJwks;

/// Why keys could not be fetched. The ones in hand stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Get(#[from] GetError),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
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
            Self::Get(GetError::RefusedAddress { .. }) => Outcome::RefusedAddress,
            Self::Get(GetError::Unreachable(..)) => Outcome::Unreachable,
            Self::Timeout(_) => Outcome::Timeout,
            Self::Discovery(..)
            | Self::Get(
                GetError::Url(..) | GetError::Status(..) | GetError::Redirect(..) | GetError::TooLarge(..) | GetError::NotText(_),
            ) => Outcome::BadAnswer,
            Self::Keys(..) => Outcome::BadKeys,
        }
    }
}
