use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use axum::Router;
use meshwright_ca::{
    AuditLog, Authority, AuthorityOptions, IdentityOptions, MAX_LEAF_TTL, MIN_LEAF_TTL, ServerCertificate, TokenStore, UnknownKeys,
    identity_service, key_service, server_tls_config,
};
use meshwright_config::{FetchedBundles, KeySets};
use meshwright_federation::{FederatedBundles, Federation, Publication};
use meshwright_jwks::{Fetcher, Keys};
use meshwright_sources::{DirectorySource, Loaded};
use meshwright_xds::{Limits, discovery_routes};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;

use crate::admin::{self, Access, Admin};
use crate::board::Board;
use crate::bundle_endpoint::{self, Shown};
use crate::connections::{self, Lifetimes, Protection};
use crate::credentials;
use crate::denials::Denials;
use crate::lineage::Lineage;
use crate::metrics::Metrics;
use crate::module::Module;
use crate::options::{Ready, ServerOptions};
use crate::pacing::{self, loses_endpoints};
use crate::publisher::{Facts, Publisher};
use crate::service::Snapshots;
use crate::trust::{self, Trust};

/// In the data directory.
const LAST_GOOD: &str = "documents.jsonl";
/// How often it is looked whether an entry of a deny list has ended, while there is one that will.
const LOOK: Duration = Duration::from_secs(30);
/// In the data directory.
const LINEAGE: &str = "states";

/// Runs until `stop` completes. `announce` is called once, when everything is served.
///
/// # Errors
/// When the configuration, the data directory, the module or an address cannot be used; or when a part ends early.
pub async fn run(options: ServerOptions, stop: impl Future<Output = ()>, announce: &dyn Fn(Ready)) -> anyhow::Result<()> {
    let access = Access::new(options.admin, options.admin_token_file.as_deref(), &options.admin_identities)?;
    let source = DirectorySource::open(&options.config_dir, options.guard, &options.data_dir.join(LAST_GOOD))?;
    let documents = source.subscribe();
    let loaded = Arc::clone(&documents.borrow());
    let module = Module::read(&options.module)?;
    let now = SystemTime::now();
    let mesh = loaded.state().mesh().context("the configuration has no Mesh document")?;
    access.check_trust_domain(mesh.trust_domain())?;
    let kept = authority_options(&options);
    let authority = Arc::new(Authority::open_with(&options.data_dir, mesh.trust_domain(), mesh.root_namespace(), kept, now)?);
    let tokens = TokenStore::open(&options.data_dir)?;
    let (tls, certificate) = server_tls_config(&authority, now)?;

    let xds = bind(options.listen).await?;
    let admin = bind(options.admin).await?;
    let plaintext = bind_if(plaintext_address(&options)?).await?;
    let bundle = bundle_endpoint(&options, &authority, &certificate, now).await?;
    let served = bundle.as_ref().map(|bundle| bundle.listener.local_addr()).transpose()?;
    let ready = Ready { xds: xds.local_addr()?, admin: admin.local_addr()?, bundle_endpoint: served };

    let lineage = Arc::new(Lineage::open(&options.data_dir.join(LINEAGE))?);
    let (fetcher, keys) = Fetcher::open(&options.data_dir, loaded.state())?;
    let (federation, federated) = Federation::open(&options.data_dir, loaded.state())?;
    let board = Arc::new(Board::new(Metrics::new(keys.clone(), federated.clone(), Arc::clone(&authority), documents.clone())));
    let facts = facts(&authority, mesh.root_namespace(), &module);
    let roots = authority.trust_bundle_pem();
    let publisher =
        Publisher::new(Arc::clone(&board), roots, keys.clone(), federated.clone(), facts, documents.clone(), Arc::clone(&lineage));
    let publisher = Arc::new(publisher);
    let audit = audit_log(&options)?;
    let denials = Arc::new(Denials::new(publisher.in_force(), Arc::clone(&audit)));
    let (domain, open) = (authority.trust_domain().clone(), Arc::clone(&denials));
    let snapshots =
        Snapshots { publisher: Arc::clone(&publisher), board: Arc::clone(&board), trust_domain: domain, lineage, denials: open };
    let discovery = discovery_routes(&Arc::new(snapshots), Limits::default());
    let module = meshwright_ca::Module { sha256: module.sha256().to_owned(), bytes: module.bytes().clone() };
    let service = identity_service(Arc::clone(&authority), tokens.clone(), module, identity_options(&options, audit, Arc::clone(&denials)));

    let (stopping, stopped) = watch::channel(false);
    let mut parts = JoinSet::new();
    let reports = key_service(Arc::clone(&authority), Arc::new(SystemTime::now), Reports(keys.clone()));
    let routes = discovery.clone().add_service(service).add_service(reports);
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let protection = Protection::Tls(acceptor.clone());
    parts.spawn(connections::serve(xds, protection, routes, stopped.clone(), Lifetimes::default()));
    if let Some(listener) = plaintext {
        tracing::warn!(address = ?options.insecure_plaintext_xds, "ADS is also served without TLS, to anybody on this machine");
        parts.spawn(connections::serve(listener, Protection::Plaintext, discovery, stopped.clone(), Lifetimes::default()));
    }
    let publication = bundle.map(|bundle| bundle.serve(&mut parts, &stopped)).transpose()?;
    let trust = Trust { authority, board: Arc::clone(&board), publication };
    let admin_api =
        admin::router(Admin { board, publisher: Arc::clone(&publisher), source: source.handle(), trust: trust.clone(), denials }, &access);
    parts.spawn(serve_admin(admin, access.needs_tls(ready.admin).then_some(acceptor), admin_api, stopped.clone()));
    parts.spawn(until_stopped(source.run(), stopped.clone()));
    let fetching = fetching((fetcher, keys), (federation, federated), Arc::clone(&publisher));
    parts.spawn(until_stopped(fetching, stopped.clone()));
    parts.spawn(until_stopped(trust::keep(trust, Arc::clone(&publisher), certificate, tokens), stopped.clone()));
    parts.spawn(until_stopped(follow(documents, publisher), stopped));
    announce(ready);
    let outcome = tokio::select! {
        () = stop => Ok(()),
        ended = parts.join_next() => Err(anyhow::anyhow!("a part of the control plane ended early: {ended:?}")),
    };
    tracing::info!("shutting down");
    stopping.send_replace(true);
    while parts.join_next().await.is_some() {}
    outcome
}

