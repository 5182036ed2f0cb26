//! Ten thousand certificates that were made in the same second, by an injected clock: are their renewals spread, and do they stay so?

use super::*;

const IDENTITIES: u32 = 10_000;
/// All renewals of a generation come within a minute, as many as a control plane has to bear (a tenth of the life).
const LIFE: Duration = Duration::from_secs(600);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// SplitMix64: the same each time, so that a test fails always or never.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// When each renews for the `generation`th time; each life begins at the renewal before.
fn renewals(generation: u32, mut random: impl FnMut() -> u64) -> Vec<SystemTime> {
    let renewed = |_| (0..generation).fold(start(), |from, _| Life { from, until: from + LIFE }.renew_at(random()));
    (0..IDENTITIES).map(renewed).collect()
}

/// Kolmogorov and Smirnov's statistic against the uniform distribution from `begin` on for `width`, times the root of the sample's size:
/// more than 1.63 has one in a hundred samples that is uniform, more than 2.5 one in 100 000.
fn distance_from_uniform(times: &[SystemTime], begin: SystemTime, width: Duration) -> f64 {
    let mut shares: Vec<f64> = times.iter().map(|at| at.duration_since(begin).unwrap().as_secs_f64() / width.as_secs_f64()).collect();
    shares.sort_by(f64::total_cmp);
    let count = f64::from(IDENTITIES);
    let distance = |(n, share): (u32, &f64)| (f64::from(n + 1) / count - share).max(share - f64::from(n) / count);
    (0..).zip(&shares).map(distance).fold(0.0, f64::max) * count.sqrt()
}

fn most_in_a_second(times: &[SystemTime]) -> u32 {
    let mut seconds = std::collections::BTreeMap::<u64, u32>::new();
    for at in times {
        *seconds.entry(at.duration_since(start()).unwrap().as_secs()).or_default() += 1;
    }
    seconds.into_values().max().unwrap()
}

#[test]
fn the_first_renewals_are_spread_evenly_over_a_tenth_of_the_life() {
    let mut numbers = Numbers(7);
    let (begin, width) = (start() + LIFE * 45 / 100, LIFE / 10);
    let times = renewals(1, || numbers.next());
    assert!(times.iter().all(|at| (begin..=begin + width).contains(at)));
    let distance = distance_from_uniform(&times, begin, width);
    assert!(distance < 1.63, "{distance}");
    // What a sidecar takes is no worse.
    let distance = distance_from_uniform(&renewals(1, random), begin, width);
    assert!(distance < 2.5, "{distance}");
}

#[test]
fn the_test_of_spreading_finds_steps_and_slopes() {
    let mut numbers = Numbers(7);
    let (begin, width) = (start() + LIFE * 45 / 100, LIFE / 10);
    let steps = renewals(1, || numbers.next() % 20 * (u64::MAX / 20));
    assert!(distance_from_uniform(&steps, begin, width) > 2.5);
    let slope = renewals(1, || numbers.next().max(numbers.next()));
    assert!(distance_from_uniform(&slope, begin, width) > 2.5);
}

#[test]
fn no_second_of_any_generation_has_a_spike() {
    let mut numbers = Numbers(7);
    let mean = IDENTITIES / 60;
    let peaks = [1, 2, 3, 10].map(|generation| most_in_a_second(&renewals(generation, || numbers.next())));
    // Chance alone makes a quarter more than the mean.
    assert!(peaks.iter().all(|peak| *peak < mean * 3 / 2), "{peaks:?}");
    let later: Vec<u32> = peaks.windows(2).map(|pair| pair[1]).collect();
    assert!(later.iter().all(|peak| *peak <= peaks[0]), "each generation is spread wider than the first: {peaks:?}");
    // With a long life as well: there were 101 steps once, with a hundred renewals in each of them.
    let life = Life { from: start(), until: start() + 72 * LIFE };
    let times: Vec<SystemTime> = (0..IDENTITIES).map(|_| life.renew_at(numbers.next())).collect();
    assert!(most_in_a_second(&times) < 15, "{}", most_in_a_second(&times));
}
