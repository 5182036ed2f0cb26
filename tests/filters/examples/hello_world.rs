//! Greets when its VM starts, and says the time and something random on every tick.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use log::info;
use proxy_wasm::traits::{Context, RootContext};
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(HelloWorld));
}}

struct HelloWorld;

impl Context for HelloWorld {}

impl RootContext for HelloWorld {
    fn on_vm_start(&mut self, _: usize) -> bool {
        info!("Hello, World!");
        self.set_tick_period(Duration::from_secs(5));
        true
    }

    fn on_tick(&mut self) {
        let since_epoch = self.get_current_time().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
        info!("It is {since_epoch}, your lucky number is {}.", RandomState::new().hash_one(since_epoch) % 100);
    }
}
