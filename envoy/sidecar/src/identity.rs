//! Who this workload is: joining, renewing, and what the control plane gives only to those who have joined.

use std::hash::{BuildHasher as _, RandomState};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use meshwright_ca::JoinToken;
use meshwright_ca::client::{self, ClientError, Credentials, ModuleDescription};

use crate::module::{Description, ModuleError, ModuleStore};
use crate::options::{JoinTokenSource, SidecarOptions};
use crate::renewal::{Life, Urgency};

/// A token has about a hundred bytes.
const LONGEST_TOKEN: u64 = 4096;
/// Said with every refusal of a token, because a restart is how most of them come about.
const ONCE: &str = "a join token works once and the private key is kept in memory only, so a restarted sidecar needs a new token";
/// Clocks are set and machines sleep: how long to trust a timer.
const LOOK_AT_THE_CLOCK: Duration = Duration::from_secs(30);

/// Reads the token and exchanges it for a certificate; waits for a control plane that is not there yet.
pub(crate) async fn join(options: &SidecarOptions) -> anyhow::Result<Credentials> {
    let token = read_token(&options.join_token)?;
    let address = options.control_plane.to_string();
    let credentials = with_retries(options.startup_timeout, || client::join(&address, &token, SystemTime::now())).await;
    let credentials = credentials.map_err(|error| {
        let refused = matches!(error, ClientError::Refused { .. });
        let error = anyhow::Error::new(error);
        if refused { error.context(format!("this sidecar cannot join: {ONCE}")) } else { error.context("this sidecar cannot join") }
    })?;
    check_identity(&credentials, options)?;
    tracing::info!(identity = %credentials.identity(), "joined the mesh");
    Ok(credentials)
}

fn read_token(source: &JoinTokenSource) -> anyhow::Result<JoinToken> {
    let (text, whence) = match source {
        JoinTokenSource::Text(text) => (text.clone(), format!("in {}", crate::JOIN_TOKEN_VARIABLE)),
        JoinTokenSource::File(path) => (read_file(path)?, format!("in `{}`", path.display())),
    };
    JoinToken::parse(&text).with_context(|| format!("there is no join token {whence}"))
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    let unreadable = || format!("the join token file `{}` cannot be read", path.display());
    let mut text = String::new();
    std::fs::File::open(path).with_context(unreadable)?.take(LONGEST_TOKEN).read_to_string(&mut text).with_context(unreadable)?;
    Ok(text)
}

/// The control plane gives the configuration of the workload only to its own service account; here the mistake has a name.
fn check_identity(credentials: &Credentials, options: &SidecarOptions) -> anyhow::Result<()> {
    let wanted = (options.workload.namespace(), options.service_account.as_str());
    if credentials.identity().service_account() != Some(wanted) {
        let (namespace, account) = wanted;
        anyhow::bail!(
            "the join token is for `{}` and this sidecar is for the service account `{namespace}/{account}`; make a token for that one",
            credentials.identity()
        );
    }
    Ok(())
}

async fn with_retries<T, F>(deadline: Duration, call: impl Fn() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let (start, life) = (std::time::Instant::now(), Life { from: SystemTime::now(), until: SystemTime::now() + deadline });
    for failures in 1.. {
        match call().await {
            Err(error) if error.is_transient() && start.elapsed() < deadline => {
                tracing::warn!("{error}; trying again");
                tokio::time::sleep(life.retry_after(failures, SystemTime::now())).await;
            }
            result => return result,
        }
    }
    Err(ClientError::Timeout { address: String::new() })
}

/// Has the current filter module on disk, checked.
pub(crate) async fn module(options: &SidecarOptions, credentials: &Credentials, folder: PathBuf) -> anyhow::Result<(String, PathBuf)> {
    let address = options.control_plane.to_string();
    let answer = with_retries(options.startup_timeout, || client::current_module(&address, credentials, SystemTime::now())).await;
    let module = answer.context("the control plane does not say which filter module to load")?;
    let description = Description::new(&module.sha256, module.size)?;
    let path = ModuleStore::new(folder).ensure(&description, || fetch(&address, credentials, &module)).await?;
    tracing::info!(sha256 = description.sha256(), "the filter module is there and checked");
    Ok((description.sha256().to_owned(), path))
}

async fn fetch(address: &str, credentials: &Credentials, module: &ModuleDescription) -> Result<Vec<u8>, ModuleError> {
    match client::fetch_module(address, credentials, module, SystemTime::now()).await {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(ModuleError::Fetch(error.to_string())),
    }
}

/// Renews the certificate for ever and hands each new one to `publish`. The one in hand stays in use until then, however often it fails.
pub(crate) async fn keep_renewed(
    address: String,
    mut current: Arc<Credentials>,
    publish: impl Fn(&Arc<Credentials>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    loop {
        // From now, not from `notBefore`, which lies in the past to allow for clocks that differ.
        let life = Life { from: SystemTime::now(), until: current.not_after() };
        sleep_until(life.renew_at(RandomState::new().hash_one(()))).await;
        current = Arc::new(renew(&address, &current, life).await);
        publish(&current)?;
        tracing::info!(valid_for = ?current.not_after().duration_since(SystemTime::now()).unwrap_or_default(), "certificate renewed");
    }
}

async fn renew(address: &str, current: &Credentials, life: Life) -> Credentials {
    let mut failures: u32 = 0;
    loop {
        let error = match client::renew(address, current, SystemTime::now()).await {
            Ok(renewed) => return renewed,
            Err(error) => error,
        };
        failures = failures.saturating_add(1);
        let now = SystemTime::now();
        match life.urgency(now) {
            Urgency::Low => tracing::info!("the certificate is not renewed yet: {error}"),
            Urgency::High => tracing::warn!("the certificate is not renewed yet: {error}"),
            Urgency::Last => tracing::error!("the certificate ends soon and is not renewed: {error}"),
            Urgency::Expired => {
                tracing::error!("the certificate expired and peers refuse it: start this sidecar again with a new join token")
            }
        }
        tokio::time::sleep(life.retry_after(failures, now)).await;
    }
}

async fn sleep_until(time: SystemTime) {
    while let Ok(left) = time.duration_since(SystemTime::now())
        && !left.is_zero()
    {
        tokio::time::sleep(left.min(LOOK_AT_THE_CLOCK)).await;
    }
}
