use std::sync::Arc;

use anyhow::Context as _;
use meshwright_envoy_config::{self as envoy_config, BootstrapParams, ControlPlaneAddress, bootstrap, names};
use tokio::sync::{mpsc, watch};

use crate::admin::Admin;
use crate::envoy_binary::{self, EnvoyBinary};
use crate::metadata::{node_metadata, utf8};
use crate::options::SidecarOptions;
use crate::sds::{self, Secrets};
use crate::signals::Signals;
use crate::state_dir::StateDir;
use crate::supervise::{Tasks, supervise};
use crate::unknown_keys::{UnknownKey, UnknownKeys};
use crate::workload_api::{self, Feed};
use crate::{expiry, identity, ports, unknown_keys};

/// How a sidecar ended when nothing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By a signal.
    Stopped,
    /// With its app, and this code of the app's (128 and the number of the signal, when a signal ended it).
    App(u8),
}

impl Ended {
    /// The code that this process should end with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::App(code) => code,
        }
    }
}

/// Runs the sidecar until a signal or its app ends it. Logs one line `sidecar ready` once the proxy takes traffic.
///
/// # Errors
/// When the workload cannot join, its proxy cannot be started or ends by itself; the proxy and the app are ended by then.
pub async fn run(options: SidecarOptions, mut signals: Signals) -> anyhow::Result<Ended> {
    options.check()?;
    let state = StateDir::open(&options.state_dir).await?;
    let path = std::env::var_os("PATH");
    let binary = envoy_binary::find(options.envoy.as_deref(), options.envoy_variable.as_deref(), path.as_deref())?;
    let binary = envoy_binary::check(binary).await?;
    tracing::info!(path = %binary.path.display(), "Envoy {}", binary.version);
    ports::check_free(&options)?;
    let mut tasks = Tasks::new();
    let (unknown_keys, reported) = UnknownKeys::channel();
    tokio::select! {
        prepared = prepare(&options, &state, &binary, reported, &mut tasks) => prepared?,
        _signal = signals.next() => return Ok(Ended::Stopped),
    }
    supervise(&options, &state, &binary, &state.bootstrap(), &mut tasks, unknown_keys, &mut signals).await
}

/// Everything that Envoy needs before it starts: identity, secrets on their socket, module, bootstrap.
async fn prepare(
    options: &SidecarOptions,
    state: &StateDir,
    binary: &EnvoyBinary,
    unknown_keys: mpsc::Receiver<UnknownKey>,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let feed = Feed::new();
    if let Some(workload_api) = &options.workload_api {
        tasks.spawn(workload_api::serve(workload_api, &feed).await?);
        tasks.spawn(workload_api::follow(Admin::new(state.admin_socket()), feed.clone()));
    }
    tasks.spawn(expiry::watch(Admin::new(state.admin_socket())));
    let kept = options.keep_identity.then(|| state.identity());
    let credentials = Arc::new(identity::obtain(options, kept.as_deref()).await?);
    feed.publish(&credentials)?;
    let (module_sha256, _path) = identity::module(options, &credentials, state.modules()).await?;
    let metadata = node_metadata(options, &state.modules(), module_sha256, binary.version.to_string())?;
    let bootstrap = bootstrap(&BootstrapParams {
        node_id: names::node_id(options.workload.namespace(), options.workload.name()),
        metadata,
        control_plane: ControlPlaneAddress { host: options.control_plane.host().to_owned(), port: options.control_plane.port() },
        control_plane_identity: credentials.control_plane_identity().clone(),
        sds_socket: utf8(&state.sds_socket())?,
        admin: envoy_config::Admin::UnixSocket(utf8(&state.admin_socket())?),
    });
    let path = state.bootstrap();
    meshwright_durable::replace(&path, format!("{bootstrap:#}\n").as_bytes())
        .with_context(|| format!("`{}` cannot be written", path.display()))?;
    let secrets = Secrets::new(&credentials)?;
    tasks.spawn(sds::serve(&state.sds_socket(), &secrets)?);
    let address = options.control_plane.to_string();
    let (newest, current) = watch::channel(Arc::clone(&credentials));
    tasks.spawn(unknown_keys::tell(address, current, unknown_keys));
    tasks.spawn(identity::keep_renewed(options.clone(), credentials, move |renewed| {
        newest.send_replace(Arc::clone(renewed));
        if let Some(path) = &kept {
            identity::keep(path, renewed);
        }
        feed.publish(renewed)?;
        secrets.publish(renewed)
    }));
    Ok(())
}
