//! Makes up whole conversations from a seed: HAProxy 2.x or 3.x as they really speak, and now and
//! then something that neither would send.

use haproxy_spop::session::SessionConfig;

use crate::encode::{self, Message, Value};
use crate::event::{Event, Farewell, Head, Offer, Shape};
use crate::oracle::Oracle;
use crate::policy;
use crate::seeded::Seeded;

/// Which HAProxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// 2.6 to 3.0: `pipelining,async`, global stream-ids, frame-ids that count, fragments.
    Two,
    /// 3.1 and later: `pipelining`, odd stream-ids, no fragments.
    Three,
}

/// One conversation and what is to be expected of it.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) oracle: Oracle,
    /// The agent is told to stop after so many bytes, with this status.
    pub(crate) shutdown: Option<(usize, u32)>,
    /// What was sent and where it ends, for who has to look into a failure.
    pub(crate) events: Vec<(usize, Event)>,
}

/// Makes up a conversation.
pub(crate) fn converse(seeded: &mut Seeded, style: Style) -> Conversation {
    let terms = terms(seeded);
    let mut haproxy = Haproxy {
        stream: 1 + seeded.below(300) as u64,
        frame: 0,
        style,
        faulty: seeded.one_in(2),
        oracle: Oracle::new(terms),
        events: Vec::new(),
        seeded,
    };
    haproxy.open();
    for _ in 0..haproxy.seeded.below(12) {
        haproxy.turn();
    }
    haproxy.close()
}

fn terms(seeded: &mut Seeded) -> SessionConfig {
    SessionConfig {
        max_frame_size: seeded.pick(&[0, 256, 300, 1000, 16_380, 65_536]),
        fragmentation: !seeded.one_in(4),
        reassembly_max: seeded.pick(&[0, 100, 700, 4000, 262_144]),
        output_high_water: seeded.pick(&[0, 1, 64, 500, 65_536]),
    }
}

struct Haproxy<'a> {
    seeded: &'a mut Seeded,
    style: Style,
    /// Whether anything but HAProxy's own conversation is mixed in.
    faulty: bool,
    oracle: Oracle,
    stream: u64,
    frame: u64,
    events: Vec<(usize, Event)>,
}

