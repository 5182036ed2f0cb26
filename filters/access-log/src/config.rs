use meshwright_policy::wire::{AccessLogConfig, InvalidJson};

/// The only version of the configuration that there is.
const VERSION: u32 = 1;

/// Why a plugin configuration is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidConfig {
    #[error(transparent)]
    Json(#[from] InvalidJson),
    #[error("version: {0} is not known; this module knows {VERSION}")]
    Version(u32),
}

pub(crate) fn parse(json: &[u8]) -> Result<AccessLogConfig, InvalidConfig> {
    let config = AccessLogConfig::from_json(json)?;
    if config.version == VERSION { Ok(config) } else { Err(InvalidConfig::Version(config.version)) }
}
