//! Agents in a few lines each, so that a test can make one wrong in one way.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use bytes::{Buf as _, BytesMut};
use haproxy_spop::{
    Ack, AgentHello, Capabilities, Disconnect, Frame, FrameType, Notify, Scope, Status, TypedData,
};

/// Something that listens; every connection gets a thread.
pub(crate) fn listen(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    listen_on("127.0.0.1:0", serve)
}

pub(crate) fn listen_on(
    address: &str,
    serve: impl Fn(TcpStream) + Clone + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// An agent that does all but NOTIFY right, and leaves that to `answer`. It ends when the
/// connection does.
pub(crate) fn agent(
    mut stream: impl std::io::Read + std::io::Write,
    mut answer: impl FnMut(Notify<'_>, &mut BytesMut),
) {
    let mut input = BytesMut::new();
    let mut chunk = [0; 16384];
    loop {
        let mut output = BytesMut::new();
        while let Some((frame, rest)) = Frame::split_first(&input, 1 << 20).unwrap() {
            let used = input.len() - rest.len();
            match frame.kind {
                FrameType::HAPROXY_HELLO => hello(&mut output, b"pipelining"),
                FrameType::NOTIFY => answer(Notify::try_from(frame).unwrap(), &mut output),
                FrameType::HAPROXY_DISCONNECT => disconnect(&mut output, Status::NORMAL),
                other => panic!("{other}"),
            }
            input.advance(used);
        }
        if stream.write_all(&output).is_err() {
            return;
        }
        match stream.read(&mut chunk) {
            Ok(read @ 1..) => input.extend_from_slice(&chunk[..read]),
            _ => return,
        }
    }
}

pub(crate) fn hello(output: &mut BytesMut, capabilities: &[u8]) {
    let hello = AgentHello {
        version: b"2.0",
        max_frame_size: 16380,
        capabilities: Capabilities(capabilities),
    };
    hello.write(output, 16380).unwrap();
}

pub(crate) fn disconnect(output: &mut BytesMut, status: Status) {
    let disconnect = Disconnect {
        status,
        message: b"bye",
    };
    disconnect
        .write(FrameType::AGENT_DISCONNECT, output, 16380)
        .unwrap();
}

pub(crate) fn ack(
    output: &mut BytesMut,
    ids: (u64, u64),
    scope: Scope,
    name: &str,
    value: TypedData<'_>,
) {
    let mut ack = Ack::begin(output, ids.0, ids.1, 16380);
    ack.set_var(scope, name, value).unwrap();
    ack.finish();
}

pub(crate) fn right(notify: Notify<'_>, output: &mut BytesMut) {
    assert_eq!(notify.messages().count(), 1);
    let ids = (notify.stream_id, notify.frame_id);
    ack(
        output,
        ids,
        Scope::Session,
        "ip_score",
        TypedData::Uint32(42),
    );
}

/// An agent that answers every NOTIFY in this way.
pub(crate) fn answering(
    answer: impl Fn((u64, u64), &mut BytesMut) + Clone + Send + 'static,
) -> SocketAddr {
    listen(move |stream| {
        agent(stream, |notify, output| {
            answer((notify.stream_id, notify.frame_id), output);
        });
    })
}
