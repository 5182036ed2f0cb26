use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use meshwright_policy::wire::Protocol;
use meshwright_policy::{InvalidPolicy, Policy};
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

thread_local! {
    /// The last of each protocol. A new configuration comes to a new root context of the same VM, while the one of before still serves: most
    /// of what is compiled there is used again.
    static LAST: RefCell<Vec<Weak<Engine>>> = RefCell::default();
}

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
        match compiled(configuration) {
            Ok(policy) => {
                let engine = Rc::new(Engine::new(policy, HostCrypto::default()));
                remember(&engine);
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

/// Everything of the engines of before that this configuration has too is used again.
#[inline(never)]
fn compiled(configuration: Vec<u8>) -> Result<Policy, InvalidPolicy> {
    let last: Vec<Rc<Engine>> = LAST.with_borrow(|last| last.iter().filter_map(Weak::upgrade).collect());
    let policies: Vec<&Policy> = last.iter().map(|engine| engine.policy()).collect();
    Policy::from_json_after(configuration, &policies)
}

/// In the place of the one of its protocol.
#[inline(never)]
fn remember(engine: &Rc<Engine>) {
    let is_other = |last: &Weak<Engine>| last.upgrade().is_some_and(|last| last.policy().protocol() != engine.policy().protocol());
    LAST.with_borrow_mut(|last| {
        last.retain(is_other);
        last.push(Rc::downgrade(engine));
    });
}
