//! The wire protocol: pinned bytes, the document for implementers, and what a reader does with anything else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bounds;
mod documented;
mod golden;
mod properties;
mod values;

use serde::de::DeserializeOwned;

/// Every variant of an enum, in the order of their numbers on the wire, with the numbers and amounts in them zero. It asks the
/// decoder for one number after the other, so no variant can be forgotten here.
fn every_variant<E: DeserializeOwned>() -> Vec<E> {
    let with_number = |number: u8| {
        let mut bytes = [0; 128];
        bytes[0] = number;
        postcard::take_from_bytes(&bytes).ok().map(|(variant, _)| variant)
    };
    (0..128).map_while(with_number).collect()
}