impl Haproxy<'_> {
    fn send(&mut self, event: Event) {
        self.oracle.send(&event);
        self.events.push((self.oracle.bytes.len(), event));
    }

    fn open(&mut self) {
        if self.faulty && self.seeded.one_in(4) {
            self.fault();
        }
        let mut offer = self.offer();
        let mut head = Head::HANDSHAKE;
        if self.faulty && self.seeded.one_in(3) {
            self.spoil(&mut offer);
        }
        if self.faulty && self.seeded.one_in(20) {
            head = self.seeded.pick(&[
                Head { flags: 0, ..head },
                Head {
                    ids: (0, 1),
                    ..head
                },
            ]);
        }
        self.send(Event::Hello(head, offer));
    }

    fn offer(&mut self) -> Offer {
        let check = self.seeded.one_in(25);
        let text = |text: &str| Some(Value::String(text.into()));
        let capabilities = match self.style {
            _ if check => "",
            Style::Two => "pipelining,async",
            Style::Three => self.seeded.pick(&["pipelining", ", pipelining"]),
        };
        Offer {
            versions: text(self.seeded.pick(&["2.0", "2.0, 1.5", " 1.0 ,2.0"])),
            has_two: true,
            max_frame_size: Some(Value::Uint32(self.seeded.pick(&[256, 400, 16_380, 65_532]))),
            capabilities: text(capabilities),
            pipelining: capabilities.contains("pipelining"),
            healthcheck: check.then_some(Value::Bool(true)),
            engine_id: text("engine").filter(|_| !check),
            shape: self
                .seeded
                .pick(&[Shape::Plain, Shape::Plain, Shape::Reversed]),
        }
    }

    /// One thing wrong with a HELLO, or merely unusual.
    fn spoil(&mut self, offer: &mut Offer) {
        match self.seeded.below(12) {
            0 => offer.versions = None,
            1 => offer.max_frame_size = None,
            2 => offer.capabilities = None,
            3 => {
                offer.versions = Some(Value::String(self.seeded.pick(&["1.0", "", "20.0"]).into()));
                offer.has_two = false;
            }
            4 => offer.max_frame_size = Some(Value::Uint32(self.seeded.pick(&[0, 7, 255]))),
            5 => offer.max_frame_size = Some(Value::Int64(self.seeded.pick(&[-1, 1 << 32]))),
            6 => offer.max_frame_size = Some(Value::Int64(4096)),
            7 => offer.max_frame_size = Some(Value::String(b"16380".to_vec())),
            8 => offer.engine_id = Some(Value::Uint32(1)),
            9 => offer.healthcheck = Some(Value::Bool(false)),
            10 => offer.healthcheck = Some(Value::Null),
            _ => offer.shape = Shape::Garbled,
        }
    }

    /// A burst of requests, as pipelining allows it, or a fault.
    fn turn(&mut self) {
        if self.faulty && self.seeded.one_in(6) {
            return self.fault();
        }
        for _ in 0..=self.seeded.below(8) {
            let ids = self.next_ids();
            let messages = self.messages();
            let payload = encode::messages(&messages);
            let room = self.oracle.agreed.unwrap_or(256) as usize - 25;
            if payload.len() > room || self.seeded.one_in(12) {
                self.fragments(ids, &payload, room);
            } else {
                self.send(Event::Frame(3, Head { flags: 1, ids }, payload));
            }
        }
    }

    fn next_ids(&mut self) -> (u64, u64) {
        if self.faulty && self.seeded.one_in(16) {
            self.stream = self.seeded.next();
        }
        match self.style {
            Style::Two => {
                self.frame += 1;
                self.stream = self.stream.wrapping_add(self.seeded.below(3) as u64);
                (self.stream, self.frame)
            }
            Style::Three => {
                self.stream = (self.stream | 1).wrapping_add(2);
                (self.stream, 1)
            }
        }
    }

    fn messages(&mut self) -> Vec<Message> {
        let count = self.seeded.pick(&[0, 1, 1, 1, 2, 5]);
        (0..count).map(|_| message(self.seeded)).collect()
    }

    /// What fits no frame: fragments if the agent takes them, else HAProxy sends nothing.
    fn fragments(&mut self, ids: (u64, u64), payload: &[u8], room: usize) {
        let fragments = self.style == Style::Two && self.oracle.terms.fragmentation;
        if !fragments && !self.faulty {
            return;
        }
        let (mut rest, mut kind) = (payload, 3);
        while !rest.is_empty() {
            let len = self.seeded.below(room.min(rest.len()) + 1);
            let len = if self.seeded.one_in(2) {
                len
            } else {
                room.min(rest.len())
            };
            let (piece, tail) = rest.split_at(len);
            self.send(Event::Frame(kind, Head { flags: 0, ids }, piece.to_vec()));
            (rest, kind) = (tail, 0);
            if self.faulty && self.seeded.one_in(15) {
                self.fault();
            }
            if self.seeded.one_in(40) {
                return self.send(Event::Frame(0, Head { flags: 3, ids }, Vec::new()));
            }
        }
        if kind == 0 {
            self.send(Event::Frame(0, Head { flags: 1, ids }, Vec::new()));
        }
    }

    /// Something that HAProxy would not do, or not there.
    fn fault(&mut self) {
        let ids = self.oracle.gathering().unwrap_or_else(|| self.next_ids());
        let other = (ids.0, ids.1.wrapping_add(1));
        let whole = Head { flags: 1, ids };
        let part = Head { flags: 0, ids };
        let payload = encode::messages(&self.messages());
        let event = match self.seeded.below(16) {
            0 => Event::Length(self.seeded.pick(&[0, 1, 6])),
            1 => Event::Length(self.seeded.pick(&[70_000, 0x4745_5420, u32::MAX])),
            2 => Event::Ids(self.seeded.pick(&[0, 2, 3, 77]), self.seeded.pick(&BAD_IDS)),
            3 => Event::Hello(Head::HANDSHAKE, self.offer()),
            4 => Event::Frame(3, part, payload),
            5 => Event::Frame(0, whole, payload),
            6 => Event::Frame(
                0,
                Head {
                    flags: 0,
                    ids: other,
                },
                payload,
            ),
            7 => Event::Frame(0, Head { flags: 2, ids }, payload),
            8 => Event::Frame(
                3,
                Head {
                    flags: 0xffff_ffff,
                    ids,
                },
                payload,
            ),
            9 => Event::Frame(3, whole, vec![0; self.seeded.below(70_000)]),
            10 | 11 => Event::Frame(3, whole, self.mangled(payload)),
            12 => self.disconnect(),
            _ => {
                let kind = self.seeded.pick(&[4, 77, 100, 101, 102, 103, 255]);
                Event::Frame(
                    kind,
                    Head {
                        flags: self.seeded.pick(&[0, 1, 2, 3]),
                        ids,
                    },
                    payload,
                )
            }
        };
        self.send(event);
    }

    fn mangled(&mut self, mut payload: Vec<u8>) -> Vec<u8> {
        payload.extend(encode::messages(&[message(self.seeded)]));
        let at = self.seeded.below(payload.len());
        match self.seeded.below(3) {
            0 => payload.truncate(at),
            1 => payload[at] = self.seeded.byte(),
            _ => payload.insert(at, self.seeded.byte()),
        }
        payload
    }

    fn disconnect(&mut self) -> Event {
        let code = self.seeded.pick(&[0, 0, 2, 13, 99, 100, 4242, u32::MAX]);
        let status = match self.seeded.below(12) {
            0 => None,
            1 => Some(Value::Null),
            2 => Some(Value::Int64(-1)),
            3 => Some(Value::Uint64(1 << 32)),
            4 => Some(Value::Int64(i64::from(code))),
            5 => Some(Value::Uint64(u64::from(code))),
            _ => Some(Value::Uint32(code)),
        };
        let message = self.seeded.pick(&["bye", "", "normal"]);
        let farewell = Farewell {
            status: if self.faulty {
                status
            } else {
                Some(Value::Uint32(code))
            },
            message: Some(Value::String(message.into())),
            garbled: self.faulty && self.seeded.one_in(10),
        };
        let fin = !(self.faulty && self.seeded.one_in(10));
        let flags = u32::from(fin);
        Event::Disconnect(Head { flags, ids: (0, 0) }, farewell)
    }

    /// A farewell, a stop of the agent, or silence, anywhere.
    fn close(mut self) -> Conversation {
        let mut shutdown = None;
        let any = self.seeded.below(self.oracle.bytes.len() + 1);
        match self.seeded.below(6) {
            0 => {
                self.oracle.bytes.truncate(any);
                self.oracle.cut(any);
            }
            1 => {
                let status = self.seeded.pick(&[0, 1, 2, 13]);
                self.oracle.shut_down(any, status);
                shutdown = Some((any, status));
            }
            _ => {
                let farewell = self.disconnect();
                self.send(farewell);
                self.turn();
            }
        }
        Conversation {
            oracle: self.oracle,
            shutdown,
            events: self.events,
        }
    }
}

