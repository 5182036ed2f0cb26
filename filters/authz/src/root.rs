use std::rc::Rc;
use std::time::Duration;

use meshwright_policy::Policy;
use meshwright_policy::wire::Protocol;
use proxy_wasm::traits::{Context, HttpContext, RootContext, StreamContext};
use proxy_wasm::types::ContextType;

use crate::crypto::HostCrypto;
use crate::engine::Engine;
use crate::host;
use crate::http::HttpRequest;
use crate::open::{self, Carries, Due, Ticket};
use crate::tcp::Connection;

/// How often the host is given what was counted.
const FLUSH: Duration = Duration::from_secs(1);
/// When what is open is looked through: at once, but not while the plugin is being put in place.
const SOON: Duration = Duration::from_millis(1);

/// The root context of the role: compiles the policy that every stream of this worker is decided by.
#[derive(Debug, Default)]
pub struct Authz {
    engine: Option<Rc<Engine>>,
    sweep: Due,
}

impl Context for Authz {}

impl RootContext for Authz {
    /// A refused configuration never replaces a good one: the host keeps the root context that serves.
    fn on_configure(&mut self, _size: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        match Policy::from_json(&configuration) {
            Ok(policy) => {
                let engine = Rc::new(Engine::new(policy, HostCrypto::default()));
                let denies = open::renew(&engine);
                if denies {
                    self.sweep.set();
                }
                self.engine = Some(engine);
                self.set_tick_period(if denies { SOON } else { FLUSH });
                true
            }
            Err(error) => {
                host::log_error(&format!("authz: the configuration is refused: {error}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(engine) = &self.engine else { return };
        engine.flush();
        if self.sweep.take() {
            self.set_tick_period(FLUSH);
            open::sweep(engine);
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        match self.engine.as_ref().map(|engine| engine.policy().protocol()) {
            Some(Protocol::Tcp) => Some(ContextType::StreamContext),
            Some(Protocol::Http) | None => Some(ContextType::HttpContext),
        }
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(HttpRequest::new(self.engine.clone(), Ticket::of(context_id, Carries::Request))))
    }

    fn create_stream_context(&self, context_id: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::new(Connection::new(self.engine.clone(), Ticket::of(context_id, Carries::Connection))))
    }
}
