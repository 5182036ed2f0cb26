#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _taken = meshwright_fuzz::discovered_keys(bytes);
});
