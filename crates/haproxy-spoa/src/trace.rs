//! The `-d` lines: one per frame, with what an ACK decides. Off, it costs a branch per batch.
//!
//! It reads the bytes that went in and came out a second time, so that the session need not know
//! of it.

use core::fmt::{self, Display, Write as _};
use std::sync::Arc;

use super::lifecycle::ConnectionEnd;
#[cfg(feature = "tls")]
use super::tls::Fault;
use super::transport::Transport;
use haproxy_spop::TypedData;
use haproxy_spop::session::ProtocolError;
use haproxy_spop::{
    AckView, Action, AgentHello, Disconnect, Frame, FrameType, HaproxyHello, Notify,
};

/// Takes a line without its end. It runs on a worker's thread.
pub type TraceSink = Arc<dyn Fn(&str) + Send + Sync>;

/// Payload bytes shown of a STRING or BINARY value.
const SHOWN: usize = 32;

/// Writes one worker's lines.
#[derive(Clone)]
pub(super) struct Trace {
    worker: usize,
    sink: TraceSink,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl Trace {
    pub(super) const fn new(worker: usize, sink: TraceSink) -> Self {
        Self { worker, sink }
    }

    fn line(&self, connection: u32, what: impl Display) {
        (self.sink)(&format!(
            "worker {} connection {connection} {what}",
            self.worker
        ));
    }

    pub(super) fn opened(&self, connection: u32, transport: &Transport) {
        self.line(connection, format_args!("opened by {transport}"));
    }

    pub(super) fn turned_down(&self, transport: &Transport, why: &str) {
        let worker = self.worker;
        (self.sink)(&format!("worker {worker} turned down {transport}: {why}"));
    }

    pub(super) fn closed(&self, connection: u32, gone: ConnectionEnd) {
        let how = match gone {
            ConnectionEnd::Ended => "",
            ConnectionEnd::Eof => " by the peer without DISCONNECT",
            ConnectionEnd::Reset => " by a reset",
            ConnectionEnd::Unread => ": the peer did not read its answers in time",
            ConnectionEnd::Unregistered => ": not registered for events",
        };
        self.line(connection, format_args!("closed{how}"));
    }

    #[cfg(feature = "tls")]
    pub(super) fn fault(&self, connection: u32, transport: &Transport, fault: &Fault) {
        self.line(connection, format_args!("TLS with {transport}: {fault}"));
    }

    /// The frames that a step took in and those that it gave out.
    pub(super) fn step(
        &self,
        connection: u32,
        input: &[u8],
        output: &[u8],
        refusal: Option<ProtocolError>,
    ) {
        self.frames(connection, "<-", input);
        if let Some(refusal) = refusal {
            self.line(connection, format_args!("refused: {refusal}"));
        }
        self.frames(connection, "->", output);
    }

    /// Actions were left out because they did not fit.
    pub(super) fn actions_dropped(&self, connection: u32, actions: u32) {
        if actions > 0 {
            self.line(
                connection,
                format_args!("{actions} actions dropped: they exceed max-frame-size"),
            );
        }
    }

    fn frames(&self, connection: u32, direction: &str, mut bytes: &[u8]) {
        while let Ok(Some((frame, rest))) = Frame::split_first(bytes, u32::MAX) {
            self.line(connection, format_args!("{direction} {}", describe(frame)));
            bytes = rest;
        }
    }
}

/// A frame in one line.
fn describe(frame: Frame<'_>) -> String {
    let mut line = format!(
        "{} stream-id={} frame-id={} flags={:#x} bytes={}",
        frame.kind,
        frame.stream_id,
        frame.frame_id,
        frame.flags.0,
        frame.payload.len()
    );
    // Writing to a String cannot fail.
    let _ = match frame.kind {
        FrameType::NOTIFY if frame.flags.is_fin() => notify(&mut line, frame),
        FrameType::ACK => ack(&mut line, frame),
        FrameType::HAPROXY_HELLO => haproxy_hello(&mut line, frame),
        FrameType::AGENT_HELLO => agent_hello(&mut line, frame),
        FrameType::HAPROXY_DISCONNECT | FrameType::AGENT_DISCONNECT => disconnect(&mut line, frame),
        _ => Ok(()),
    };
    line
}

fn notify(line: &mut String, frame: Frame<'_>) -> fmt::Result {
    let Ok(notify) = Notify::try_from(frame) else {
        return Ok(());
    };
    for message in notify.messages() {
        write!(line, " {}(", message.name().escape_ascii())?;
        for (index, argument) in message.arguments().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(
                line,
                "{comma}{}={}",
                argument.name.escape_ascii(),
                Shown(argument.value)
            )?;
        }
        line.write_char(')')?;
    }
    Ok(())
}

