//! Who this workload is: joining, renewing, and what the control plane gives only to those who have joined.

mod kept;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use meshwright_ca::JoinToken;
use meshwright_ca::client::{self, ClientError, Credentials, ModuleDescription};

pub(crate) use self::kept::keep;
use crate::module::{Description, ModuleError, ModuleStore};
use crate::options::{JoinTokenSource, SidecarOptions};
use crate::renewal::{Life, random, retry};

/// A join token has about a hundred bytes, a JWT some thousand.
const LONGEST_TOKEN: u64 = 16 * 1024;
/// Said with every refusal of a token, because a restart is how most of them come about.
const ONCE: &str = "a join token works once and the private key is kept in memory only, so a restarted sidecar needs a new token";
/// Clocks are set and machines sleep: how long to trust a timer.
const LOOK_AT_THE_CLOCK: Duration = Duration::from_secs(30);

/// What was kept, while it is valid; else by joining.
pub(crate) async fn obtain(options: &SidecarOptions, kept: Option<&Path>) -> anyhow::Result<Credentials> {
    let unusable = match kept.map(kept::read) {
        Some(Ok(Some(credentials))) => {
            check_identity(&credentials, options)?;
            tracing::info!(identity = %credentials.identity(), "goes on with the identity that was kept");
            return Ok(credentials);
        }
        Some(Err(error)) => format!("the identity that was kept cannot be used: {error:#}"),
        Some(Ok(None)) | None => "no identity is kept".to_owned(),
    };
    if matches!(options.join_token, JoinTokenSource::Absent) {
        anyhow::bail!("{unusable}, and there is no join token: name a file with --token-file, or set {}", crate::JOIN_TOKEN_VARIABLE);
    }
    let credentials = join(options).await?;
    if let Some(path) = kept {
        keep(path, &credentials);
    }
    Ok(credentials)
}

/// Reads the token and exchanges it for a certificate; waits for a control plane that is not there yet.
async fn join(options: &SidecarOptions) -> anyhow::Result<Credentials> {
    let proof = Proof::read(options)?;
    let address = options.control_plane.to_string();
    let credentials = with_retries(options.startup_timeout, || proof.join(&address)).await;
    let credentials = credentials.map_err(|error| {
        let refused = matches!(error, ClientError::Refused { .. });
        let error = anyhow::Error::new(error);
        if refused { error.context(format!("this sidecar cannot join: {ONCE}")) } else { error.context("this sidecar cannot join") }
    })?;
    check_identity(&credentials, options)?;
    tracing::info!(identity = %credentials.identity(), "joined the mesh");
    Ok(credentials)
}

/// By what this workload shows who it is.
enum Proof {
    Token(JoinToken),
    Jwt { jwt: String, roots_pem: String },
}

impl Proof {
    fn read(options: &SidecarOptions) -> anyhow::Result<Self> {
        let (text, whence) = match &options.join_token {
            JoinTokenSource::Text(text) => (text.clone(), format!("in {}", crate::JOIN_TOKEN_VARIABLE)),
            JoinTokenSource::File(path) => (read_file(path)?, format!("in `{}`", path.display())),
            JoinTokenSource::Absent => anyhow::bail!("there is no join token"),
        };
        match &options.trust_bundle {
            None => Ok(Self::Token(JoinToken::parse(&text).with_context(|| format!("there is no join token {whence}"))?)),
            Some(roots) => {
                let unreadable = || format!("the trust bundle `{}` cannot be read", roots.display());
                Ok(Self::Jwt { jwt: text.trim().to_owned(), roots_pem: std::fs::read_to_string(roots).with_context(unreadable)? })
            }
        }
    }

    async fn join(&self, address: &str) -> Result<Credentials, ClientError> {
        match self {
            Self::Token(token) => client::join(address, token, SystemTime::now()).await,
            Self::Jwt { jwt, roots_pem } => client::join_with_jwt(address, jwt, roots_pem, SystemTime::now()).await,
        }
    }
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
    options: SidecarOptions,
    mut current: Arc<Credentials>,
    publish: impl Fn(&Arc<Credentials>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    loop {
        // From now, not from `notBefore`, which lies in the past to allow for clocks that differ.
        let life = Life { from: SystemTime::now(), until: current.not_after() };
        sleep_until(life.renew_at(random())).await;
        current = Arc::new(renew(&options, &current, life).await);
        publish(&current)?;
        tracing::info!(valid_for = ?current.not_after().duration_since(SystemTime::now()).unwrap_or_default(), "certificate renewed");
    }
}

async fn renew(options: &SidecarOptions, current: &Credentials, life: Life) -> Credentials {
    let address = options.control_plane.to_string();
    let ask = || async {
        match client::renew(&address, current, SystemTime::now()).await {
            // Too late for that. Somebody may have put a new token there, and a projected one is renewed by itself.
            Err(ClientError::Expired { .. }) => rejoin(options, &address).await,
            answer => answer.map_err(anyhow::Error::new),
        }
    };
    retry::until_it_succeeds(life, SystemTime::now, tokio::time::sleep, ask).await
}

async fn rejoin(options: &SidecarOptions, address: &str) -> anyhow::Result<Credentials> {
    let joined = Proof::read(options)?.join(address).await?;
    check_identity(&joined, options)?;
    tracing::info!(identity = %joined.identity(), "joined the mesh again");
    Ok(joined)
}

pub(crate) async fn sleep_until(time: SystemTime) {
    while let Ok(left) = time.duration_since(SystemTime::now())
        && !left.is_zero()
    {
        tokio::time::sleep(left.min(LOOK_AT_THE_CLOCK)).await;
    }
}
