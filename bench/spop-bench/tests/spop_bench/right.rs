//! Agents that are right: everything is measured, nothing is wrong.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use haproxy_spop::{Scope, TypedData};

use crate::agents::{ack, agent, listen, listen_on, right};
use crate::program::{bench, count, run, split};

/// Writes one byte at a time.
struct Dribble(TcpStream);

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Dribble {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_right_agent_is_measured_and_nothing_is_wrong() {
    let address = listen(|stream| agent(stream, right));
    for words in [
        "",
        "--connections 5 --depth 7 --threads 2",
        "--connections 4 --rate 2000",
        "--connections 2 --reconnect 3",
        "--connections 3 --depth 4 --reconnect 10 --rate 1000",
        "--addresses 2001:db8::/64 --payload 15000 --depth 64",
        "--message ip-rep --argument ip --addresses 192.0.2.1-192.0.2.9",
    ] {
        bench(&address, words).is_clean();
    }
}

#[test]
fn a_count_is_kept_to_the_last_notify() {
    let address = listen(|stream| agent(stream, right));
    for words in [
        "1",
        "1000",
        "1000 --connections 7 --threads 3 --depth 5",
        "500 --reconnect 1",
    ] {
        let count_wanted = words.split(' ').next().unwrap();
        let run = count(&address, words);
        run.is_clean().has(&format!("\"answered\":{count_wanted},"));
        run.has(&format!("\"latency_ns\":{{\"count\":{count_wanted},"));
    }
    count(&address, "1000 --warmup 100ms")
        .is_clean()
        .has("\"answered\":1000,");
}

#[test]
fn ipv6_and_unix_sockets_are_served() {
    let address = listen_on("[::1]:0", |stream| agent(stream, right));
    bench(&address, "--connections 3").is_clean();

    let path = std::env::temp_dir().join(format!("spop-bench-{}.sock", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || agent(stream.unwrap(), right));
        }
    });
    let unix = format!("unix:{}", path.display());
    bench(&unix, "--connections 300 --payload 10000 --depth 30").is_clean();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_open_loop_does_not_exceed_its_rate() {
    let address = listen(|stream| agent(stream, right));
    let run = bench(&address, "--rate 1000 --connections 4 --threads 2");
    run.is_clean();
    let number = |name: &str| -> f64 {
        let (_, rest) = run.out.split_once(name).unwrap();
        let end = rest.find([',', '}']).unwrap();
        rest[..end].parse().unwrap()
    };
    let due = number("\"seconds\":") * 1000.0;
    let sent = number("\"latency_ns\":{\"count\":");
    assert!(sent > 0.0 && sent < 10.0 + due * 1.1, "{sent} of {due}");
}

/// Lets a time pass, to be late on purpose.
fn stall(time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        thread::park_timeout(until - Instant::now());
    }
}

#[test]
fn a_stall_shows_in_an_open_loop_though_only_one_answer_is_late() {
    let stalls = Arc::new(AtomicUsize::new(0));
    let address = listen(move |stream| {
        let stalls = stalls.clone();
        agent(stream, move |notify, output| {
            if stalls.fetch_add(1, Ordering::Relaxed) == 20 {
                stall(Duration::from_millis(200));
            }
            right(notify, output);
        });
    });
    let run = bench(&address, "--rate 500 --depth 1");
    run.is_clean();
    let (_, p50) = run.out.split_once("\"p50\":").unwrap();
    let p50: u64 = p50.split(',').next().unwrap().parse().unwrap();
    assert!(
        p50 > 10_000_000,
        "half the run waited for the stall: {p50} ns"
    );
}

#[test]
fn answers_in_any_order_and_in_any_pieces_are_right() {
    let reversed = listen(|stream| {
        let mut held = Vec::new();
        agent(stream, move |notify, output| {
            held.push((notify.stream_id, notify.frame_id));
            if held.len() == 4 {
                for ids in held.drain(..).rev() {
                    ack(
                        output,
                        ids,
                        Scope::Session,
                        "ip_score",
                        TypedData::Uint32(1),
                    );
                }
            }
        });
    });
    count(&reversed, "400 --depth 4").is_clean();

    let pieces = listen(|stream| agent(Dribble(stream), right));
    count(&pieces, "300 --depth 8").is_clean();
}

#[test]
fn idle_connections_are_held_and_counted() {
    let address = listen(|stream| agent(stream, right));
    let pid = std::process::id();
    let run = bench(&address, &format!("--idle 100 --threads 2 --pid {pid}"));
    run.is_clean()
        .has("\"connections_open\":100,")
        .has("\"agent_resident_before_bytes\":");
}

#[test]
fn an_address_file_and_outputs_are_read_and_written() {
    let folder = std::env::temp_dir().join(format!("spop-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::write(path("pool"), "192.0.2.0/24 # documentation\n2001:db8::1\n").unwrap();
    let address = listen(|stream| agent(stream, right));
    let words = format!(
        "--addresses @{} --hgrm {} --svg {} --label a",
        path("pool"),
        path("a.hgrm"),
        path("a.svg")
    );
    bench(&address, &words).is_clean().has("\"label\":\"a\"");
    let words = format!(
        "plot {0} again={0} -o {1}",
        path("a.hgrm"),
        path("both.svg")
    );
    assert_eq!(run(&split(&words)).code, Some(0));
    let both = std::fs::read_to_string(path("both.svg")).unwrap();
    assert!(both.contains(">a<") && both.contains(">again<"));
    assert!(
        std::fs::read_to_string(path("a.svg"))
            .unwrap()
            .starts_with("<svg")
    );
    assert_eq!(
        run(&split(&format!("plot {} -o x", path("pool")))).code,
        Some(1)
    );
    std::fs::remove_dir_all(folder).unwrap();
}
