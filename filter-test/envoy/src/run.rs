//! Runs cases: all of them at the same time in one Envoy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use meshwright_wasm_host::LogLevel;

use crate::case::{Case, Observed, Traffic};
use crate::config::{self, Place};
use crate::error::EnvoyError;
use crate::http1::Pace;
use crate::process::Process;
use crate::service::{Service, response_of};
use crate::{client, log, tcp};

/// How cases are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Envoy binary.
    pub envoy: PathBuf,
    /// From which level on filters' lines are logged.
    pub log_level: LogLevel,
    /// How long the pieces of a body are sent apart: on a busy machine Envoy may read two as one.
    pub pace: Duration,
}

/// The Envoy that is named, or `envoy` in a folder of `$PATH`.
///
/// # Errors
/// When there is none.
pub fn find(named: Option<&Path>) -> Result<PathBuf, EnvoyError> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join("envoy"));
    candidates.find(|candidate| candidate.is_file()).ok_or(EnvoyError::Missing)
}

/// The ends of one case, alive while it runs.
struct Ends {
    module: PathBuf,
    upstream: Upstream,
    services: Vec<Service>,
}

enum Upstream {
    Http(Service),
    Tcp(tcp::Upstream),
}

impl Ends {
    fn start(case: &Case, folder: &Path, index: usize, pace: Pace) -> Result<Self, EnvoyError> {
        let module = folder.join(format!("{index}.wasm"));
        std::fs::write(&module, &case.wasm).map_err(EnvoyError::io("a module cannot be written"))?;
        let upstream = match &case.traffic {
            Traffic::Http(exchange) | Traffic::AccessLog(exchange) => {
                Upstream::Http(Service::start(vec![exchange.reply.clone()], case.tls.clone(), pace)?)
            }
            Traffic::Tcp(_) => Upstream::Tcp(tcp::Upstream::start()?),
        };
        let services = case.clusters.iter().map(|cluster| {
            let replies = if cluster.replies.is_empty() { vec![response_of(200)] } else { cluster.replies.clone() };
            Service::start(replies, None, pace)
        });
        Ok(Self { module, upstream, services: services.collect::<Result<_, _>>()? })
    }

    fn place<'a>(&'a self, case: &'a Case, folder: &'a Path, index: usize) -> Place<'a> {
        let upstream = match &self.upstream {
            Upstream::Http(service) => service.address,
            Upstream::Tcp(upstream) => upstream.address,
        };
        Place {
            case,
            module: &self.module,
            upstream,
            services: self.services.iter().map(|service| service.address).collect(),
            folder,
            index,
        }
    }
}

/// Runs all cases, and says what was seen of each, in order: in one Envoy, and should that crash, in two with half of the cases each, until
/// the case that ends it is alone.
///
/// # Errors
/// When Envoy does not start, as with a plugin that refuses its configuration, or there are no files or sockets to be had.
pub fn run(cases: &[Case], options: &Options) -> Result<Vec<Observed>, EnvoyError> {
    let seen = together(cases, options)?;
    let crashed = seen.iter().any(|observed| observed.crash.is_some());
    match cases.split_at_checked(cases.len() / 2) {
        Some((first, second)) if crashed && !first.is_empty() => Ok([run(first, options)?, run(second, options)?].concat()),
        _ => Ok(seen),
    }
}

fn together(cases: &[Case], options: &Options) -> Result<Vec<Observed>, EnvoyError> {
    let folder = tempfile::Builder::new().prefix("filter-envoy-").tempdir().map_err(EnvoyError::io("no temporary folder can be made"))?;
    let folder = folder.path();
    let pace = Pace(options.pace);
    let ends = cases.iter().enumerate().map(|(index, case)| Ends::start(case, folder, index, pace)).collect::<Result<Vec<_>, _>>()?;
    let places: Vec<Place<'_>> = cases.iter().zip(&ends).enumerate().map(|(index, (case, ends))| ends.place(case, folder, index)).collect();
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let mut process = Process::start(&options.envoy, &config::bootstrap(&places, &base64), folder, options.log_level)?;
    let played: Vec<Result<Observed, EnvoyError>> = std::thread::scope(|scope| {
        let threads = places.iter().zip(&ends).map(|(place, ends)| {
            let address = process.listener(&place.listener_name());
            scope.spawn(move || match (&place.case.traffic, &ends.upstream, address) {
                (_, _, None) => Err(EnvoyError::NotStarted(format!("there is no listener `{}`", place.listener_name()))),
                (Traffic::Http(exchange) | Traffic::AccessLog(exchange), _, Some(address)) => {
                    client::play(address, place.case.tls.as_ref(), exchange, place.case.patience, pace)
                }
                (Traffic::Tcp(steps), Upstream::Tcp(upstream), Some(address)) => {
                    tcp::play(address, upstream, steps, pace).map(|tcp| Observed { tcp: Some(tcp), ..Observed::default() })
                }
                (Traffic::Tcp(_), Upstream::Http(_), Some(_)) => Ok(Observed::default()),
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let settled = process.settle();
    let crashed = (process.is_dead() || settled.is_err()).then(|| log::last_words(&process.log()));
    let log = process.log();
    cases
        .iter()
        .zip(&ends)
        .zip(played)
        .map(|((case, ends), played)| {
            let mut observed = match (played, &crashed) {
                (Ok(observed), _) => observed,
                (Err(_), Some(_)) => Observed::default(),
                (Err(error), None) => return Err(error),
            };
            observed.lines = log::lines_of(&log, &case.vm_id, process.id(), cases.len() == 1);
            observed.crash.clone_from(&crashed);
            if let Upstream::Http(service) = &ends.upstream {
                observed.upstream = service.seen().into_iter().next();
            }
            for (cluster, service) in case.clusters.iter().zip(&ends.services) {
                observed.calls.extend(service.seen().into_iter().map(|call| (cluster.name.clone(), call)));
            }
            Ok(observed)
        })
        .collect()
}
