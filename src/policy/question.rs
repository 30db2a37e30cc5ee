//! Which message asks what: one table.

use core::net::IpAddr;

use haproxy_spop::{Message, Scope};

/// Which argument carries the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentName {
    /// The first argument that is an address, whatever its name; `args src` gives it none.
    Any,
    /// The first argument of this name that is an address.
    Named(&'static str),
}

/// A message that asks for a score, and where the answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The name on the `spoe-message` line.
    pub message: &'static str,
    /// Which of its arguments is looked up.
    pub argument: ArgumentName,
    /// The scope of the variable.
    pub scope: Scope,
    /// The name of the variable, without scope and prefix.
    pub variable: &'static str,
}

/// Every message that is answered with a score, typed UINT32, 0..=100.
pub const QUESTIONS: [Question; 4] = [
    // The C example's configuration: `args src`.
    Question {
        message: "check-client-ip",
        argument: ArgumentName::Any,
        scope: Scope::Session,
        variable: "ip_score",
    },
    // SPOE.txt 2.5: `args ip=src`.
    Question {
        message: "get-ip-reputation",
        argument: ArgumentName::Named("ip"),
        scope: Scope::Session,
        variable: "ip_score",
    },
    // The Go library's example.
    Question {
        message: "ip-rep",
        argument: ArgumentName::Named("ip"),
        scope: Scope::Session,
        variable: "reputation",
    },
    // The payload offload: `args buf=req.payload(0,0)`, and an address if one is sent as well.
    Question {
        message: "check-buffer",
        argument: ArgumentName::Any,
        scope: Scope::Session,
        variable: "ip_score",
    },
];

impl Question {
    /// The question that a message asks, if it asks one.
    #[must_use]
    #[inline]
    pub fn of(message: &Message<'_>) -> Option<&'static Self> {
        // Unrolled by hand: with a length known when compiling, a comparison is a few wide loads.
        let name = message.name();
        let [first, second, third, fourth] = &QUESTIONS;
        if name == first.message.as_bytes() {
            Some(first)
        } else if name == second.message.as_bytes() {
            Some(second)
        } else if name == third.message.as_bytes() {
            Some(third)
        } else if name == fourth.message.as_bytes() {
            Some(fourth)
        } else {
            None
        }
    }

    /// The address that a message asks about. NULL, a wrong type and no argument at all are none.
    #[must_use]
    #[inline]
    pub fn address(&self, message: &Message<'_>) -> Option<IpAddr> {
        message
            .arguments()
            .filter(|argument| match self.argument {
                ArgumentName::Any => true,
                ArgumentName::Named(name) => is_same(argument.name, name.as_bytes()),
            })
            .find_map(|argument| argument.value.address())
    }
}

/// Whether two short names are the same. Cheaper than the library call that `==` becomes.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use crate::policy::IpReputation;
    use haproxy_spoa::Replies;
    use haproxy_spop::*;
    use ip_reputation::{Reputation, Score};

    /// Scores an address with its last byte, so that a test sees which one was asked about.
    struct LastByte;

    impl Reputation for LastByte {
        fn score(&mut self, address: core::net::IpAddr) -> Score {
            let last = match address {
                core::net::IpAddr::V4(address) => address.octets()[3],
                core::net::IpAddr::V6(address) => address.octets()[15],
            };
            Score::new(last).unwrap()
        }
    }

