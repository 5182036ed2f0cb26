//! The policy and the access log of one proxy, as plugins of the filter module.

use std::collections::HashMap;
use std::sync::Arc;

use meshwright_config::{KeySets, KeySource};
use meshwright_envoy_config::pb::envoy::config::accesslog::v3::AccessLog;
use meshwright_envoy_config::wasm::{Plugin, Role};
use meshwright_policy::{NO_KEYS, wire};
use meshwright_xds::ResourceType;
use sha2::{Digest as _, Sha256};

use crate::TranslateError;
use crate::names;
use crate::proxy::View;
use crate::resources::Resources;

/// The same for every listener of the proxy, so that all of them share one plugin in each VM.
#[derive(Debug)]
pub(crate) struct Plugins {
    module: String,
    http: Arc<str>,
    tcp: Arc<str>,
    log: wire::AccessLogConfig,
}

/// Policies of one state that are written already: workloads for which the same documents hold have the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policies(HashMap<Documents, [Arc<str>; 2]>);

/// Where AuthorizationPolicies and RequestAuthentications are in the state, and where a certificate is needed.
type Documents = (Vec<usize>, Vec<usize>, wire::MutualTls);

impl Policies {
    /// For HTTP and for TCP. A document is known by where it is in the state, of which there must be but one.
    fn of(&mut self, view: &View<'_>, key_sets: &KeySets) -> Result<[Arc<str>; 2], TranslateError> {
        fn place<T>(document: &T) -> usize {
            std::ptr::from_ref(document).addr()
        }
        let authorization = view.state.authorization_for(view.workload).into_iter().map(place).collect();
        let tokens = view.state.request_authentication_for(view.workload).into_iter().map(place).collect();
        let key = (authorization, tokens, view.state.mutual_tls(view.workload));
        if let Some(known) = self.0.get(&key) {
            return Ok(known.clone());
        }
        let made = |protocol| policy(view, key_sets, protocol, key.2.clone()).map(Arc::from);
        let made = [made(wire::Protocol::Http)?, made(wire::Protocol::Tcp)?];
        Ok(self.0.entry(key).or_insert(made).clone())
    }
}

impl Plugins {
    pub(crate) fn new(view: &View<'_>, key_sets: &KeySets) -> Result<Self, TranslateError> {
        Self::shared(view, key_sets, &mut Policies::default())
    }

    pub(crate) fn shared(view: &View<'_>, key_sets: &KeySets, policies: &mut Policies) -> Result<Self, TranslateError> {
        let [http, tcp] = policies.of(view, key_sets)?;
        let principal = view.callers().identity(view.namespace(), view.workload.service_account())?;
        Ok(Self {
            module: view.metadata.module_path(),
            http,
            tcp,
            log: wire::AccessLogConfig {
                version: wire::VERSION,
                direction: wire::Direction::Inbound,
                protocol: wire::Protocol::Http,
                namespace: view.namespace().to_owned(),
                workload: view.workload.name().to_owned(),
                service: None,
                principal: principal.to_string(),
                trust_domain: view.mesh.trust_domain().to_string(),
            },
        })
    }

    /// `service`: the host that is called, where the listener knows it.
    pub(crate) fn access_log(
        &self,
        direction: wire::Direction,
        protocol: wire::Protocol,
        service: Option<&str>,
    ) -> Result<AccessLog, TranslateError> {
        let config = wire::AccessLogConfig { direction, protocol, service: service.map(str::to_owned), ..self.log.clone() };
        let plugin = Plugin { role: Role::AccessLog, module: &self.module, configuration: serde_json::to_string(&config)? };
        Ok(plugin.access_log())
    }

    /// One policy without its proxy, and without where it needs certificates: who asks it knows what a listener would have taken.
    pub(crate) fn policy_alone(view: &View<'_>, key_sets: &KeySets, protocol: wire::Protocol) -> Result<String, TranslateError> {
        policy(view, key_sets, protocol, wire::MutualTls::default())
    }

    /// The policies that listeners wait for.
    pub(crate) fn add_used(&self, resources: &mut Resources) {
        let plugin =
            |configuration: &Arc<str>| Plugin { role: Role::Authz, module: &self.module, configuration: configuration.to_string() };
        if resources.is_needed(ResourceType::ExtensionConfig, names::HTTP_POLICY) {
            resources.extension(&plugin(&self.http).http_extension(names::HTTP_POLICY));
        }
        if resources.is_needed(ResourceType::ExtensionConfig, names::TCP_POLICY) {
            resources.extension(&plugin(&self.tcp).network_extension(names::TCP_POLICY));
        }
    }
}

/// Also without any policy: the filter then allows, and says so in the access log.
fn policy(view: &View<'_>, key_sets: &KeySets, protocol: wire::Protocol, mutual_tls: wire::MutualTls) -> Result<String, TranslateError> {
    let authorization = view.state.authorization_for(view.workload).into_iter().map(|policy| policy.wire().clone());
    let request_authentication =
        view.state.request_authentication_for(view.workload).into_iter().map(|document| with_keys(document.wire(), key_sets));
    let mut config = wire::AuthzConfig {
        version: wire::VERSION,
        protocol,
        // Wherever a policy decides about requests, `access_log` is what logs them.
        log_in_vm: protocol == wire::Protocol::Http,
        trust_domain: view.mesh.trust_domain().to_string(),
        policy_version: String::new(),
        trust_domain_aliases: view.mesh.trust_domain_aliases().iter().map(ToString::to_string).collect(),
        denied_peers: view.state.denied_peers(),
        mutual_tls,
        request_authentication: request_authentication.collect(),
        authorization: authorization.collect(),
    };
    config.policy_version = version(&serde_json::to_vec(&config)?);
    Ok(serde_json::to_string(&config)?)
}

/// The same policies have the same version, whenever and wherever they are translated.
fn version(config: &[u8]) -> String {
    const BYTES: usize = 6;
    Sha256::digest(config).iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// The module fetches nothing: it is given every key. A rule whose keys nobody has yet refuses its tokens.
fn with_keys(document: &wire::RequestAuthentication, key_sets: &KeySets) -> wire::RequestAuthentication {
    let mut document = document.clone();
    for rule in &mut document.jwt_rules {
        if let Some(source) = KeySource::of(rule) {
            let keys = key_sets.get(&source).map_or(NO_KEYS, String::as_str).to_owned();
            *rule = wire::JwtRule { jwks: Some(keys), jwks_uri: None, timeout: None, ..std::mem::take(rule) };
        }
    }
    document
}
