//! The bytes that a peer sends.

use bytes::BytesMut;
use haproxy_spop::{
    Argument, Capabilities, Disconnect, Flags, FrameType, FrameWriter, HaproxyHello, NotifyWriter,
    Status, TypedData, Versions,
};

/// What `HAProxy` 2.6 and 3.0 offer.
pub(crate) const OFFER: HaproxyHello<'static> = HaproxyHello {
    supported_versions: Some(Versions(b"2.0")),
    max_frame_size: Some(16380),
    capabilities: Some(Capabilities(b"pipelining,async")),
    healthcheck: false,
    engine_id: Some(b"0d6b4ca9-0b7a-4d06-9b4e-000000000000"),
};

/// A HELLO with these items.
pub(crate) fn offer(hello: &HaproxyHello<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    hello.write(&mut out, 16380).unwrap();
    out
}

/// The HELLO of a real `HAProxy`.
pub(crate) fn hello() -> BytesMut {
    offer(&OFFER)
}

/// A NOTIFY that asks for the score of an address.
pub(crate) fn notify(stream_id: u64, frame_id: u64) -> BytesMut {
    let mut out = BytesMut::new();
    let mut notify = NotifyWriter::begin(&mut out, stream_id, frame_id, 16380);
    let value = TypedData::Ipv4([192, 0, 2, 1].into());
    let unnamed = Argument { name: b"", value };
    notify.message("check-client-ip", &[unnamed]).unwrap();
    notify.finish();
    out
}

/// NOTIFYs without a message, with these frame-ids: small, and their ACKs are as large as they are.
pub(crate) fn empty_notifies(frame_ids: core::ops::Range<u64>) -> BytesMut {
    let mut out = BytesMut::new();
    for frame_id in frame_ids {
        NotifyWriter::begin(&mut out, 1, frame_id, 16380).finish();
    }
    out
}

pub(crate) fn frame(kind: FrameType, flags: Flags, ids: (u64, u64), payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let mut frame = FrameWriter::begin(&mut out, kind, flags, ids, u32::MAX);
    frame.put(payload).unwrap();
    frame.finish();
    out
}

/// A DISCONNECT with any status code.
pub(crate) fn disconnect(status: u32) -> BytesMut {
    let mut out = BytesMut::new();
    let goodbye = Disconnect {
        status: Status(status),
        message: b"so says the peer",
    };
    goodbye
        .write(FrameType::HAPROXY_DISCONNECT, &mut out, 16380)
        .unwrap();
    out
}

/// Frames one after the other.
pub(crate) fn join(frames: &[&[u8]]) -> Vec<u8> {
    frames.concat()
}
