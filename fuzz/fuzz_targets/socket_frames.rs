//! Frames of a service's WebSocket.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bridge::fuzzing::read_frame(bytes));
