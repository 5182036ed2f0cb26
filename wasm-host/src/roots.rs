//! The beginning and end of root contexts: a plugin starts with one, and gets another with each new configuration.

use std::time::Duration;

use crate::abi::length;
use crate::misuse::Misuse;
use crate::state::Root;
use crate::vm::{Trapped, Vm};

pub(crate) enum Started {
    Yes,
    VmStartRefused,
    ConfigureRefused,
}

impl Vm {
    /// Makes a root context with this configuration, which serves new streams if it accepts it.
    pub(crate) fn start_root(&mut self, configuration: Vec<u8>) -> Result<Started, Trapped> {
        let root_id = self.state().settings.root_id.clone();
        let (started, root, configuration) = self.start_root_of(root_id, configuration)?;
        if matches!(started, Started::Yes) {
            let state = self.state_mut();
            (state.serving, state.serving_configuration) = (root, configuration);
        }
        Ok(started)
    }

    /// The root of the access logger, if there is to be one.
    pub(crate) fn start_logger(&mut self) -> Result<Started, Trapped> {
        let Some((root_id, configuration)) = self.state().settings.logger.clone() else { return Ok(Started::Yes) };
        let (started, root, _) = self.start_root_of(root_id, configuration)?;
        if matches!(started, Started::Yes) {
            self.state_mut().logger = Some(root);
        }
        Ok(started)
    }

    /// And gives the configuration back.
    fn start_root_of(&mut self, root_id: String, configuration: Vec<u8>) -> Result<(Started, u32, Vec<u8>), Trapped> {
        let root = self.state_mut().next_context();
        self.state_mut().roots.insert(root, Root { root_id, ..Root::default() });
        self.invoke("proxy_on_context_create", root, &[root, 0])?;
        let vm_configuration = length(self.state().settings.vm_configuration.len());
        if self.invoke("proxy_on_vm_start", root, &[root, vm_configuration])? == Some(0) {
            return Ok((Started::VmStartRefused, root, configuration));
        }
        let size = length(configuration.len());
        self.state_mut().configuring = Some(configuration);
        let configured = self.invoke("proxy_on_configure", root, &[root, size]);
        let configuration = self.state_mut().configuring.take().unwrap_or_default();
        let started = if configured? == Some(0) { Started::ConfigureRefused } else { Started::Yes };
        Ok((started, root, configuration))
    }

    /// Lets the access logger see the stream, which is in its `proxy_on_log`.
    pub(crate) fn log_beside(&mut self, stream: u32) -> Result<(), Trapped> {
        let Some(logger) = self.state().logger else { return Ok(()) };
        let Some(logged) = self.state_mut().streams.remove(&stream) else { return Ok(()) };
        self.state_mut().streams.insert(logger, logged);
        let called = self.invoke("proxy_on_log", logger, &[logger]);
        let state = self.state_mut();
        if let Some(logged) = state.streams.remove(&logger) {
            state.streams.insert(stream, logged);
        }
        called.map(|_| ())
    }

    /// A new root serves from now on; the old one ends with its last stream. When the new one is refused, the old one goes on.
    pub(crate) fn replace_root(&mut self, configuration: Vec<u8>) -> Result<Started, Trapped> {
        let old = self.state().serving;
        let started = self.start_root(configuration)?;
        if matches!(started, Started::Yes) {
            if let Some(root) = self.state_mut().roots.get_mut(&old) {
                root.retiring = true;
            }
            self.end_idle_roots()?;
        }
        Ok(started)
    }

    /// Ends the roots that were replaced and have no streams any more.
    pub(crate) fn end_idle_roots(&mut self) -> Result<(), Trapped> {
        for root in self.state().idle_roots() {
            self.end_root(root)?;
        }
        Ok(())
    }

    /// Done and delete, waiting for `proxy_done` if the root asks for that.
    pub(crate) fn end_root(&mut self, root: u32) -> Result<(), Trapped> {
        if let Some(root) = self.state_mut().roots.get_mut(&root) {
            // It is ended once only, also when it is waited for.
            root.retiring = false;
        }
        let finished = self.invoke("proxy_on_done", root, &[root])?.is_none_or(|done| done != 0);
        if !finished {
            if let Some(root) = self.state_mut().roots.get_mut(&root) {
                root.finishing = true;
            }
            let is_done = |vm: &Self| vm.state().roots.get(&root).is_none_or(|root| root.done);
            while !is_done(self) && self.next_event(Duration::MAX)? {}
            if !is_done(self) {
                self.state_mut().recorder.misuse(Misuse::ContextNeverDone);
            }
        }
        self.invoke("proxy_on_delete", root, &[root])?;
        self.state_mut().roots.remove(&root);
        self.state_mut().expressions.remove(&root);
        Ok(())
    }
}
