//! Prefixes as text, without the detours of [`core::fmt`]: an answer may carry one.

use core::net::Ipv6Addr;

use super::Prefix;

impl Prefix {
    /// Appends what [`Display`](core::fmt::Display) writes.
    pub fn write(self, out: &mut Vec<u8>) {
        let len = match self {
            Self::V4 { network, len } => {
                v4(network, out);
                (len < 32).then_some(len)
            }
            Self::V6 { network, len } => {
                v6(network, out);
                (len < 128).then_some(len)
            }
        };
        if let Some(len) = len {
            out.push(b'/');
            decimal(len, out);
        }
    }
}

fn decimal(number: u8, out: &mut Vec<u8>) {
    if number >= 100 {
        out.push(b'0' + number / 100);
    }
    if number >= 10 {
        out.push(b'0' + number / 10 % 10);
    }
    out.push(b'0' + number % 10);
}

fn v4(address: u32, out: &mut Vec<u8>) {
    let [first, rest @ ..] = address.to_be_bytes();
    decimal(first, out);
    for octet in rest {
        out.push(b'.');
        decimal(octet, out);
    }
}

/// RFC 5952: the first of the longest runs of zeros is left out.
fn v6(address: u128, out: &mut Vec<u8>) {
    let segments = Ipv6Addr::from_bits(address).segments();
    let gap = gap(segments);
    for (place, segment) in (0_u8..).zip(segments) {
        if place == gap.from {
            out.extend_from_slice(b"::");
        }
        if (gap.from..gap.to).contains(&place) {
            continue;
        }
        if place > 0 && place != gap.to {
            out.push(b':');
        }
        hexadecimal(segment, out);
    }
}

/// Segments that are left out.
struct Gap {
    from: u8,
    to: u8,
}

fn gap(segments: [u16; 8]) -> Gap {
    // Behind the last one: nothing is left out.
    let (mut longest, mut from) = (Gap { from: 8, to: 8 }, 0);
    let mut len = 1;
    for (place, segment) in (0_u8..).zip(segments) {
        if segment != 0 {
            from = place + 1;
        } else if place + 1 - from > len {
            len = place + 1 - from;
            longest = Gap {
                from,
                to: place + 1,
            };
        }
    }
    longest
}

fn hexadecimal(number: u16, out: &mut Vec<u8>) {
    let mut shift = 12_u32.saturating_sub(number.leading_zeros() & !3);
    loop {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "four bits of it are wanted"
        )]
        let digit = (number >> shift) as u8 & 0xf;
        out.push(if digit < 10 {
            b'0' + digit
        } else {
            b'a' - 10 + digit
        });
        if shift == 0 {
            return;
        }
        shift -= 4;
    }
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn written(address: IpAddr, len: u8) -> (String, String) {
        let prefix = Prefix::new(address, len).unwrap();
        let mut out = b"before ".to_vec();
        prefix.write(&mut out);
        (String::from_utf8(out).unwrap(), format!("before {prefix}"))
    }

    /// Segments of which many are zero or short, as those of real addresses are.
    fn segments() -> impl Strategy<Value = [u16; 8]> {
        prop::array::uniform8(prop_oneof![
            3 => Just(0),
            1 => Just(0xffff),
            1 => 0..0x1000_u16,
            1 => any::<u16>(),
        ])
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_displayed(
            v4 in any::<[u8; 4]>(), v6 in segments(), len in 0..=128_u8,
        ) {
            let (ours, theirs) = written(v4.into(), len % 33);
            prop_assert_eq!(ours, theirs);
            let (ours, theirs) = written(v6.into(), len);
            prop_assert_eq!(ours, theirs);
            let (ours, theirs) = written(v6.into(), 128);
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn zeros_are_left_out_once_and_where_they_are_most() {
        for text in [
            "::",
            "::1",
            "1::",
            "1::2",
            "0:1::",
            "::1:0:0:0:1",
            "1:0:2::3",
            "1:0:0:2::",
            "1:2:3:4:5:6:7:8",
            "0:1:0:1:0:1:0:1",
            "1:2:3:4:5:6::",
            "::3:4:5:6:7:8",
            "2001:db8::ffff:0:0",
            "0.0.0.0",
            "255.255.255.255",
            "10.0.100.9",
        ] {
            let (ours, theirs) = written(
                text.parse().unwrap(),
                if text.contains(':') { 128 } else { 32 },
            );
            assert_eq!(ours, theirs);
        }
    }
}