/// Ids that end before they should, or never.
const BAD_IDS: [&[u8]; 4] = [
    &[0xff, 0x80],
    &[5, 0xf0],
    &[
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1,
    ],
    &[
        1, 0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x10,
    ],
];

fn message(seeded: &mut Seeded) -> Message {
    let count = if seeded.one_in(200) {
        255
    } else {
        seeded.below(4)
    };
    Message {
        name: seeded.pick(&policy::NAMES).to_owned(),
        arguments: (0..count).map(|_| argument(seeded)).collect(),
    }
}

fn argument(seeded: &mut Seeded) -> (Vec<u8>, Value) {
    let names: [&[u8]; 5] = [b"", b"", b"src", b"ip", &[0xff, 0x00, 0x80]];
    let len = if seeded.one_in(40) {
        seeded.below(1500)
    } else {
        seeded.below(20)
    };
    let bytes = vec![seeded.byte(); len];
    let number = seeded.next() >> seeded.below(64);
    let low = u32::try_from(number >> 32).unwrap();
    let value = match seeded.below(12) {
        0 => Value::Null,
        1 => Value::Bool(seeded.one_in(2)),
        2 => Value::Int32(low.cast_signed()),
        3 => Value::Uint32(low),
        4 => Value::Int64(number.cast_signed()),
        5 => Value::Uint64(number),
        6 => Value::Ipv6([seeded.byte(); 16]),
        7 => Value::String(bytes),
        8 => Value::Binary(bytes),
        _ => Value::Ipv4([192, 0, 2, seeded.byte()]),
    };
    (seeded.pick(&names).to_vec(), value)
}
