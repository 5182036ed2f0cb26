use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

/// How long a process may take to say that it is ready.
pub const STARTUP: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(20);
const LINES_SHOWN: usize = 15;

/// A process in a group of its own, whose output is kept and can be waited for. Dropping it kills the whole group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    group: Option<Pid>,
    log: PathBuf,
    output: Output,
}

#[derive(Debug, Clone)]
struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
}

impl Process {
    /// # Errors
    /// When the program cannot be started or its log file cannot be made.
    pub async fn start(name: &str, command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        if let Some(folder) = log.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let (sender, receiver) = mpsc::channel(1024);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(forward(stdout, sender.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(forward(stderr, sender));
        }
        let file = tokio::fs::OpenOptions::new().create(true).append(true).open(log).await?;
        let (counter, count) = watch::channel(0);
        let lines = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(keep(receiver, Arc::clone(&lines), counter, file));
        Ok(Self { name: name.to_owned(), child, group, log: log.to_owned(), output: Output { lines, count } })
    }

    /// The first line, of those printed so far or to come, that contains `text`.
    ///
    /// # Errors
    /// When the process ends or `deadline` passes first; the error shows the end of its output.
    pub async fn line_with(&mut self, text: &str, deadline: Duration) -> anyhow::Result<String> {
        let mut output = self.output.clone();
        let found = async {
            let mut seen = 0;
            loop {
                let (line, count) = output.find(text, seen);
                if line.is_some() || output.count.changed().await.is_err() {
                    return line;
                }
                seen = count;
            }
        };
        match tokio::time::timeout(deadline, found).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => anyhow::bail!("{} ended before it printed `{text}`\n{}", self.name, self.tail()),
            Err(_) => anyhow::bail!("{} did not print `{text}` within {deadline:?}\n{}", self.name, self.tail()),
        }
    }

    /// The end of what it printed, and where the whole of it is.
    #[must_use]
    pub fn tail(&self) -> String {
        let lines = self.lines();
        let shown: VecDeque<&String> = lines.iter().rev().take(LINES_SHOWN).collect();
        let text: Vec<String> = shown.into_iter().rev().map(|l| format!("  | {l}")).collect();
        format!("{}\n  (all of it: {})", text.join("\n"), self.log.display())
    }

    /// Everything it printed so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.output.lines.lock().map(|lines| lines.clone()).unwrap_or_default()
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.group.with_context(|| format!("{} has no process id", self.name))?;
        kill(id, signal).with_context(|| format!("{} cannot be sent {signal}", self.name))
    }

    /// # Errors
    /// When it does not end within the deadline.
    pub async fn wait(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        match tokio::time::timeout(deadline, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => anyhow::bail!("{} did not end within {deadline:?}\n{}", self.name, self.tail()),
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it is gone already or does not end in time.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait(STOP).await
    }

    /// Ends the process at once (SIGKILL), but not what it started.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("{} cannot be killed", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // The group is gone when every process of it has ended by itself: nothing is left to kill then.
            let _gone = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Output {
    fn find(&mut self, text: &str, from: usize) -> (Option<String>, usize) {
        self.count.borrow_and_update();
        let Ok(lines) = self.lines.lock() else { return (None, from) };
        (lines.iter().skip(from).find(|line| line.contains(text)).cloned(), lines.len())
    }
}

async fn forward(source: impl AsyncRead + Unpin, sink: mpsc::Sender<String>) {
    let mut lines = BufReader::new(source).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        if sink.send(String::from_utf8_lossy(&line).into_owned()).await.is_err() {
            break;
        }
    }
}

async fn keep(mut source: mpsc::Receiver<String>, lines: Arc<Mutex<Vec<String>>>, count: watch::Sender<usize>, mut file: tokio::fs::File) {
    while let Some(line) = source.recv().await {
        if file.write_all(format!("{line}\n").as_bytes()).await.is_err() {
            tracing::warn!("a log file cannot be written");
        }
        let Ok(length) = lines.lock().map(|mut lines| {
            lines.push(line);
            lines.len()
        }) else {
            break;
        };
        count.send_replace(length);
    }
    if file.flush().await.is_err() {
        tracing::warn!("a log file cannot be written");
    }
}
