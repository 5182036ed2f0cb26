#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _messages = meshwright_fuzz::discovery(bytes, 7);
});
