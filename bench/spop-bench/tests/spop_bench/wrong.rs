//! Agents that are wrong, absent or no agents: each is called by its name.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use bytes::BytesMut;
use haproxy_spop::{Ack, Flags, FrameType, FrameWriter, Scope, Status, TypedData};

use crate::agents::{ack, agent, answering, disconnect, hello, listen, right};
use crate::program::{bench, count, run, split};

/// Closes in place of AGENT-DISCONNECT.
struct Rude(TcpStream);

impl Read for Rude {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Rude {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.get(4) == Some(&FrameType::AGENT_DISCONNECT.0) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says nothing more, and holds the connection as long as the other side does.
fn until_it_closes(mut stream: TcpStream) {
    let _ = io::copy(&mut stream, &mut io::sink());
}

#[test]
fn a_wrong_command_line_is_two() {
    for words in [
        "",
        "nowhere",
        "127.0.0.1:1 --depth 0",
        "127.0.0.1:1 --addresses @/nowhere",
    ] {
        assert_eq!(run(&split(words)).code, Some(2), "{words}");
    }
    assert_eq!(run(&split("127.0.0.1:1 --pid 4294967295")).code, Some(1));
}

#[test]
fn nobody_there_is_said_at_once() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    bench(&address, "")
        .names("connect")
        .has("\"complete\":false");
    bench(&"unix:/nowhere/at/all", "").names("connect");
}

#[test]
fn what_is_no_agent_is_said() {
    let closes = listen(drop);
    let run = bench(&closes, "");
    assert!(
        run.out.contains("hello_closed") || run.out.contains("reset"),
        "{}",
        run.out
    );
    assert_eq!(run.code, Some(1));

    let web = listen(|mut stream| {
        let _ = stream.read(&mut [0; 1000]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        until_it_closes(stream);
    });
    bench(&web, "").names("garbage");

    let silent = listen(until_it_closes);
    bench(&silent, "--hello-timeout 200ms").names("hello_timeout");

    let refuses = listen(|mut stream| {
        let mut output = BytesMut::new();
        disconnect(&mut output, Status::BAD_VERSION);
        let _ = stream.write_all(&output);
        let _ = stream.read(&mut [0; 1000]);
    });
    bench(&refuses, "").names("hello_refused");

    let alone = listen(|mut stream| {
        let mut output = BytesMut::new();
        hello(&mut output, b"");
        let _ = stream.write_all(&output);
        until_it_closes(stream);
    });
    bench(&alone, "--depth 2").names("hello_terms");
}

#[test]
fn an_agent_that_goes_silent_is_waited_for_only_so_long() {
    let silent = answering(|_, _| {});
    bench(&silent, "--response-timeout 200ms").names("unanswered");
    count(&silent, "3 --response-timeout 200ms").names("unanswered");
    bench(&silent, "--rate 100 --response-timeout 200ms").names("unanswered");

    let forgetful = answering(|ids, output| {
        if ids.0 != 21 {
            ack(
                output,
                ids,
                Scope::Session,
                "ip_score",
                TypedData::Uint32(1),
            );
        }
    });
    count(&forgetful, "100 --depth 4 --response-timeout 200ms").names("unanswered");
}

/// Answers ten times, then closes.
fn ten_answers(stream: TcpStream) {
    let twin = stream.try_clone().unwrap();
    let mut left = 10;
    agent(stream, move |notify, output| {
        right(notify, output);
        left -= 1;
        if left == 0 {
            let _ = twin.shutdown(Shutdown::Both);
        }
    });
}

#[test]
fn an_agent_that_goes_away_is_said() {
    let closes = listen(ten_answers);
    bench(&closes, "").names("lost");

    let says = answering(|ids, output| match ids.0 {
        21 => disconnect(output, Status::TIMEOUT),
        _ => ack(
            output,
            ids,
            Scope::Session,
            "ip_score",
            TypedData::Uint32(1),
        ),
    });
    bench(&says, "").names("disconnected").has("\"lost\":");

    let once = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = once.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, _) = once.accept().unwrap();
        drop(once);
        ten_answers(stream);
    });
    let words = "1000000 --connect-timeout 200ms --hello-timeout 200ms";
    count(&address, words)
        .names("connect")
        .has("\"complete\":false");
}

#[test]
fn wrong_answers_are_counted_by_kind() {
    let set = |scope, name, value| answering(move |ids, out| ack(out, ids, scope, name, value));
    let (sess, name, good) = (Scope::Session, "ip_score", TypedData::Uint32(1));
    let repeated = answering(move |ids, out| {
        ack(out, ids, sess, name, good);
        ack(out, ids, sess, name, good);
    });
    let broken = answering(|ids, out| {
        let mut frame = FrameWriter::begin(out, FrameType::ACK, Flags::FIN, ids, 256);
        frame.put(&[9, 9, 9]).unwrap();
        frame.finish();
    });
    let unfinished = answering(|ids, out| {
        FrameWriter::begin(out, FrameType::ACK, Flags::NONE, ids, 256).finish();
    });
    for (kind, agent) in [
        ("ack_scope", set(Scope::Transaction, name, good)),
        ("ack_variable", set(sess, "score", good)),
        (
            "ack_variable",
            answering(|ids, out| Ack::begin(out, ids.0, ids.1, 256).finish()),
        ),
        ("ack_type", set(sess, name, TypedData::Bool(true))),
        ("ack_range", set(sess, name, TypedData::Uint32(101))),
        ("ack_range", set(sess, name, TypedData::Int32(-1))),
        ("ack_repeated", repeated),
        ("ack_flags", unfinished),
        ("garbage", broken),
    ] {
        count(&agent, "50 --depth 2").names(kind);
    }
    let swapped = answering(move |(stream, frame), out| {
        ack(out, (frame, stream), sess, name, good);
    });
    count(&swapped, "8 --response-timeout 200ms").names("ack_unknown");
}

#[test]
fn a_disconnect_without_an_answer_is_said() {
    let rude = listen(|stream| agent(Rude(stream), right));
    count(&rude, "10").names("disconnect_unanswered");
}
