//! Tokens that are signed before they are needed, on all cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Context as _;
use hyper::header::HeaderValue;
use meshwright_test_support::signing::{self, SigningKey};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::json;

use crate::filters::ISSUER;
use crate::policies::GROUP;

const HOUR: i64 = 3600;
const CORES: usize = 2;

/// `Bearer` and a token of subject `number`, for an hour.
pub(crate) fn bearer(key: &SigningKey, number: usize) -> anyhow::Result<HeaderValue> {
    let now = signing::now()?;
    let claims = json!({"iss": ISSUER, "sub": format!("reader-{number}"), "groups": [GROUP], "iat": now, "exp": now.saturating_add(HOUR)});
    Ok(HeaderValue::from_str(&format!("Bearer {}", key.token(&claims)?))?)
}

/// `count` different ones.
pub(crate) fn many(what: &str, key: &SigningKey, count: usize) -> anyhow::Result<Arc<[HeaderValue]>> {
    // Exactly what the rest of the bench needs: its own core and Envoy's.
    let threads = CORES;
    let done = AtomicUsize::new(0);
    let step = (count / 10).max(1);
    let sign = |first: usize| -> anyhow::Result<Vec<HeaderValue>> {
        use_all_cores()?;
        let one = |number| {
            let token = bearer(key, number)?;
            let signed = done.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            if signed.is_multiple_of(step) {
                eprintln!("bench: {what}: {signed} of {count} tokens signed");
            }
            Ok(token)
        };
        (first..count).step_by(threads).map(one).collect()
    };
    let parts = thread::scope(|scope| {
        let started: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn({
                    let sign = &sign;
                    move || sign(first)
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join().ok().context("a signing thread failed")?).collect::<anyhow::Result<Vec<_>>>()
    })?;
    Ok(parts.into_iter().flatten().collect())
}

/// A thread starts on the core of the load, as the one that started it.
fn use_all_cores() -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in 0..CORES {
        set.set(core)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
