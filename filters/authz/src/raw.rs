//! The host calls that every request makes, and comparing bytes: what proxy-wasm's SDK and libc do slowly.
//!
//! The SDK copies each header's name and value into memory of its own, and builds a property's path anew each time; with that a request took
//! forty allocations. libc compares byte by byte.

#![expect(unsafe_code, reason = "a host call and a libc function are declared by hand")]

use std::ptr;

const OK: u32 = 0;
const REQUEST_HEADERS: u32 = 0;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
}

/// The request's headers as the host serializes them; `None` when it has none to give.
pub(crate) fn request_headers() -> Option<Vec<u8>> {
    let (mut data, mut size) = (ptr::null_mut(), 0);
    // SAFETY: both are places that the host may write to.
    let status = unsafe { proxy_get_header_map_pairs(REQUEST_HEADERS, &raw mut data, &raw mut size) };
    if status != OK {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: the host has filled `size` bytes that it got from the SDK's `proxy_on_memory_allocate`, which leaks a boxed slice of that size
    // from this allocator, and it gives them away for good.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Nanoseconds since the epoch; `None` when the host does not tell.
pub(crate) fn now() -> Option<u64> {
    let mut time = 0;
    // SAFETY: it is a place that the host may write to.
    let status = unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
    (status == OK).then_some(time)
}

/// Whether the host took it. `path` is one name.
pub(crate) fn set_property(path: &str, value: &[u8]) -> bool {
    // SAFETY: the host reads both within their lengths, and keeps neither.
    let status = unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) };
    status == OK
}

/// Instead of libc's: a line of 32 bytes at a time, and eight where that many are not left. Requests, tokens and records are compared with this.
///
/// # Safety
/// As C has it: there are `size` bytes at `left` and at `right`.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, size: usize) -> i32 {
    const WORD: usize = size_of::<u64>();
    const HALF: usize = WORD / 2;
    const LINE: usize = 4 * WORD;
    // SAFETY: of each place that is read, `size - at` says that enough bytes follow, as the caller promises so many.
    unsafe {
        let words = |at: usize| (left.add(at).cast::<u64>().read_unaligned(), right.add(at).cast::<u64>().read_unaligned());
        let mut at = 0;
        while size - at >= LINE {
            let (one, other) = (left.add(at).cast::<u64>(), right.add(at).cast::<u64>());
            let differs = |word: usize| one.add(word).read_unaligned() ^ other.add(word).read_unaligned();
            if differs(0) | differs(1) | differs(2) | differs(3) != 0 {
                break;
            }
            at += LINE;
        }
        while size - at >= WORD {
            let (one, other) = words(at);
            if one != other {
                return if u64::from_be(one) < u64::from_be(other) { -1 } else { 1 };
            }
            at += WORD;
        }
        if at == size {
            return 0;
        }
        if size >= WORD {
            // The last eight, of which the first are known to be equal.
            let (one, other) = words(size - WORD);
            if one == other {
                return 0;
            }
            return if u64::from_be(one) < u64::from_be(other) { -1 } else { 1 };
        }
        if size >= HALF {
            let halves = |at: usize| (left.add(at).cast::<u32>().read_unaligned(), right.add(at).cast::<u32>().read_unaligned());
            for (one, other) in [halves(0), halves(size - HALF)] {
                if one != other {
                    return if u32::from_be(one) < u32::from_be(other) { -1 } else { 1 };
                }
            }
            return 0;
        }
        while at < size {
            let (one, other) = (left.add(at).read(), right.add(at).read());
            if one != other {
                return if one < other { -1 } else { 1 };
            }
            at += 1;
        }
    }
    0
}
