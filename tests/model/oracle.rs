//! Foretells what the agent answers to a conversation, and when, from the events that it is made
//! of: a second reading of the status table, which shares no code with the session.

use haproxy_spop::session::SessionConfig;

use crate::decode;
use crate::encode::{Value, varint};
use crate::event::{Event, Farewell, Head, Offer, size};
use crate::policy;

/// What the agent does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Hello {
        max_frame_size: u32,
        capabilities: Vec<&'static str>,
    },
    Ack {
        ids: (u64, u64),
        actions: Vec<u8>,
    },
    Disconnect {
        status: u32,
    },
    /// No frame, but a count.
    Skipped,
    Reassembled,
    Aborted,
}

/// An answer, and how many bytes of input it takes to bring it forth.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) at: usize,
    pub(crate) answer: Answer,
}

/// How the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) at: usize,
    pub(crate) status: u32,
    /// The peer is to blame.
    pub(crate) refused: bool,
}

/// Where the conversation stands.
#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) terms: SessionConfig,
    pub(crate) bytes: Vec<u8>,
    pub(crate) due: Vec<Due>,
    pub(crate) end: Option<End>,
    /// The negotiated max-frame-size, after the handshake.
    pub(crate) agreed: Option<u32>,
    gathering: Option<((u64, u64), Vec<u8>)>,
}

impl Oracle {
    pub(crate) const fn new(terms: SessionConfig) -> Self {
        Self {
            terms,
            bytes: Vec::new(),
            due: Vec::new(),
            end: None,
            agreed: None,
            gathering: None,
        }
    }

    /// The largest frame that the agent takes of its own accord; no terms bring it below 256.
    fn own_max(&self) -> u32 {
        self.terms.max_frame_size.max(256)
    }

    /// The largest frame now.
    pub(crate) fn max(&self) -> u32 {
        self.agreed.unwrap_or_else(|| self.own_max())
    }

    /// The ids of the NOTIFY whose fragments are being gathered.
    pub(crate) fn gathering(&self) -> Option<(u64, u64)> {
        self.gathering.as_ref().map(|(ids, _)| *ids)
    }

    /// The peer sends this.
    pub(crate) fn send(&mut self, event: &Event) {
        let start = self.bytes.len();
        self.bytes.extend(event.encode());
        if self.end.is_some() {
            return;
        }
        let end = self.bytes.len();
        let max = self.max() as usize;
        match event {
            Event::Length(len) => self.refuse(start + 4, if *len < 7 { 4 } else { 3 }),
            _ if end - start - 4 > max => self.refuse(start + 4, 3),
            Event::Ids(..) => self.refuse(end, 4),
            Event::Hello(head, offer) => self.hello(end, *head, offer),
            Event::Disconnect(head, farewell) => self.farewell(end, *head, farewell),
            Event::Frame(3, head, payload) => self.notify(end, *head, payload),
            Event::Frame(0, head, payload) => self.fragment(end, *head, payload),
            Event::Frame(..) => self.answer(end, Answer::Skipped),
        }
    }

    /// The agent is told to stop when it has had `at` bytes.
    pub(crate) fn shut_down(&mut self, at: usize, status: u32) {
        self.cut(at);
        if self.end.is_none() {
            self.answer(at, Answer::Disconnect { status });
        }
    }

    /// The peer falls silent after `at` bytes.
    pub(crate) fn cut(&mut self, at: usize) {
        self.due.retain(|due| due.at <= at);
        self.end = self.end.filter(|end| end.at <= at);
    }

    fn answer(&mut self, at: usize, answer: Answer) {
        self.due.push(Due { at, answer });
    }

    fn refuse(&mut self, at: usize, status: u32) {
        self.answer(at, Answer::Disconnect { status });
        self.end = Some(End {
            at,
            status,
            refused: true,
        });
    }

    fn hello(&mut self, at: usize, head: Head, offer: &Offer) {
        let size = offer.max_frame_size.as_ref().and_then(size);
        let faults = [
            (self.agreed.is_some(), 4),
            (!head.is_fin(), 10),
            (head.ids != (0, 0), 4),
            (!offer.is_well_formed(), 4),
            (offer.versions.is_none(), 5),
            (size.is_none(), 6),
            (offer.capabilities.is_none(), 7),
            (!offer.has_two, 8),
            (size.is_some_and(|size| size < 256), 9),
        ];
        if let Some((_, status)) = faults.iter().find(|(fault, _)| *fault) {
            return self.refuse(at, *status);
        }
        let max_frame_size = size.unwrap().min(self.own_max());
        let mut capabilities = Vec::new();
        capabilities.extend(offer.pipelining.then_some("pipelining"));
        capabilities.extend(self.terms.fragmentation.then_some("fragmentation"));
        self.answer(
            at,
            Answer::Hello {
                max_frame_size,
                capabilities,
            },
        );
        if offer.healthcheck == Some(Value::Bool(true)) {
            self.end = Some(End {
                at,
                status: 0,
                refused: false,
            });
        } else {
            self.agreed = Some(max_frame_size);
        }
    }

    fn farewell(&mut self, at: usize, head: Head, farewell: &Farewell) {
        match farewell.status() {
            _ if !head.is_fin() => self.refuse(at, 10),
            None => self.refuse(at, 4),
            Some(status) => {
                self.answer(at, Answer::Disconnect { status });
                self.end = Some(End {
                    at,
                    status,
                    refused: false,
                });
            }
        }
    }

    fn notify(&mut self, at: usize, head: Head, payload: &[u8]) {
        if self.agreed.is_none() {
            self.refuse(at, 4);
        } else if self.gathering.is_some() {
            self.refuse(at, 11);
        } else if head.is_fin() {
            self.ack(at, head.ids, payload);
        } else if !self.terms.fragmentation {
            self.refuse(at, 10);
        } else if payload.len() > self.terms.reassembly_max {
            self.refuse(at, 3);
        } else {
            self.gathering = Some((head.ids, payload.to_vec()));
        }
    }

    fn fragment(&mut self, at: usize, head: Head, payload: &[u8]) {
        if self.agreed.is_none() {
            return self.refuse(at, 4);
        }
        let Some((ids, mut gathered)) = self.gathering.take() else {
            return self.refuse(at, 12);
        };
        if head.ids != ids {
            return self.refuse(at, 11);
        }
        if head.is_abort() {
            return self.answer(at, Answer::Aborted);
        }
        gathered.extend_from_slice(payload);
        if gathered.len() > self.terms.reassembly_max {
            return self.refuse(at, 3);
        }
        if head.is_fin() {
            self.answer(at, Answer::Reassembled);
            self.ack(at, ids, &gathered);
        } else {
            self.gathering = Some((ids, gathered));
        }
    }

    fn ack(&mut self, at: usize, ids: (u64, u64), payload: &[u8]) {
        let Some(messages) = decode::messages(payload) else {
            return self.refuse(at, 4);
        };
        let head = 5 + varint(ids.0).len() + varint(ids.1).len();
        let room = self.agreed.unwrap() as usize - head;
        let actions = policy::actions(&messages, room);
        self.answer(at, Answer::Ack { ids, actions });
    }
}
