//! The cases, by the names under which they can be run alone.

mod cold;
mod edit;
mod many;
mod memory;
mod warm;

use clap::ValueEnum;

use crate::bench::Bench;
use crate::report::Section;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// One token that was seen before, one policy
    WarmTokenCpuPerRequest,
    /// Every token new, signed with RS256
    ColdRs256Throughput,
    /// Every token new, signed with ES256
    ColdEs256Throughput,
    /// 100 ALLOW policies: the last one matches, none matches
    #[value(name = "policies-100-throughput")]
    Policies100Throughput,
    /// The same with 1 000
    #[value(name = "policies-1000-throughput")]
    Policies1000Throughput,
    /// The same with 10 000
    #[value(name = "policies-10000-throughput")]
    Policies10000Throughput,
    /// One of 10 000 policies changes under load
    PolicyEdit,
    /// Resident memory with and without the module
    Memory,
}

impl Case {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub(crate) async fn run(self, bench: &Bench) -> anyhow::Result<Section> {
        match self {
            Self::WarmTokenCpuPerRequest => warm::run(bench, self.name()).await,
            Self::ColdRs256Throughput => cold::run(bench, self.name(), cold::Algorithm::Rs256).await,
            Self::ColdEs256Throughput => cold::run(bench, self.name(), cold::Algorithm::Es256).await,
            Self::Policies100Throughput => many::run(bench, self.name(), 100, 1.0).await,
            Self::Policies1000Throughput => many::run(bench, self.name(), 1000, 4.0).await,
            Self::Policies10000Throughput => many::run(bench, self.name(), 10_000, 40.0).await,
            Self::PolicyEdit => edit::run(bench).await,
            Self::Memory => memory::run(bench).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_rows() {
        let names: Vec<String> = Case::value_variants().iter().map(|case| case.name()).collect();
        assert_eq!(
            names,
            [
                "warm-token-cpu-per-request",
                "cold-rs256-throughput",
                "cold-es256-throughput",
                "policies-100-throughput",
                "policies-1000-throughput",
                "policies-10000-throughput",
                "policy-edit",
                "memory",
            ]
        );
    }
}
