//! Every payload parser on one payload: what it makes of it can be written, and read again.

use bytes::BytesMut;
use haproxy_spop::{
    Ack, AckView, Action, AgentHello, Argument, DISCONNECT_MESSAGE_MAX, DecodeError, Disconnect,
    Frame, FrameFull, FrameType, HaproxyHello, Message, Notify, NotifyWriter,
};

use super::names_its_field;

/// Each parser, whatever the frame's type says: a peer's type is as little to be trusted as its
/// payload.
pub(super) fn reads_what_it_writes(frame: Frame<'_>) {
    let payload = frame.payload;
    given(HaproxyHello::parse(payload), |hello| {
        let written = write(|out| hello.write(out, u32::MAX));
        assert_eq!(HaproxyHello::parse(only_frame(&written).payload), Ok(hello));
    });
    given(AgentHello::parse(payload), |hello| {
        let written = write(|out| hello.write(out, u32::MAX));
        assert_eq!(AgentHello::parse(only_frame(&written).payload), Ok(hello));
    });
    given(Disconnect::parse(payload), |mut farewell| {
        let kind = FrameType::AGENT_DISCONNECT;
        let written = write(|out| farewell.write(kind, out, u32::MAX));
        let kept = farewell.message.len().min(DISCONNECT_MESSAGE_MAX);
        farewell.message = &farewell.message[..kept];
        assert_eq!(
            Disconnect::parse(only_frame(&written).payload),
            Ok(farewell)
        );
    });
    given(Notify::try_from(frame), notify);
    given(AckView::try_from(frame), ack);
}

fn given<T>(parsed: Result<T, DecodeError>, check: impl FnOnce(T)) {
    match parsed {
        Ok(value) => check(value),
        Err(malformed) => names_its_field(malformed),
    }
}

fn write(frame: impl FnOnce(&mut BytesMut) -> Result<(), FrameFull>) -> BytesMut {
    let mut out = BytesMut::new();
    assert_eq!(frame(&mut out), Ok(()), "no limit, yet it is full");
    out
}

fn only_frame(bytes: &[u8]) -> Frame<'_> {
    match Frame::split_first(bytes, u32::MAX) {
        Ok(Some((frame, []))) => frame,
        other => panic!("not one whole frame: {other:?}"),
    }
}

fn notify(notify: Notify<'_>) {
    let mut out = BytesMut::new();
    let mut writer = NotifyWriter::begin(&mut out, notify.stream_id, notify.frame_id, u32::MAX);
    for message in notify.messages() {
        let arguments: Vec<Argument<'_>> = message.arguments().collect();
        let Ok(name) = core::str::from_utf8(message.name()) else {
            return;
        };
        assert_eq!(writer.message(name, &arguments), Ok(()));
    }
    writer.finish();
    let frame = only_frame(&out);
    assert_eq!(
        (frame.stream_id, frame.frame_id),
        (notify.stream_id, notify.frame_id)
    );
    let again = Notify::try_from(frame).unwrap();
    assert!(again.messages().map(parts).eq(notify.messages().map(parts)));
}

fn parts(message: Message<'_>) -> (&[u8], Vec<Argument<'_>>) {
    (message.name(), message.arguments().collect())
}

fn ack(view: AckView<'_>) {
    let mut out = BytesMut::new();
    let mut ack = Ack::begin(&mut out, view.stream_id, view.frame_id, u32::MAX);
    for action in view.actions() {
        let (Action::SetVar { name, .. } | Action::UnsetVar { name, .. }) = action;
        let Ok(name) = core::str::from_utf8(name) else {
            return;
        };
        let written = match action {
            Action::SetVar { scope, value, .. } => ack.set_var(scope, name, value),
            Action::UnsetVar { scope, .. } => ack.unset_var(scope, name),
        };
        assert_eq!(written, Ok(()));
    }
    ack.finish();
    let again = AckView::try_from(only_frame(&out)).unwrap();
    assert_eq!(
        (again.stream_id, again.frame_id),
        (view.stream_id, view.frame_id)
    );
    assert!(again.actions().eq(view.actions()));
}
