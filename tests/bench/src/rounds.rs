//! Configurations take turns, so that the machine's mood touches all alike.

use std::time::Duration;

use anyhow::Context as _;

use crate::bench::Bench;
use crate::envoy::Envoy;
use crate::load::Load;
use crate::measured::{Measured, Sample};

/// One configuration in its Envoy.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) envoy: Envoy,
}

/// Which load a round puts on each configuration; 0 is for warming up.
pub(crate) trait Loads {
    fn of(&self, round: usize) -> Load;
}

impl Loads for Load {
    fn of(&self, _round: usize) -> Load {
        self.clone()
    }
}

/// Warms each up, then lets them take turns; the order turns round each time.
pub(crate) async fn alternate(
    bench: &Bench,
    what: &str,
    contenders: &[Contender],
    loads: &dyn Loads,
    time: Duration,
) -> anyhow::Result<Vec<Measured>> {
    for Contender { name, envoy } in contenders {
        eprintln!("bench: {what}: warming up: {name}");
        loads.of(0).run(envoy.address(), bench.warm_up()).await.with_context(|| format!("{what}: {name}"))?;
    }
    let mut measured: Vec<Measured> =
        contenders.iter().map(|contender| Measured { name: contender.name.to_owned(), samples: Vec::new() }).collect();
    for round in 1..=bench.rounds() {
        let mut turns: Vec<(&Contender, &mut Measured)> = contenders.iter().zip(&mut measured).collect();
        if round % 2 == 0 {
            turns.reverse();
        }
        for (Contender { name, envoy }, measured) in turns {
            let before = envoy.cpu()?;
            let done = loads.of(round).run(envoy.address(), time).await.with_context(|| format!("{what}: {name}"))?;
            let sample = Sample::new(&done, envoy.cpu()?.saturating_sub(before));
            eprintln!(
                "bench: {what}: round {round} of {}: {name}: {:.0} requests/s, {:.1} µs CPU",
                bench.rounds(),
                sample.per_second,
                sample.cpu_microseconds
            );
            measured.samples.push(sample);
        }
    }
    Ok(measured)
}
