//! How Envoy's allocator (TCMalloc) is told to give back what V8 needed only while it compiled the filter module. Without it a proxy keeps
//! about half as much again as it uses.

use serde_json::{Value, json};

/// With more than this in use, free pages are given back as soon as there are any. An Envoy without the module uses less.
const SOFT_LIMIT: u64 = 16 * 1024 * 1024;
/// What is given back once a second where the allocator would otherwise wait for the pages to be asked for again.
const RELEASED: u64 = 64 * 1024 * 1024;

/// The environment that Envoy is started with, by name and value. Since glibc 2.35 glibc registers restartable sequences (rseq) for itself;
/// TCMalloc then falls back from caches for each core to caches for each thread, and those of V8's idle compile threads are never emptied.
pub const ENVIRONMENT: (&str, &str) = ("GLIBC_TUNABLES", "glibc.pthread.rseq=0");

/// `memory_allocator_manager` of the bootstrap (envoy.config.bootstrap.v3.MemoryAllocatorManager), for an Envoy that knows limits
/// ([`limits_its_memory`](crate::NodeMetadata::limits_its_memory)) or one that does not.
#[must_use]
pub fn manager(limited: bool) -> Value {
    let mut manager = json!({ "bytes_to_release": RELEASED, "memory_release_interval": "1s" });
    if let (Value::Object(fields), true) = (&mut manager, limited) {
        fields.insert("soft_memory_limit_bytes".to_owned(), json!(SOFT_LIMIT));
    }
    manager
}

/// The variable's value for a process that has it already: tunables are separated by colons, the last of a name counts.
#[must_use]
pub fn environment(inherited: Option<&str>) -> String {
    let (_, own) = ENVIRONMENT;
    match inherited {
        None | Some("") => own.to_owned(),
        Some(inherited) => format!("{inherited}:{own}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunables_that_are_set_stay() {
        assert_eq!(environment(None), "glibc.pthread.rseq=0");
        assert_eq!(environment(Some("glibc.malloc.check=1")), "glibc.malloc.check=1:glibc.pthread.rseq=0");
    }
}
