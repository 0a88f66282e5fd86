//! What must hold for any bytes from a stranger. The fuzz target `packet_reader` runs [`read_stream`]; so does the replay of
//! its corpus, below.

use bytes::BytesMut;

use crate::connect::read_greeting;
use crate::packet::{ClientPacket, Frame, PacketError, split_frame};
use crate::version::Version;

/// Largest packet that is read, in bytes: that of a worker.
const SIZE_MAX: usize = 2048;
/// In how small pieces the bytes arrive the second time.
const PIECE: usize = 3;

/// Reads a stream of packets as a gate does, each as if it came first and as if it came later.
///
/// # Panics
/// When the packets depend on how the bytes arrive, when they are not the bytes in order, or when a message that is read is
/// another one once it is written and read again.
pub fn read_stream(stream: &[u8]) {
    let (frames, end) = split(stream, stream.len().max(1));
    let (in_pieces, end_in_pieces) = split(stream, PIECE);
    assert!(frames.iter().map(|frame| &frame.bytes).eq(in_pieces.iter().map(|frame| &frame.bytes)));
    assert_eq!(end, end_in_pieces);
    assert!(stream.starts_with(&frames.iter().flat_map(|frame| frame.bytes.to_vec()).collect::<Vec<_>>()));
    for frame in frames {
        read(&frame);
    }
}

/// Cuts a stream that arrives in pieces of this size into packets, until it ends or something is wrong.
fn split(stream: &[u8], piece: usize) -> (Vec<Frame>, Result<(), PacketError>) {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match split_frame(&mut buffer, SIZE_MAX) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(()))
}

fn read(frame: &Frame) {
    let copy = || Frame { kind: frame.kind, bytes: frame.bytes.clone() };
    // Whether it is refused is tested elsewhere; here it must only not break.
    let _ = read_greeting(copy());
    for version in Version::ALL {
        if let Ok(ClientPacket::Publish(publish)) = version.read(copy())
            && let Some(topic) = publish.topic
        {
            let written = version.publish(&topic.to_string(), &publish.payload);
            let (frames, _) = split(&written, written.len());
            match frames.into_iter().next().map(|frame| version.read(frame)) {
                Some(Ok(ClientPacket::Publish(again))) => {
                    assert_eq!((again.topic, again.payload), (publish.topic, publish.payload));
                }
                other => panic!("the gate reads what it writes: {other:?}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_corpus_breaks_nothing() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/packet_reader");
        let mut replayed = 0;
        for entry in fs::read_dir(&corpus).unwrap() {
            read_stream(&fs::read(entry.unwrap().path()).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "{} is empty", corpus.display());
    }
}
