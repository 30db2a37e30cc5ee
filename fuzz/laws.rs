//! What holds for any bytes. libFuzzer looks for bytes that break a law (`fuzz/targets`),
//! `tests/fuzz_smoke.rs` tries seeds and mutations of them on the stable toolchain, and
//! `tests/session_properties.rs` tries frames in any order.

#[path = "../tests/model/driver.rs"]
mod driver;
#[path = "laws/payload.rs"]
mod payload;
#[path = "laws/talk.rs"]
mod talk;

use haproxy_spop::session::SessionConfig;
use haproxy_spop::{DecodeError, Flags, Frame, FrameType, LENGTH_PREFIX, Status};

pub(crate) use talk::{Talk, hello, raw};

/// Law: what is taken off and what is left are the input; a frame is there when its last byte is
/// and not before; what is read can be written and is read again as the same; an error names its
/// field.
pub(crate) fn frame(data: &[u8]) {
    let Some((&choice, mut rest)) = data.split_first() else {
        return;
    };
    let max = [7, 256, 16_380, u32::MAX][usize::from(choice % 4)];
    loop {
        match Frame::split_first(rest, max) {
            Ok(None) => return,
            Err(malformed) => return names_its_field(malformed),
            Ok(Some((frame, tail))) => {
                splits_exactly(rest, tail, frame, max);
                payload::reads_what_it_writes(frame);
                rest = tail;
            }
        }
    }
}

fn splits_exactly(input: &[u8], tail: &[u8], frame: Frame<'_>, max: u32) {
    let used = input.len() - tail.len();
    assert_eq!(&input[used..], tail);
    assert!(input[..used].ends_with(frame.payload));
    assert!(used - LENGTH_PREFIX <= max as usize);
    for cut in (0..LENGTH_PREFIX + 8)
        .chain([used / 2, used - 1])
        .filter(|&cut| cut < used)
    {
        assert_eq!(
            Frame::split_first(&input[..cut], max),
            Ok(None),
            "cut at {cut} of {used}"
        );
    }
}

fn names_its_field(malformed: DecodeError) {
    match malformed {
        DecodeError::TooBig { len, max } => assert!(len > max),
        DecodeError::Field { name, .. } => assert!(!name.is_empty()),
    }
    assert!(!malformed.to_string().is_empty());
}

/// Law: any chunking of the same bytes gives the same answers; every ACK answers a NOTIFY, and
/// every NOTIFY has its ACK; nothing exceeds what was agreed on. The first four bytes choose the
/// terms and the chunking.
pub(crate) fn session(data: &[u8]) {
    let Some((&[terms, size, cuts, greet], input)) = data.split_first_chunk() else {
        return;
    };
    let terms = SessionConfig {
        max_frame_size: [0, 300, 4096, 65_536][usize::from(size % 4)],
        fragmentation: terms & 1 == 0,
        reassembly_max: [0, 40, 1000, 262_144][usize::from(terms >> 1) % 4],
        output_high_water: [0, 50, 400, 65_536][usize::from(terms >> 3) % 4],
    };
    let greeting = if greet & 1 == 0 {
        hello(16_380)
    } else {
        Vec::new()
    };
    let input = [&greeting, input].concat();
    let whole = Talk::new(terms, &[&input]);
    whole.is_lawful(&input);
    let pieces: Vec<_> = input.chunks(1 + usize::from(cuts)).collect();
    assert_eq!(whole, Talk::new(terms, &pieces));
    let generous = SessionConfig {
        output_high_water: usize::MAX / 2,
        ..terms
    };
    assert_eq!(
        whole,
        Talk::new(generous, &[&input]),
        "the high-water mark costs or adds something"
    );
}

/// Law: a NOTIFY in fragments is answered as the same NOTIFY in one frame; given up, as none; above
/// the bound, with status 3. Its first bytes are the bound, the number of fragments and the size of
/// each; what follows is the payload.
pub(crate) fn reassembly(data: &[u8]) {
    let Some((&[bound, count], rest)) = data.split_first_chunk() else {
        return;
    };
    let Some((sizes, payload)) = rest.split_at_checked(usize::from(count % 16)) else {
        return;
    };
    let terms = SessionConfig {
        max_frame_size: 1 << 20,
        reassembly_max: [payload.len(), payload.len().saturating_sub(1), 100, 1 << 20]
            [usize::from(bound % 4)],
        ..SessionConfig::default()
    };
    let ids = (u64::from(bound), u64::MAX - u64::from(count));
    let next = raw(FrameType::NOTIFY, Flags::FIN, (9, 9), b"");
    let talk = |frames: &[u8]| Talk::new(terms, &[&hello(1 << 20), frames, &next]);

    let fragments = in_fragments(ids, sizes, payload);
    let in_pieces = talk(&[&fragments[..], &raw(FrameType::UNSET, Flags::FIN, ids, b"")].concat());
    if payload.len() > terms.reassembly_max {
        assert_eq!(in_pieces.total.close, Some(Status::TOO_BIG));
        assert_eq!(in_pieces.total.acks, 0);
        return;
    }
    let whole = talk(&raw(FrameType::NOTIFY, Flags::FIN, ids, payload));
    assert_eq!(in_pieces.sent, whole.sent);
    assert_eq!(in_pieces.total.acks, whole.total.acks);
    assert_eq!(in_pieces.total.refusal, whole.total.refusal);
    assert_eq!(
        (in_pieces.total.reassembled, whole.total.reassembled),
        (1, 0)
    );

    let abort = raw(FrameType::UNSET, Flags::FIN.with(Flags::ABORT), ids, b"");
    let given_up = talk(&[&fragments[..], &abort].concat());
    assert_eq!(given_up.sent, talk(b"").sent);
    assert_eq!((given_up.total.aborted, given_up.total.acks), (1, 1));
}

/// A NOTIFY and its fragments, all without FIN.
fn in_fragments(ids: (u64, u64), sizes: &[u8], mut payload: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    for &size in sizes {
        let (piece, rest) = payload.split_at(payload.len().min(usize::from(size)));
        frames.push(piece);
        payload = rest;
    }
    frames.push(payload);
    let kinds = [FrameType::NOTIFY]
        .into_iter()
        .chain(core::iter::repeat(FrameType::UNSET));
    let frames = kinds
        .zip(frames)
        .map(|(kind, piece)| raw(kind, Flags::NONE, ids, piece));
    frames.collect::<Vec<_>>().concat()
}
