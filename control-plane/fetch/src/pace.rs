//! What every loop that fetches needs: when a failure is tried again, waiting for what is due next, telling what has changed.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How long to wait after so many failures in a row before this one: `first`, then twice as long each time, never over `longest`.
#[must_use]
pub fn retry_after(first: Duration, failures: u32, longest: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(longest)
}

/// Until the next thing is due; for ever where nothing is.
pub async fn sleep_until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next.into()).await,
        None => std::future::pending().await,
    }
}

/// Wakes the receivers only if the value is another.
pub fn set<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|current| {
        let changed = *current != value;
        if changed {
            *current = value;
        }
        changed
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_double_up_to_a_limit() {
        let after = |failures| retry_after(Duration::from_secs(5), failures, Duration::from_secs(60)).as_secs();
        assert_eq!([0, 1, 3, 4, 31, 32, u32::MAX].map(after), [5, 10, 40, 60, 60, 60, 60]);
        assert_eq!(retry_after(Duration::from_secs(9), 0, Duration::from_secs(3)), Duration::from_secs(3));
    }

    #[test]
    fn only_another_value_wakes() {
        let (sender, mut receiver) = watch::channel(1);
        set(&sender, 1);
        assert!(!receiver.has_changed().unwrap());
        set(&sender, 2);
        assert_eq!((receiver.has_changed().unwrap(), *receiver.borrow_and_update()), (true, 2));
    }
}