fn authority_options(options: &ServerOptions) -> AuthorityOptions {
    AuthorityOptions {
        passphrase: options.passphrase.clone(),
        algorithm: options.ca_key_algorithm,
        leaf_ttl: options.certificate_ttl.clamp(MIN_LEAF_TTL, MAX_LEAF_TTL),
    }
}

fn audit_log(options: &ServerOptions) -> anyhow::Result<Arc<AuditLog>> {
    let audit = AuditLog::open(&options.data_dir).context("the audit log in the data directory cannot be written")?;
    Ok(Arc::new(audit))
}

fn identity_options(options: &ServerOptions, audit: Arc<AuditLog>, denials: Arc<Denials>) -> IdentityOptions {
    IdentityOptions {
        jwt: options.jwt.clone(),
        rates: options.rates,
        audit: Some(audit),
        denied: Some(denials),
        ..IdentityOptions::new(options.certificate_ttl, Arc::new(SystemTime::now))
    }
}

/// The bundle endpoint, before it serves.
struct BundleEndpoint {
    listener: TcpListener,
    publication: Arc<Publication>,
    shown: Shown,
}

async fn bundle_endpoint(
    options: &ServerOptions,
    authority: &Authority,
    certificate: &Arc<ServerCertificate>,
    now: SystemTime,
) -> anyhow::Result<Option<BundleEndpoint>> {
    let Some(wanted) = &options.bundle_endpoint else { return Ok(None) };
    let hint = bundle_endpoint::refresh_hint(authority);
    let publication = Publication::open(&options.data_dir, authority.trust_domain(), authority.roots(), hint, now)?;
    let shown = Shown::new(wanted.web.as_ref(), certificate)?;
    Ok(Some(BundleEndpoint { listener: bind(wanted.address).await?, publication: Arc::new(publication), shown }))
}

impl BundleEndpoint {
    fn serve(self, parts: &mut JoinSet<()>, stopped: &watch::Receiver<bool>) -> anyhow::Result<Arc<Publication>> {
        let protection = Protection::AnyHttp(self.shown.acceptor()?);
        let routes = Routes::from(bundle_endpoint::router(Arc::clone(&self.publication)));
        parts.spawn(connections::serve(self.listener, protection, routes, stopped.clone(), Lifetimes::default()));
        parts.spawn(until_stopped(self.shown.keep(), stopped.clone()));
        Ok(self.publication)
    }
}

