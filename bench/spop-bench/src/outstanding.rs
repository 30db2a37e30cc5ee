//! The NOTIFYs of one connection that wait for their ACK, by id.
//!
//! Stream-ids are 1, 3, 5… on each connection, as 3.1 and later count them. The frame-id goes round
//! 1..=4, so that an agent that answers with a constant one is found. Answers may come in any order:
//! a slot that is still taken is passed over, and its id with it.

/// Why an ACK belongs to no NOTIFY that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unmatched {
    /// It was asked with these ids, and has been answered.
    Repeated,
    /// These ids were never sent.
    Unknown,
}

/// A NOTIFY that waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// From when its latency counts, in nanoseconds: when it was due.
    pub(crate) due: u64,
    /// When it was sent.
    pub(crate) sent: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// 0 is free.
    stream_id: u64,
    waiting: Waiting,
}

#[derive(Debug)]
pub(crate) struct Outstanding {
    /// Twice as many as can be in flight, a power of two.
    slots: Box<[Slot]>,
    next: u64,
    count: usize,
}

impl Outstanding {
    pub(crate) fn new(depth: usize) -> Self {
        let slots = depth.next_power_of_two().saturating_mul(2);
        Self {
            slots: vec![Slot::default(); slots].into_boxed_slice(),
            next: 0,
            count: 0,
        }
    }

    /// How many wait.
    #[inline]
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Adds a NOTIFY and gives its stream-id and frame-id.
    #[inline]
    pub(crate) fn add(&mut self, waiting: Waiting) -> (u64, u64) {
        loop {
            let ids = ids(self.next);
            let at = self.slot_of(self.next);
            self.next += 1;
            if let Some(slot) = self.slots.get_mut(at)
                && slot.stream_id == 0
            {
                let stream_id = ids.0;
                *slot = Slot { stream_id, waiting };
                self.count += 1;
                return ids;
            }
        }
    }

    /// Takes out the NOTIFY that an ACK answers.
    #[inline]
    pub(crate) fn take(&mut self, stream_id: u64, frame_id: u64) -> Result<Waiting, Unmatched> {
        let number = stream_id / 2;
        if number >= self.next || ids(number) != (stream_id, frame_id) {
            return Err(Unmatched::Unknown);
        }
        let at = self.slot_of(number);
        match self.slots.get_mut(at) {
            Some(slot) if slot.stream_id == stream_id => {
                slot.stream_id = 0;
                self.count -= 1;
                Ok(slot.waiting)
            }
            _ => Err(Unmatched::Repeated),
        }
    }

    /// All that wait.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Waiting> {
        let taken = self.slots.iter().filter(|slot| slot.stream_id != 0);
        taken.map(|slot| slot.waiting)
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the mask keeps the low bits only"
    )]
    const fn slot_of(&self, number: u64) -> usize {
        number as usize & (self.slots.len() - 1)
    }
}

#[inline]
const fn ids(number: u64) -> (u64, u64) {
    (2 * number + 1, number % 4 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sent: u64) -> Waiting {
        Waiting { due: sent, sent }
    }

    #[test]
    fn answers_are_matched_in_any_order_and_once() {
        let mut outstanding = Outstanding::new(3);
        let ids: Vec<_> = (10..13).map(|sent| outstanding.add(at(sent))).collect();
        assert_eq!(ids, [(1, 1), (3, 2), (5, 3)]);
        assert_eq!(outstanding.take(5, 3), Ok(at(12)));
        assert_eq!(outstanding.take(1, 1), Ok(at(10)));
        assert_eq!(outstanding.take(1, 1), Err(Unmatched::Repeated));
        assert_eq!(outstanding.count(), 1);
        assert_eq!(outstanding.iter().collect::<Vec<_>>(), [at(11)]);
    }

    #[test]
    fn ids_that_were_never_sent_are_unknown() {
        let mut outstanding = Outstanding::new(1);
        outstanding.add(at(1));
        for (stream_id, frame_id) in [(0, 1), (1, 2), (2, 1), (3, 2), (u64::MAX, 1)] {
            assert_eq!(
                outstanding.take(stream_id, frame_id),
                Err(Unmatched::Unknown)
            );
        }
        assert_eq!(outstanding.count(), 1);
    }

    #[test]
    fn a_slow_answer_does_not_stop_the_others() {
        let mut outstanding = Outstanding::new(2);
        let slow = outstanding.add(at(0));
        for sent in 1..100 {
            let (stream_id, frame_id) = outstanding.add(at(sent));
            assert_eq!(outstanding.take(stream_id, frame_id), Ok(at(sent)));
        }
        assert_eq!(outstanding.take(slow.0, slow.1), Ok(at(0)));
    }
}