fn ack(line: &mut String, frame: Frame<'_>) -> fmt::Result {
    let Ok(ack) = AckView::try_from(frame) else {
        return Ok(());
    };
    for action in ack.actions() {
        match action {
            Action::SetVar { scope, name, value } => {
                write!(
                    line,
                    " set-var {scope}.{}={}",
                    name.escape_ascii(),
                    Shown(value)
                )?;
            }
            Action::UnsetVar { scope, name } => {
                write!(line, " unset-var {scope}.{}", name.escape_ascii())?;
            }
        }
    }
    Ok(())
}

fn haproxy_hello(line: &mut String, frame: Frame<'_>) -> fmt::Result {
    let Ok(hello) = HaproxyHello::parse(frame.payload) else {
        return Ok(());
    };
    if let Some(versions) = hello.supported_versions {
        write!(
            line,
            " supported-versions=\"{}\"",
            versions.0.escape_ascii()
        )?;
    }
    if let Some(size) = hello.max_frame_size {
        write!(line, " max-frame-size={size}")?;
    }
    if let Some(capabilities) = hello.capabilities {
        write!(line, " capabilities=\"{}\"", capabilities.0.escape_ascii())?;
    }
    if hello.healthcheck {
        line.write_str(" healthcheck")?;
    }
    if let Some(engine) = hello.engine_id {
        write!(line, " engine-id={}", engine.escape_ascii())?;
    }
    Ok(())
}

fn agent_hello(line: &mut String, frame: Frame<'_>) -> fmt::Result {
    let Ok(hello) = AgentHello::parse(frame.payload) else {
        return Ok(());
    };
    write!(
        line,
        " version={} max-frame-size={} capabilities=\"{}\"",
        hello.version.escape_ascii(),
        hello.max_frame_size,
        hello.capabilities.0.escape_ascii()
    )
}

fn disconnect(line: &mut String, frame: Frame<'_>) -> fmt::Result {
    let Ok(disconnect) = Disconnect::parse(frame.payload) else {
        return Ok(());
    };
    let message = disconnect.message.escape_ascii();
    write!(
        line,
        " status-code={} message=\"{message}\"",
        disconnect.status.0
    )
}

/// A value, cut short.
struct Shown<'a>(TypedData<'a>);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TypedData::Null => f.write_str("NULL"),
            TypedData::Bool(value) => value.fmt(f),
            TypedData::Int32(value) => value.fmt(f),
            TypedData::Uint32(value) => value.fmt(f),
            TypedData::Int64(value) => value.fmt(f),
            TypedData::Uint64(value) => value.fmt(f),
            TypedData::Ipv4(value) => value.fmt(f),
            TypedData::Ipv6(value) => value.fmt(f),
            TypedData::String(bytes) | TypedData::Binary(bytes) => match bytes.get(..SHOWN) {
                Some(head) => write!(f, "\"{}\"… ({} bytes)", head.escape_ascii(), bytes.len()),
                None => write!(f, "\"{}\"", bytes.escape_ascii()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use haproxy_spop::{Argument, Flags, FrameWriter, NotifyWriter};

    #[test]
    fn a_frame_is_one_line_whatever_the_peer_put_into_it() {
        let mut bytes = BytesMut::new();
        let mut notify = NotifyWriter::begin(&mut bytes, 7, 8, 16380);
        let arguments = [
            Argument {
                name: b"",
                value: TypedData::Ipv4([192, 0, 2, 1].into()),
            },
            Argument {
                name: b"b\n",
                value: TypedData::Binary(&[b'\n'; 40]),
            },
        ];
        notify.message("m", &arguments).unwrap();
        notify.finish();
        let (frame, _) = Frame::split_first(&bytes, 16380).unwrap().unwrap();
        let line = describe(frame);
        assert!(
            line.starts_with("NOTIFY stream-id=7 frame-id=8 flags=0x1 bytes="),
            "{line}"
        );
        assert!(line.contains(" m(=192.0.2.1, b\\n=\"\\n"), "{line}");
        assert!(line.ends_with("(40 bytes))"), "{line}");
        assert!(!line.contains('\n'));
    }

    #[test]
    fn frames_that_do_not_parse_are_still_shown() {
        for kind in [0, 1, 2, 3, 77, 101, 102, 103] {
            let mut bytes = BytesMut::new();
            let mut frame =
                FrameWriter::begin(&mut bytes, FrameType(kind), Flags::FIN, (1, 2), 256);
            frame.put(&[0xff, 0xff]).unwrap();
            frame.finish();
            let (frame, _) = Frame::split_first(&bytes, 256).unwrap().unwrap();
            assert!(describe(frame).contains("stream-id=1 frame-id=2"));
        }
    }
}
