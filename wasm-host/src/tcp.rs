//! The TCP connection state machine: new connection, data both ways, closes; then done, log, delete.

use std::time::Duration;

use crate::abi::length;
use crate::report::{Ended, TcpOutcome};
use crate::script::{Tcp, TcpStep};
use crate::stream::{Side, Stream};
use crate::vm::{Trapped, Vm};

/// How long a paused connection is waited for: Envoy's default idle timeout of TCP proxying.
const IDLE: Duration = Duration::from_secs(3600);
/// How long a client waits for a connection that the filter holds before it closes it.
const PATIENCE: Duration = Duration::from_secs(1);

const LOCAL: u32 = 1;
const REMOTE: u32 = 2;
const UNKNOWN: u32 = 0;

enum Stop {
    Closed,
    Hung,
    Trapped,
}

impl From<Trapped> for Stop {
    fn from(_: Trapped) -> Self {
        Self::Trapped
    }
}

struct Connection<'a> {
    vm: &'a mut Vm,
    id: u32,
    paused: bool,
    outcome: TcpOutcome,
}

/// Drives one connection to its end.
pub(crate) fn connection(vm: &mut Vm, root: u32, script: Tcp) -> (TcpOutcome, Stream) {
    if vm.failed() {
        return (TcpOutcome { ended: Ended::Trapped, ..TcpOutcome::default() }, Stream::default());
    }
    let Tcp { steps, attributes } = script;
    let side = || Side { present: true, ..Side::default() };
    let stream = Stream { is_tcp: true, attributes, request: side(), response: side(), ..Stream::default() };
    let (id, created) = vm.open_stream(root, stream);
    let mut connection = Connection { vm, id, paused: true, outcome: TcpOutcome::default() };
    let ran = created.map_err(Stop::from).and_then(|()| connection.run(steps));
    let ended = connection.finish(ran).unwrap_or(Ended::Trapped);
    let outcome = TcpOutcome { ended, ..connection.outcome };
    let stream = vm.close_stream(id);
    (outcome, stream)
}

/// What comes of a connection when there is no filter.
pub(crate) fn bypass(script: Tcp) -> TcpOutcome {
    let mut outcome = TcpOutcome { upstream_connected: true, ..TcpOutcome::default() };
    for step in script.steps {
        match step {
            TcpStep::Downstream(data) => outcome.to_upstream.extend(data),
            TcpStep::Upstream(data) => outcome.to_downstream.extend(data),
            TcpStep::DownstreamClose | TcpStep::UpstreamClose => break,
        }
    }
    outcome
}