    /// The variables that a NOTIFY of these messages sets: name and score.
    fn answer(messages: &[(&str, &[(&str, TypedData<'_>)])]) -> Vec<(String, u32)> {
        let mut bytes = BytesMut::new();
        let mut notify = NotifyWriter::begin(&mut bytes, 1, 1, 200_000);
        for (name, arguments) in messages {
            let arguments: Vec<_> = arguments
                .iter()
                .map(|&(name, value)| Argument {
                    name: name.as_bytes(),
                    value,
                })
                .collect();
            notify.message(name, &arguments).unwrap();
        }
        notify.finish();
        let (frame, _) = Frame::split_first(&bytes, 200_000).unwrap().unwrap();
        let mut out = BytesMut::new();
        let notify = Notify::try_from(frame).unwrap();
        let mut handler = IpReputation::new(LastByte);
        Replies::detached().answer(&mut handler, &notify, 16380, &mut out);
        let (frame, _) = Frame::split_first(&out, 16380).unwrap().unwrap();
        let actions = AckView::try_from(frame).unwrap().actions();
        actions
            .filter(|action| {
                let filler = Scope::Response;
                !matches!(action, Action::UnsetVar { scope, .. } if *scope == filler)
            })
            .map(|action| match action {
                Action::SetVar {
                    scope: Scope::Session,
                    name,
                    value: TypedData::Uint32(score),
                } => (String::from_utf8(name.to_vec()).unwrap(), score),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn v4(last: u8) -> TypedData<'static> {
        TypedData::Ipv4([192, 0, 2, last].into())
    }

    fn set(name: &str, score: u32) -> Vec<(String, u32)> {
        vec![(name.to_owned(), score)]
    }

    #[test]
    fn each_message_of_the_seeds_sets_its_variable() {
        assert_eq!(
            answer(&[("check-client-ip", &[("", v4(7))])]),
            set("ip_score", 7)
        );
        assert_eq!(
            answer(&[("check-client-ip", &[("src", v4(7))])]),
            set("ip_score", 7)
        );
        assert_eq!(
            answer(&[("get-ip-reputation", &[("ip", v4(8))])]),
            set("ip_score", 8)
        );
        assert_eq!(
            answer(&[("ip-rep", &[("ip", v4(9))])]),
            set("reputation", 9)
        );
        let bytes = vec![0xff; 100_000];
        let buffer = TypedData::Binary(&bytes);
        assert_eq!(answer(&[("check-buffer", &[("buf", buffer)])]), []);
        let both = [("buf", buffer), ("ip", v4(5))];
        assert_eq!(answer(&[("check-buffer", &both)]), set("ip_score", 5));
    }

    #[test]
    fn ipv6_is_looked_up_and_a_mapped_ipv4_is_ipv4() {
        let v6 = TypedData::Ipv6("2001:db8::20".parse().unwrap());
        assert_eq!(
            answer(&[("check-client-ip", &[("", v6)])]),
            set("ip_score", 32)
        );
        let mapped = TypedData::Ipv6("::ffff:192.0.2.33".parse().unwrap());
        assert_eq!(
            answer(&[("check-client-ip", &[("", mapped)])]),
            set("ip_score", 33)
        );
    }

    #[test]
    fn no_address_sets_nothing() {
        let string = TypedData::String(b"192.0.2.1");
        for value in [
            TypedData::Null,
            string,
            TypedData::Int64(1),
            TypedData::Bool(true),
        ] {
            assert_eq!(answer(&[("check-client-ip", &[("", value)])]), []);
            assert_eq!(answer(&[("ip-rep", &[("ip", value)])]), []);
        }
        assert_eq!(answer(&[("check-client-ip", &[])]), []);
        assert_eq!(answer(&[("ip-rep", &[("", v4(1)), ("IP", v4(1))])]), []);
    }

    #[test]
    fn names_are_compared_whole_and_unknown_messages_are_passed_over() {
        for name in ["", "check", "check-client-ipx", "CHECK-CLIENT-IP", "ip"] {
            assert_eq!(answer(&[(name, &[("ip", v4(1))])]), []);
        }
        let both = [
            ("other", &[("", v4(1))][..]),
            ("check-client-ip", &[("", v4(2))][..]),
        ];
        assert_eq!(answer(&both), set("ip_score", 2));
    }

    #[test]
    fn the_first_address_of_the_right_name_counts() {
        let arguments = [
            ("x", v4(1)),
            ("ip", TypedData::Null),
            ("ip", v4(2)),
            ("ip", v4(3)),
        ];
        assert_eq!(
            answer(&[("get-ip-reputation", &arguments)]),
            set("ip_score", 2)
        );
    }
}
