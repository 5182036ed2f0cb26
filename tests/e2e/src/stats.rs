//! What an Envoy says of itself.

use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// What the admin interface of the sidecar's Envoy answers.
///
/// # Errors
/// When it does not.
pub async fn envoy(state_dir: &Path, path: &str) -> anyhow::Result<String> {
    let mut stream = UnixStream::connect(state_dir.join("admin.sock")).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The sum of all counters whose name ends so.
///
/// # Errors
/// As [`envoy`].
pub async fn stat(state_dir: &Path, end: &str) -> anyhow::Result<u64> {
    let text = envoy(state_dir, "/stats").await?;
    let values = text.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| name.ends_with(end));
    Ok(values.filter_map(|(_, value)| value.trim().parse::<u64>().ok()).sum())
}