impl Connection<'_> {
    fn run(&mut self, steps: Vec<TcpStep>) -> Result<(), Stop> {
        let action = self.call("proxy_on_new_connection", &[])?;
        self.goes_on(action)?;
        let mut closed = false;
        for step in steps {
            match step {
                TcpStep::Downstream(data) => self.downstream(data, false)?,
                TcpStep::Upstream(data) => self.upstream(data, false)?,
                TcpStep::DownstreamClose => {
                    self.close_by_client()?;
                    closed = true;
                }
                TcpStep::UpstreamClose => {
                    self.close_by_upstream()?;
                    // The client sees the end and closes too.
                    self.downstream(Vec::new(), true)?;
                    self.call("proxy_on_downstream_connection_close", &[REMOTE])?;
                    closed = true;
                }
            }
            if closed {
                return Ok(());
            }
        }
        self.close_by_client()
    }

    /// Envoy hands the end on, the upstream closes too, and then Envoy closes the client's connection.
    fn close_by_client(&mut self) -> Result<(), Stop> {
        // A client that has all it waits for, or gave up.
        self.let_happen(PATIENCE)?;
        self.downstream(Vec::new(), true)?;
        if self.paused {
            self.wait()?;
        }
        self.close_by_upstream()?;
        self.call("proxy_on_downstream_connection_close", &[LOCAL])?;
        Ok(())
    }

    fn close_by_upstream(&mut self) -> Result<(), Stop> {
        self.upstream(Vec::new(), true)?;
        self.call("proxy_on_upstream_connection_close", &[UNKNOWN])?;
        Ok(())
    }

    fn give_up(&mut self) -> Result<(), Trapped> {
        let size = self.fill(false, Vec::new());
        self.call("proxy_on_upstream_data", &[size, 1])?;
        self.call("proxy_on_upstream_connection_close", &[UNKNOWN])?;
        self.call("proxy_on_downstream_connection_close", &[LOCAL])?;
        Ok(())
    }

    /// Lets happen what can resume a connection that is paused, for a while.
    fn let_happen(&mut self, time: Duration) -> Result<(), Stop> {
        let until = self.vm.state().timeline.now().saturating_add(time);
        while self.paused && self.vm.next_event(until)? {
            self.check()?;
            if self.stream_mut().is_some_and(|stream| std::mem::take(&mut stream.request.resume)) {
                self.paused = false;
                self.flush();
            }
        }
        Ok(())
    }

    /// What the filter holds back stays in the buffer and is there again with the next piece.
    fn downstream(&mut self, data: Vec<u8>, ends: bool) -> Result<(), Stop> {
        let size = self.fill(true, data);
        let action = self.call("proxy_on_downstream_data", &[size, u32::from(ends)])?;
        self.goes_on(action)
    }

    /// An upstream speaks only on a connection that was made to it.
    fn upstream(&mut self, data: Vec<u8>, ends: bool) -> Result<(), Stop> {
        if !self.outcome.upstream_connected {
            self.wait()?;
        }
        let size = self.fill(false, data);
        let action = self.call("proxy_on_upstream_data", &[size, u32::from(ends)])?;
        self.check()?;
        if let Some(stream) = self.stream_mut() {
            stream.response.body_open = false;
        }
        if action == 0 {
            let data = self.stream_mut().map(|stream| std::mem::take(&mut stream.response.body)).unwrap_or_default();
            self.outcome.to_downstream.extend(data);
        }
        Ok(())
    }

    fn fill(&mut self, request: bool, data: Vec<u8>) -> u32 {
        let Some(stream) = self.stream_mut() else { return 0 };
        let side = if request { &mut stream.request } else { &mut stream.response };
        side.received += data.len();
        side.body.extend(data);
        side.body_open = true;
        length(side.body.len())
    }

    /// After a callback about the client's side: go on, or remember that the filter paused.
    fn goes_on(&mut self, action: u32) -> Result<(), Stop> {
        self.check()?;
        let resumed = self.stream_mut().is_some_and(|stream| std::mem::take(&mut stream.request.resume));
        self.paused = action != 0 && !resumed;
        if !self.paused {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        let data = self.stream_mut().map(|stream| std::mem::take(&mut stream.request.body)).unwrap_or_default();
        self.outcome.upstream_connected = true;
        self.outcome.to_upstream.extend(data);
    }

    fn wait(&mut self) -> Result<(), Stop> {
        let until = self.vm.state().timeline.now().saturating_add(IDLE);
        while !self.stream_mut().is_some_and(|stream| std::mem::take(&mut stream.request.resume)) {
            if !self.vm.next_event(until)? {
                return Err(Stop::Hung);
            }
            self.check()?;
        }
        self.paused = false;
        self.flush();
        Ok(())
    }

    fn check(&mut self) -> Result<(), Stop> {
        let closed = self.stream_mut().is_some_and(|stream| std::mem::take(&mut stream.close));
        if closed { Err(Stop::Closed) } else { Ok(()) }
    }

    fn finish(&mut self, ran: Result<(), Stop>) -> Result<Ended, Trapped> {
        let ended = match ran {
            Ok(()) => Ended::Completed,
            Err(Stop::Closed) => {
                self.call("proxy_on_downstream_connection_close", &[LOCAL])?;
                Ended::Closed
            }
            // In the end one of the two gives up.
            Err(Stop::Hung) if self.outcome.upstream_connected => {
                self.give_up()?;
                Ended::Hung
            }
            Err(Stop::Hung) => {
                self.call("proxy_on_downstream_connection_close", &[REMOTE])?;
                Ended::Hung
            }
            Err(Stop::Trapped) => return Err(Trapped),
        };
        self.call("proxy_on_done", &[])?;
        let now = self.vm.state().timeline.nanoseconds();
        if let Some(stream) = self.stream_mut() {
            stream.logging = true;
            stream.ended = now;
        }
        self.call("proxy_on_log", &[])?;
        self.vm.log_beside(self.id)?;
        self.call("proxy_on_delete", &[])?;
        Ok(ended)
    }

    fn call(&mut self, name: &'static str, arguments: &[u32]) -> Result<u32, Trapped> {
        let arguments: Vec<u32> = [self.id].iter().chain(arguments).copied().collect();
        Ok(self.vm.invoke(name, self.id, &arguments)?.unwrap_or(0))
    }

    fn stream_mut(&mut self) -> Option<&mut Stream> {
        self.vm.state_mut().streams.get_mut(&self.id)
    }
}
