//! Takes events and makes lines of them. There are no spans.

use core::fmt::Debug;
use std::sync::Arc;

use iprep_spoa::host::log::LogDial;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use super::line::{self, Style};
use super::queue::Queue;

#[derive(Debug)]
pub(super) struct Lines {
    dial: LogDial,
    style: Style,
    queue: Arc<Queue>,
}

impl Lines {
    pub(super) const fn new(dial: LogDial, style: Style, queue: Arc<Queue>) -> Self {
        Self { dial, style, queue }
    }
}

impl Subscriber for Lines {
    /// The dial may be turned at any time.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.dial.level().shows(*metadata.level())
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = *event.metadata().level();
        let line = self.style.line(level, &text.message, &text.fields);
        self.queue.push(&line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The message, and the other fields.
#[derive(Debug, Default)]
struct Text {
    message: String,
    fields: Vec<line::Field>,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.push(line::Field::text(field.name(), text));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push(line::Field::text(field.name(), value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push(line::Field::bare(field.name(), value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push(line::Field::bare(field.name(), value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push(line::Field::bare(field.name(), value));
    }
}
