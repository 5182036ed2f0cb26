//! Asking for a new certificate until there is one. Clock and waiting are given to it.

use std::time::{Duration, SystemTime};

use super::{Life, Urgency};

/// What `ask` answers in the end: twice as long after each failure, ever more often as `life` runs out, and for ever after that.
pub(crate) async fn until_it_succeeds<T, A, S>(
    life: Life,
    clock: impl Fn() -> SystemTime,
    wait: impl Fn(Duration) -> S,
    ask: impl Fn() -> A,
) -> T
where
    A: Future<Output = anyhow::Result<T>>,
    S: Future<Output = ()>,
{
    let mut failures: u32 = 0;
    loop {
        let error = match ask().await {
            Ok(answer) => return answer,
            Err(error) => error,
        };
        failures = failures.saturating_add(1);
        let now = clock();
        say(life.urgency(now), &error);
        wait(life.retry_after(failures, now)).await;
    }
}

fn say(urgency: Urgency, error: &anyhow::Error) {
    match urgency {
        Urgency::Low => tracing::info!("the certificate is not renewed yet: {error:#}"),
        Urgency::High => tracing::warn!("the certificate is not renewed yet: {error:#}"),
        Urgency::Last => tracing::error!("the certificate ends soon and is not renewed: {error:#}"),
        Urgency::Expired => {
            tracing::error!(
                "the certificate expired and peers refuse it: start this sidecar again with a new join token, or put one into its file ({error:#})"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    const LIFE: u64 = 3_600;

    fn second(n: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(n)
    }

    /// The waits of somebody who begins at `begin` of a life of an hour and whose control plane answers from `back` on; and when the answer
    /// came. All in seconds.
    async fn waits(begin: u64, back: u64) -> (Vec<f64>, f64) {
        let (now, waits) = (Cell::new(second(begin)), RefCell::new(Vec::new()));
        let wait = |time: Duration| {
            waits.borrow_mut().push(time.as_secs_f64());
            now.set(now.get() + time);
            std::future::ready(())
        };
        let ask = || std::future::ready(if now.get() >= second(back) { Ok(now.get()) } else { Err(anyhow::anyhow!("nobody there")) });
        let life = Life { from: second(0), until: second(LIFE) };
        let answered = until_it_succeeds(life, || now.get(), wait, ask).await;
        (waits.into_inner(), answered.duration_since(second(0)).unwrap().as_secs_f64())
    }

    #[tokio::test]
    async fn who_is_answered_waits_for_nothing() {
        assert_eq!(waits(LIFE / 2, 0).await, (vec![], 1_800.0));
    }

    #[tokio::test]
    async fn an_outage_of_more_than_half_a_life_is_bridged_in_ever_longer_then_ever_shorter_waits() {
        // It goes away before the certificate is due at half of the life, and is back five minutes before its end.
        let (waits, answered) = waits(LIFE / 2, LIFE - 300).await;
        assert_eq!(waits.get(..9).unwrap(), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 150.0]);
        assert!(waits[8..].windows(2).all(|pair| pair[1] <= pair[0]) && waits.len() > 12, "{waits:?}");
        assert!((3_300.0..3_340.0).contains(&answered), "within a tenth of what was left: {answered}");
    }

    #[tokio::test]
    async fn at_the_end_it_asks_each_second_and_after_it_for_ever() {
        let (waits, answered) = waits(LIFE - 60, LIFE + 1_000).await;
        let over = |count: usize| waits[..count].iter().sum::<f64>();
        let before_the_end = (0..waits.len()).filter(|count| over(*count) < 60.0).count();
        assert!(before_the_end > 15, "{waits:?}");
        assert!(waits.contains(&1.0) && waits.last() == Some(&150.0), "{waits:?}");
        assert!(answered >= 4_600.0, "{answered}");
    }
}
