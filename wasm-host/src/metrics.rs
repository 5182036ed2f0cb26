//! Metrics that a module defines. As in Envoy 1.40, the kind is in the low two bits of an id, and defining a name again gives a new id for
//! the same statistic.

use std::collections::BTreeMap;

use crate::abi::{MetricType, Status};
use crate::report::Metric;

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counters: Vec<String>,
    gauges: Vec<String>,
    histograms: Vec<String>,
    /// A name can be of several kinds, which are statistics of their own.
    stats: BTreeMap<(String, u32), Metric>,
}

impl Metrics {
    pub(crate) fn define(&mut self, kind: MetricType, name: String) -> Result<u32, Status> {
        let low_bits = low_bits(kind);
        self.stats.entry((name.clone(), low_bits)).or_insert_with(|| Metric { kind, value: 0, records: Vec::new() });
        let names = match kind {
            MetricType::Counter => &mut self.counters,
            MetricType::Gauge => &mut self.gauges,
            MetricType::Histogram => &mut self.histograms,
        };
        names.push(name);
        let index = u32::try_from(names.len()).map_err(|_| Status::InternalFailure)?;
        Ok(index << 2 | low_bits)
    }

    /// Statistics outlive the VM that defined them; ids do not.
    pub(crate) fn keep_values_of(&mut self, before: Self) {
        for (name, mut metric) in before.stats {
            if let Some(new) = self.stats.get(&name) {
                metric.value = metric.value.saturating_add(new.value);
                metric.records.extend(&new.records);
            }
            self.stats.insert(name, metric);
        }
    }

    pub(crate) fn get(&mut self, id: u32) -> Result<i64, Status> {
        has_value(id)?;
        let metric = self.find(id)?;
        match metric.kind {
            MetricType::Counter | MetricType::Gauge => Ok(metric.value),
            MetricType::Histogram => Err(Status::BadArgument),
        }
    }

    pub(crate) fn increment(&mut self, id: u32, offset: i64) -> Result<(), Status> {
        has_value(id)?;
        let metric = self.find(id)?;
        match metric.kind {
            MetricType::Counter if offset <= 0 => Err(Status::BadArgument),
            MetricType::Histogram => Err(Status::BadArgument),
            MetricType::Counter | MetricType::Gauge => {
                metric.value = metric.value.wrapping_add(offset);
                Ok(())
            }
        }
    }

    /// A counter is added to, a gauge is set.
    pub(crate) fn record(&mut self, id: u32, value: u64) -> Result<(), Status> {
        let metric = self.find(id)?;
        match metric.kind {
            MetricType::Counter => metric.value = metric.value.wrapping_add(value.cast_signed()),
            MetricType::Gauge => metric.value = value.cast_signed(),
            MetricType::Histogram => {
                metric.value = metric.value.saturating_add(1);
                metric.records.push(value);
            }
        }
        Ok(())
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<String, Metric> {
        self.stats.iter().map(|((name, _), metric)| (name.clone(), metric.clone())).collect()
    }

    fn find(&mut self, id: u32) -> Result<&mut Metric, Status> {
        let names = match id & 3 {
            0 => &self.counters,
            1 => &self.gauges,
            2 => &self.histograms,
            _ => return Err(Status::NotFound),
        };
        let index = usize::try_from(id >> 2).ok().and_then(|index| index.checked_sub(1));
        let name = index.and_then(|index| names.get(index)).ok_or(Status::NotFound)?;
        self.stats.get_mut(&(name.clone(), id & 3)).ok_or(Status::NotFound)
    }
}

const fn low_bits(kind: MetricType) -> u32 {
    match kind {
        MetricType::Counter => 0,
        MetricType::Gauge => 1,
        MetricType::Histogram => 2,
    }
}

/// Histograms can only be recorded to; that is found before whether there is one of that id.
const fn has_value(id: u32) -> Result<(), Status> {
    if id & 3 < low_bits(MetricType::Histogram) { Ok(()) } else { Err(Status::BadArgument) }
}
