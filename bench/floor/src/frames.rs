//! Canned answers for whole frames.

const HAPROXY_HELLO: u8 = 1;
const HAPROXY_DISCONNECT: u8 = 2;
const NOTIFY: u8 = 3;

/// Where the ids begin: after length, type and flags.
const IDS: usize = 9;

const AGENT_HELLO: &[u8] = b"\x00\x00\x00\x40\x65\x00\x00\x00\x01\x00\x00\
    \x07version\x08\x032.0\
    \x0emax-frame-size\x03\xfc\xf0\x06\
    \x0ccapabilities\x08\x0apipelining";
const AGENT_DISCONNECT: &[u8] = b"\x00\x00\x00\x25\x66\x00\x00\x00\x01\x00\x00\
    \x0bstatus-code\x03\x00\
    \x07message\x08\x06normal";
/// set-var, three arguments, `sess`, `ip_score`, UINT32 42.
const SET_SCORE: &[u8] = b"\x01\x03\x01\x08ip_score\x03\x2a";

/// What [`answer`] did.
pub struct Answered {
    /// Bytes of the input that were whole frames.
    pub consumed: usize,
    /// Whether a DISCONNECT was among them.
    pub leave: bool,
}

/// Appends the answer of every whole frame of `input` to `output`.
#[inline]
pub fn answer(input: &[u8], output: &mut Vec<u8>) -> Answered {
    let mut consumed = 0;
    while let Some((prefix, body)) = input[consumed..].split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*prefix) as usize;
        if body.len() < len || len < 7 {
            break;
        }
        let frame = &input[consumed..consumed + 4 + len];
        consumed += 4 + len;
        match frame[4] {
            NOTIFY => acknowledge(frame, output),
            HAPROXY_HELLO => output.extend_from_slice(AGENT_HELLO),
            HAPROXY_DISCONNECT => {
                output.extend_from_slice(AGENT_DISCONNECT);
                return Answered {
                    consumed,
                    leave: true,
                };
            }
            _ => {}
        }
    }
    Answered {
        consumed,
        leave: false,
    }
}

#[inline]
fn acknowledge(frame: &[u8], output: &mut Vec<u8>) {
    let ids = ids(&frame[IDS..]);
    let len = (5 + ids.len() + SET_SCORE.len()) as u8;
    output.extend_from_slice(&[0, 0, 0, len, 103, 0, 0, 0, 1]);
    output.extend_from_slice(ids);
    output.extend_from_slice(SET_SCORE);
}

/// The bytes of the two varints at the front.
#[inline]
fn ids(bytes: &[u8]) -> &[u8] {
    let mut end = 0;
    for _ in 0..2 {
        end += 1;
        if bytes[end - 1] >= 240 {
            while bytes[end] >= 128 {
                end += 1;
            }
            end += 1;
        }
    }
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canned_frames_have_the_length_they_say() {
        for frame in [AGENT_HELLO, AGENT_DISCONNECT] {
            assert_eq!(
                u32::from_be_bytes(*frame.first_chunk().unwrap()) as usize,
                frame.len() - 4
            );
        }
    }

    #[test]
    fn whole_frames_are_answered_with_their_ids_and_the_rest_is_left() {
        let notify = [0, 0, 0, 9, 3, 0, 0, 0, 1, 0xf0, 0x80, 0x00, 7];
        let mut input = notify.to_vec();
        input.extend_from_slice(&notify[..6]);
        let mut output = Vec::new();
        let answered = answer(&input, &mut output);
        assert_eq!((answered.consumed, answered.leave), (13, false));
        let mut ack = vec![0, 0, 0, 23, 103, 0, 0, 0, 1, 0xf0, 0x80, 0x00, 7];
        ack.extend_from_slice(SET_SCORE);
        assert_eq!(output, ack);
    }
}