fn facts(authority: &Authority, root_namespace: &str, module: &Module) -> Facts {
    Facts {
        trust_domain: authority.trust_domain().to_string(),
        root_namespace: root_namespace.to_owned(),
        root_expires: meshwright_ca::utc(authority.expiries().0),
        root_fingerprint: authority.root_fingerprint().to_string(),
        module_sha256: module.sha256().to_owned(),
    }
}

/// What sidecars report goes to the fetcher.
struct Reports(Keys);

impl UnknownKeys for Reports {
    fn unknown_key(&self, issuer: String, kid: String) {
        self.0.unknown_key(issuer, kid);
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            return anyhow::anyhow!("`{address}` is in use by another process; choose another address");
        }
        anyhow::anyhow!("`{address}` cannot be listened on: {error}")
    })
}

async fn bind_if(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    match address {
        Some(address) => Ok(Some(bind(address).await?)),
        None => Ok(None),
    }
}

/// Ends `part` where it stands when the control plane stops: requests that wait for proxies must not keep the process.
async fn until_stopped(part: impl Future<Output = ()>, mut stopped: watch::Receiver<bool>) {
    tokio::select! {
        () = part => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

fn plaintext_address(options: &ServerOptions) -> anyhow::Result<Option<SocketAddr>> {
    if let Some(address) = options.insecure_plaintext_xds {
        anyhow::ensure!(address.ip().is_loopback(), "`{address}` is served without TLS: a loopback address is allowed");
    }
    Ok(options.insecure_plaintext_xds)
}

/// In plaintext to this machine alone, and where nobody shows a certificate.
async fn serve_admin(listener: TcpListener, tls: Option<TlsAcceptor>, routes: Router, stopped: watch::Receiver<bool>) {
    if let Some(tls) = tls {
        return connections::serve(listener, Protection::AnyHttp(tls), Routes::from(routes), stopped, Lifetimes::default()).await;
    }
    let served = async {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the admin API ended");
        }
    };
    until_stopped(served, stopped).await;
}

/// Publishes each new state of the documents, and what becomes of it by the time; tells of certificates in them that end.
async fn follow(documents: watch::Receiver<Arc<Loaded>>, publisher: Arc<Publisher>) {
    let is_urgent = |newest: &Arc<Loaded>| {
        let old = publisher.loaded();
        loses_endpoints(old.in_force(), newest.in_force()) || old.state().deny_lists() != newest.state().deny_lists()
    };
    tokio::select! {
        () = credentials::watch(documents.clone()) => {}
        () = pacing::follow(documents, is_urgent, || publisher.publish()) => {}
        () = end_denials(&publisher) => {}
    }
    tracing::error!("the configuration directory is not watched any more");
}

/// Takes entries of deny lists out when their time is over.
async fn end_denials(publisher: &Publisher) {
    let mut in_force = publisher.in_force();
    loop {
        in_force.mark_unchanged();
        // Not all of it at once: the clock may be set meanwhile.
        let wait = publisher.until_end_of_denial().map(|wait| wait.min(LOOK));
        let over = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = in_force.changed() => if changed.is_err() { return },
            () = over => publisher.end_denials(),
        }
    }
}

/// What comes from other servers.
async fn fetching(keys: (Fetcher, Keys), bundles: (Federation, FederatedBundles), publisher: Arc<Publisher>) {
    let ((fetcher, keys), (federation, federated)) = (keys, bundles);
    let (sets, bundles) = (keys.key_sets(), federated.bundles());
    tokio::join!(fetcher.run(), federation.run(), follow_keys(sets, Arc::clone(&publisher)), follow_bundles(bundles, publisher));
}

/// Publishes each change of other trust domains' bundles.
async fn follow_bundles(mut bundles: watch::Receiver<Arc<FetchedBundles>>, publisher: Arc<Publisher>) {
    // The publisher has begun with those that were there.
    while bundles.changed().await.is_ok() {
        let newest = Arc::clone(&bundles.borrow_and_update());
        publisher.publish_foreign_bundles(newest);
    }
}

/// Publishes each change of the fetched keys.
async fn follow_keys(mut key_sets: watch::Receiver<Arc<KeySets>>, publisher: Arc<Publisher>) {
    // The publisher has begun with those that were there.
    while key_sets.changed().await.is_ok() {
        let newest = Arc::clone(&key_sets.borrow_and_update());
        publisher.publish_keys(newest);
    }
}
