//! What waits to be written: in order, one task for each subject, bounded.

use std::collections::{HashMap, VecDeque};

use super::entry::{Key, LogId, Micros, Record, Value};

/// What a task is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Decision(Key),
    Lifted(Value),
    Points(Value),
    /// An entry made by hand.
    Entry(LogId),
}

/// What is to be written. Decisions and points are as they are then.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Task {
    /// A decision that was made here.
    Put,
    /// A decision that was written before, or may have been.
    Again,
    /// An unban that was made here, or is written again.
    Lift { is_new: bool },
    /// What this node has added to an address.
    Points,
    /// A decision made by hand.
    Adopt(Key, Record),
    /// An unban made by hand.
    AdoptLift(Value, Micros),
    /// Points made by hand.
    AdoptPoints(Value, f64, Micros),
}

/// The queue.
#[derive(Debug)]
pub(super) struct Pending {
    order: VecDeque<Subject>,
    tasks: HashMap<Subject, Task>,
    max: usize,
    /// Tasks that did not fit.
    pub(super) dropped: u64,
}

impl Pending {
    pub(super) fn new(max: usize) -> Self {
        Self {
            order: VecDeque::new(),
            tasks: HashMap::new(),
            max,
            dropped: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn has(&self, subject: &Subject) -> bool {
        self.tasks.contains_key(subject)
    }

    /// Queues a task; false if the queue is full.
    pub(super) fn push(&mut self, subject: Subject, task: Task) -> bool {
        if let Some(queued) = self.tasks.get_mut(&subject) {
            // What is new is written as new.
            if *queued != Task::Put {
                *queued = task;
            }
            return true;
        }
        if self.tasks.len() >= self.max {
            self.dropped += 1;
            return false;
        }
        self.order.push_back(subject.clone());
        self.tasks.insert(subject, task);
        true
    }

    pub(super) fn remove(&mut self, subject: &Subject) {
        self.tasks.remove(subject);
        // Subjects that were removed stay in order until they come up; not for ever, if nothing is written.
        if self.order.len() > 2 * self.tasks.len() + 1024 {
            let tasks = &self.tasks;
            self.order.retain(|subject| tasks.contains_key(subject));
        }
    }

    /// Takes the first tasks.
    pub(super) fn take(&mut self, count: usize) -> Vec<(Subject, Task)> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let Some(subject) = self.order.pop_front() else {
                break;
            };
            if let Some(task) = self.tasks.remove(&subject) {
                taken.push((subject, task));
            }
        }
        taken
    }

    /// Puts tasks back that were not written.
    pub(super) fn put_back(&mut self, taken: Vec<(Subject, Task)>) {
        for (subject, task) in taken.into_iter().rev() {
            if !self.tasks.contains_key(&subject) {
                self.order.push_front(subject.clone());
                self.tasks.insert(subject, task);
            }
        }
    }
}
