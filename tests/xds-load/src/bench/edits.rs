//! Edits at a steady rate, and how long each takes to every client.

use std::collections::BTreeMap;
use std::time::Duration;

use meshwright_workloads::{PolicyEdit, Service, marker_address, policy_marker, policy_yaml, route_marker};
use tokio::time::{Instant, sleep_until};

use super::mesh::Written;
use super::server::Server;
use crate::marks::MarkId;
use crate::stats::{Counts, percentile};
use crate::swarm::Swarm;

/// An edit that has not arrived everywhere by then has not arrived.
const LONGEST: Duration = Duration::from_secs(10);

/// What a series of edits has come to.
pub(crate) struct Convergence {
    pub(crate) edits: usize,
    /// From the save to the ACK, one for each edit and client.
    latencies: Vec<Duration>,
    /// How many there should be.
    pub(crate) expected: usize,
    pub(crate) cpu: Duration,
    pub(crate) received: Counts,
}

impl Convergence {
    pub(crate) fn milliseconds(&self, percent: usize) -> f64 {
        percentile(&self.latencies, percent).as_secs_f64() * 1000.0
    }

    /// Clients that have not got an edit.
    pub(crate) fn missing(&self) -> usize {
        self.expected.saturating_sub(self.latencies.len())
    }

    pub(crate) fn cpu_microseconds_per_push(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(self.received.messages.max(1)).unwrap_or(u32::MAX))
    }
}

/// One kind of edit; each is given a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Edit {
    /// Another service each time gets an endpoint, or another address of it.
    Flip,
    /// As many endpoints of the last service at once are replaced.
    Roll(usize),
    Route,
    Policy,
}

/// What is edited, by whom it is seen, and the number of the next edit.
pub(crate) struct Editor<'a> {
    pub(crate) written: &'a Written,
    pub(crate) swarm: &'a Swarm,
    pub(crate) server: &'a Server,
    next: usize,
    /// The newest edit of each kind in each file.
    newest: BTreeMap<(String, Edit), Newest>,
}

/// An edit that is in its file.
#[derive(Debug, Clone, Copy)]
struct Newest {
    sequence: usize,
    mark: MarkId,
}

impl<'a> Editor<'a> {
    /// `next` is the number of the first edit.
    pub(crate) fn new(written: &'a Written, swarm: &'a Swarm, server: &'a Server, next: usize) -> Self {
        Self { written, swarm, server, next, newest: BTreeMap::new() }
    }

    /// `edits` at this interval, which alternate where there are several kinds with their shares.
    pub(crate) async fn run(&mut self, kinds: &[(Edit, usize)], edits: usize, interval: Duration) -> anyhow::Result<Convergence> {
        let (before, spent) = (self.swarm.counts(), self.server.usage()?.cpu);
        let began = Instant::now();
        let mut marks = Vec::new();
        for index in 0..edits {
            sleep_until(began + interval * u32::try_from(index).unwrap_or(u32::MAX)).await;
            for (kind, each) in kinds {
                if index.checked_rem(*each) == Some(0) {
                    marks.push(self.save(*kind)?);
                }
            }
        }
        let mut latencies = Vec::new();
        for (mark, told) in &marks {
            latencies.extend(self.swarm.arrived(*mark, *told, LONGEST).await);
        }
        let cpu = self.server.usage()?.cpu.saturating_sub(spent);
        let expected = marks.iter().map(|(_, told)| told).sum();
        Ok(Convergence { edits: marks.len(), latencies, expected, cpu, received: self.swarm.counts().since(&before) })
    }

    /// Its mark, and how many clients see it.
    fn save(&mut self, edit: Edit) -> anyhow::Result<(MarkId, usize)> {
        let sequence = self.next;
        self.next = self.next.saturating_add(1);
        let mut told = self.swarm.size();
        let (file, text, mark) = match edit {
            Edit::Flip => {
                let service = self.written.service(sequence)?;
                told = self.written.mesh.told(service);
                (service.file(), self.text(service, Some(sequence), None), marker_address(sequence))
            }
            Edit::Roll(at_once) => {
                let last = self.written.mesh.services().len().saturating_sub(1);
                let addresses: Vec<String> = (0..at_once).map(|place| marker_address(sequence.saturating_add(place))).collect();
                self.next = self.next.saturating_add(at_once);
                let (service, mark) = (self.written.service(last)?, addresses.first().cloned().unwrap_or_default());
                (service.file(), service.yaml(self.written.scoped(), Some(&addresses)), mark)
            }
            Edit::Route => {
                let service = self.written.service(0)?;
                (service.file(), self.text(service, None, Some(sequence)), route_marker(sequence))
            }
            Edit::Policy => {
                let edit = PolicyEdit { sequence, annotation: 0 };
                (meshwright_workloads::POLICY_FILE.to_owned(), policy_yaml(edit), policy_marker(sequence))
            }
        };
        let of = (file.clone(), edit);
        let mark = self.swarm.mark(&mark, self.newest.get(&of).map(|newest| newest.mark));
        self.newest.insert(of, Newest { sequence, mark });
        self.written.save(&file, &text)?;
        Ok((mark, told))
    }

    /// A service with one edit more: what other kinds of edits have made of it stays.
    fn text(&self, service: &Service, flip: Option<usize>, route: Option<usize>) -> String {
        let newest = |edit| self.newest.get(&(service.file(), edit)).map(|newest| newest.sequence);
        let (flip, route) = (flip.or_else(|| newest(Edit::Flip)), route.or_else(|| newest(Edit::Route)));
        let service = route.map_or_else(|| service.clone(), |sequence| service.routed(sequence));
        match flip {
            Some(sequence) => service.yaml_with(self.written.scoped(), &marker_address(sequence)),
            None => service.yaml(self.written.scoped(), None),
        }
    }
}
