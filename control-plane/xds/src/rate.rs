use std::time::Duration;

/// How long a request has to wait, so that a client is read no faster than its limits allow (a "generic cell rate algorithm").
#[derive(Debug)]
pub(crate) struct Rate {
    interval: Duration,
    burst: Duration,
    /// When the next request would be due at the steady rate.
    due: Duration,
}

impl Rate {
    /// So many at once, and then one for each interval.
    pub(crate) fn new(burst: u32, interval: Duration) -> Self {
        Self { interval, burst: interval.saturating_mul(burst), due: Duration::ZERO }
    }

    /// `now` is the time since it was made.
    pub(crate) fn wait(&mut self, now: Duration) -> Duration {
        self.due = self.due.max(now).saturating_add(self.interval);
        self.due.saturating_sub(self.burst).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let interval = Duration::from_millis(10);
        let mut rate = Rate::new(3, interval);
        let at_once: Vec<Duration> = (0..5).map(|_| rate.wait(Duration::ZERO)).collect();
        assert_eq!(at_once, [Duration::ZERO, Duration::ZERO, Duration::ZERO, interval, 2 * interval]);
        assert_eq!(rate.wait(Duration::from_secs(1)), Duration::ZERO);
    }
}
