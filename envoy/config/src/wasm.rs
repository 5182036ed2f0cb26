//! The filter module's two roles as Envoy plugins.

use std::time::Duration;

use envoy_types::pb::envoy::config::accesslog::v3::{AccessLog, access_log};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::access_loggers::wasm::v3::WasmAccessLog;
use envoy_types::pb::envoy::extensions::filters::{http, network};
use envoy_types::pb::envoy::extensions::wasm::v3 as pb;
use envoy_types::pb::google::protobuf::StringValue;

use crate::well_known::{duration, pack};

/// The VM of both roles: a second one would be a fifth of what the module adds to a proxy's memory. If a role traps, both are started anew.
const VM_ID: &str = "meshwright";

/// A role of the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Fails closed: requests get 503 until its VM has been started anew.
    Authz,
    /// Without its VM nothing is logged; it shares [`Role::Authz`]'s, so that nothing passes meanwhile either.
    AccessLog,
}

/// One plugin. Equal plugins share a root context in every VM, so whatever can be equal should be.
#[derive(Debug, Clone)]
pub struct Plugin<'a> {
    pub role: Role,
    /// The verified module on the proxy's host.
    pub module: &'a str,
    /// JSON.
    pub configuration: String,
}

impl Plugin<'_> {
    /// An ECDS resource for [`crate::filter::discovered_http`].
    #[must_use]
    pub fn http_extension(&self, name: &str) -> core::TypedExtensionConfig {
        let config = http::wasm::v3::Wasm { config: Some(self.message(self.name())) };
        core::TypedExtensionConfig { name: name.to_owned(), typed_config: Some(pack(&config)) }
    }

    /// An ECDS resource for [`crate::filter::discovered_network`].
    #[must_use]
    pub fn network_extension(&self, name: &str) -> core::TypedExtensionConfig {
        let config = network::wasm::v3::Wasm { config: Some(self.message("meshwright.authz-tcp")) };
        core::TypedExtensionConfig { name: name.to_owned(), typed_config: Some(pack(&config)) }
    }

    /// An access logger.
    #[must_use]
    pub fn access_log(&self) -> AccessLog {
        let config = WasmAccessLog { config: Some(self.message(self.name())) };
        AccessLog {
            name: "envoy.access_loggers.wasm".to_owned(),
            config_type: Some(access_log::ConfigType::TypedConfig(pack(&config))),
            ..Default::default()
        }
    }

    fn name(&self) -> &'static str {
        match self.role {
            Role::Authz => "meshwright.authz",
            Role::AccessLog => "meshwright.access-log",
        }
    }

    fn message(&self, name: &str) -> pb::PluginConfig {
        let root_id = match self.role {
            Role::Authz => "authz",
            Role::AccessLog => "access-log",
        };
        let local =
            core::DataSource { specifier: Some(core::data_source::Specifier::Filename(self.module.to_owned())), ..Default::default() };
        pb::PluginConfig {
            name: name.to_owned(),
            root_id: root_id.to_owned(),
            configuration: Some(pack(&StringValue { value: self.configuration.clone() })),
            failure_policy: pb::FailurePolicy::FailReload.into(),
            reload_config: Some(reload()),
            vm: Some(pb::plugin_config::Vm::VmConfig(pb::VmConfig {
                vm_id: VM_ID.to_owned(),
                runtime: "envoy.wasm.runtime.v8".to_owned(),
                code: Some(core::AsyncDataSource { specifier: Some(core::async_data_source::Specifier::Local(local)) }),
                ..Default::default()
            })),
            ..Default::default()
        }
    }
}

/// At most one reload a second and thread, however many requests trap.
fn reload() -> pb::ReloadConfig {
    pb::ReloadConfig { backoff: Some(core::BackoffStrategy { base_interval: duration(Duration::from_secs(1)), max_interval: None }) }
}
