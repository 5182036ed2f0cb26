//! What VMs share: data with compare-and-swap, and queues, by `vm_id`. Shared between plugins only when a test says so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::abi::Status;

/// Shared data and queues of all VMs that are given the same one.
///
/// ```
/// use meshwright_wasm_host::Shared;
///
/// let shared = Shared::new();
/// shared.set("vm", "key", "value");
/// assert_eq!(shared.get("vm", "key"), Some(b"value".to_vec()));
/// ```
///
/// [`Worker`](crate::Worker) has an example with queues and several workers.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    last_cas: u32,
    data: BTreeMap<(String, Vec<u8>), (Vec<u8>, u32)>,
    queues: Vec<Queue>,
    /// Tokens by `vm_id` and name.
    tokens: BTreeMap<(String, Vec<u8>), u32>,
    last_vm: u64,
    /// Entries that the VM which registered the queue has not been told of.
    announced: Vec<(u64, u32)>,
}

#[derive(Debug)]
struct Queue {
    entries: VecDeque<Vec<u8>>,
    /// The VM that registered it last, and is told of entries.
    owner: u64,
}

impl Shared {
    /// Nothing shared yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of `key` for the VMs with `vm_id`.
    #[must_use]
    pub fn get(&self, vm_id: &str, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.get_with_cas(vm_id, key.as_ref()).map(|(value, _)| value)
    }

    /// Sets `key` for the VMs with `vm_id`, whatever it was.
    pub fn set(&self, vm_id: &str, key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) {
        // Without a number to compare, nothing can mismatch.
        let _ = self.set_with_cas(vm_id, key.as_ref(), value.into(), 0);
    }

    pub(crate) fn get_with_cas(&self, vm_id: &str, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.lock().data.get(&(vm_id.to_owned(), key.to_vec())).cloned()
    }

    /// A number is compared only with that of a key that exists, as in Envoy: any is accepted for a new one.
    pub(crate) fn set_with_cas(&self, vm_id: &str, key: &[u8], value: Vec<u8>, cas: u32) -> Result<(), Status> {
        let mut inner = self.lock();
        let key = (vm_id.to_owned(), key.to_vec());
        if cas != 0 && inner.data.get(&key).is_some_and(|(_, current)| *current != cas) {
            return Err(Status::CasMismatch);
        }
        inner.last_cas = inner.last_cas.wrapping_add(1).max(1);
        let cas = inner.last_cas;
        inner.data.insert(key, (value, cas));
        Ok(())
    }

    /// A number for a VM, by which it hears of its queues.
    pub(crate) fn next_vm(&self) -> u64 {
        let mut inner = self.lock();
        inner.last_vm += 1;
        inner.last_vm
    }

    /// Queues of this VM into which something was put, once for each entry.
    pub(crate) fn take_announced(&self, vm: u64) -> Vec<u32> {
        let mut inner = self.lock();
        let (mine, others) = std::mem::take(&mut inner.announced).into_iter().partition(|(owner, _)| *owner == vm);
        inner.announced = others;
        let mine: Vec<(u64, u32)> = mine;
        mine.into_iter().map(|(_, queue)| queue).collect()
    }

    /// The last VM to register a queue owns it.
    pub(crate) fn register_queue(&self, vm: u64, vm_id: &str, name: &[u8]) -> u32 {
        let mut inner = self.lock();
        let next = crate::abi::length(inner.queues.len() + 1);
        let token = *inner.tokens.entry((vm_id.to_owned(), name.to_vec())).or_insert(next);
        match usize::try_from(token).ok().and_then(|token| inner.queues.get_mut(token - 1)) {
            Some(queue) => queue.owner = vm,
            None => inner.queues.push(Queue { entries: VecDeque::new(), owner: vm }),
        }
        token
    }

    pub(crate) fn resolve_queue(&self, vm_id: &str, name: &[u8]) -> Option<u32> {
        self.lock().tokens.get(&(vm_id.to_owned(), name.to_vec())).copied()
    }

    pub(crate) fn enqueue(&self, token: u32, entry: Vec<u8>) -> Result<(), Status> {
        let owner = self.with_queue(token, |queue| {
            queue.entries.push_back(entry);
            queue.owner
        })?;
        self.lock().announced.push((owner, token));
        Ok(())
    }

    pub(crate) fn dequeue(&self, token: u32) -> Result<Vec<u8>, Status> {
        self.with_queue(token, |queue| queue.entries.pop_front())?.ok_or(Status::Empty)
    }

    fn with_queue<R>(&self, token: u32, act: impl FnOnce(&mut Queue) -> R) -> Result<R, Status> {
        let index = usize::try_from(token).ok().and_then(|token| token.checked_sub(1)).ok_or(Status::NotFound)?;
        self.lock().queues.get_mut(index).map(act).ok_or(Status::NotFound)
    }

    /// No operation leaves the maps half changed, so that a lock poisoned by a test that panicked is still good.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
