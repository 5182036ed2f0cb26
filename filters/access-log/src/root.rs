use std::rc::Rc;
use std::time::UNIX_EPOCH;

use meshwright_handover::Reader;
use meshwright_policy::wire::{AccessLogConfig, Direction, Protocol};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, RootContext};
use proxy_wasm::types::{ContextType, LogLevel, MapType};

use crate::record::{Attributes, DECISION, Headers, Record};
use crate::{PREFIX, config};

/// The root context of the role: Envoy calls its `on_log` at the end of every stream, and no other context exists.
#[derive(Debug, Default)]
pub struct AccessLog {
    config: Option<AccessLogConfig>,
    /// Of the requests that `authz` decides about: it is in the chains of inbound and gateway listeners.
    passed: Option<Reader>,
}

impl Context for AccessLog {}

impl RootContext for AccessLog {
    fn on_configure(&mut self, _size: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        match config::parse(&configuration) {
            Ok(config) => {
                self.passed = match (config.protocol, config.direction) {
                    (Protocol::Http, Direction::Inbound | Direction::Gateway) => Some(Reader::new()),
                    (Protocol::Http, Direction::Outbound) | (Protocol::Tcp, _) => None,
                };
                self.config = Some(config);
                true
            }
            Err(error) => {
                log(LogLevel::Error, &format!("access-log: the configuration is refused: {error}"));
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn on_log(&mut self) {
        let Some(config) = &self.config else { return };
        let headers = match config.protocol {
            // Envoy answers with an empty map when there are no headers, for example of a request that could not be parsed.
            Protocol::Http => hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default(),
            Protocol::Tcp => Vec::new(),
        };
        let host = Host { decided: self.passed.as_ref().and_then(Reader::take) };
        let record = Record::of(config, &host, Headers(&headers), now());
        match serde_json::to_string(&record) {
            Ok(json) => log(LogLevel::Info, &format!("{PREFIX}{json}")),
            Err(error) => log(LogLevel::Error, &format!("access-log: a record was lost: {error}")),
        }
    }
}

#[derive(Debug)]
struct Host {
    /// What `authz` left of the stream in this VM, instead of in its filter state.
    decided: Option<Rc<[u8]>>,
}

impl Attributes for Host {
    fn get(&self, path: &[&str]) -> Option<Vec<u8>> {
        match &self.decided {
            Some(decided) if *path == DECISION => Some(decided.to_vec()),
            Some(_) | None => hostcalls::get_property(path.to_vec()).ok().flatten(),
        }
    }
}

fn now() -> i128 {
    let time = hostcalls::get_current_time().unwrap_or(UNIX_EPOCH);
    time.duration_since(UNIX_EPOCH).ok().and_then(|since| i128::try_from(since.as_nanos()).ok()).unwrap_or(0)
}

fn log(level: LogLevel, message: &str) {
    // The wrapper never returns an error: `proxy_log` fails only on a level that does not exist.
    let _ = hostcalls::log(level, message);
}
