#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| meshwright_fuzz::trust_bundles(bytes));
