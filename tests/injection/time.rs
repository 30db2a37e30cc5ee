//! Time that does not pass as it should.

use std::fs;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime};

use haproxy_spoa::Agent;
use haproxy_spoa::Limits;
use haproxy_spoa::{Notify, Reply};

use crate::scores;
use crate::support::{
    Answer, Clock, Endpoint, Peer, Program, Scratch, Server, Signal, frames, throughout, until,
};

const DAY: i64 = 86_400;

#[test]
fn a_clock_that_is_stepped_moves_what_goes_by_dates_and_nothing_else() {
    let scratch = Scratch::new();
    let Some(clock) = Clock::new(&scratch) else {
        return;
    };
    let server = Server::start(Answer::new("200 OK", &["ETag: \"one\""], "203.0.113.1\n"));
    let time = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    // Expires in an hour.
    scratch.write(
        "own.csv",
        format!(
            "192.0.2.1,100,worm,{}\n198.51.100.1,100,worm,\n",
            time + 3600
        ),
    );
    let url = server.url("/list");
    let config = scratch.write(
        "spoa.toml",
        format!(
            "[reputation]\ncache-dir = \"cache\"\n\
             [[feed]]\nname = \"own\"\npath = \"own.csv\"\nformat = \"csv\"\nhigher-is = \"worse\"\n\
             columns = {{ value = 1, category = 2, expires = 3, last-seen = 4 }}\n\
             stale-after = \"2h\"\nhalf-life = \"365d\"\n\
             [[feed]]\nname = \"web\"\nurl = \"{url}\"\nrefresh-interval = \"1s\"\nstale-after = \"2h\"\n"
        ),
    );
    let mut command = Program::command(&[
        "--bind",
        "127.0.0.1:0",
        "-n",
        "2",
        "--admin",
        "127.0.0.1:0",
        "-f",
    ]);
    clock.equip(command.arg(&config));
    let agent = Program::started(command);
    let endpoint = Endpoint::of(&agent);
    let mut peer = Peer::greeted(agent.address());
    let asked_again = || {
        let asked = server.requests().len();
        until("the URL is asked as before", || {
            server.requests().len() > asked + 1
        });
    };
    let is_stale = |is: u64| {
        until("stale, or not", || {
            endpoint
                .metrics()
                .count("spoa_feed_stale", &["feed=\"own\""])
                == is
        });
    };
    scores(&mut peer, 0);
    is_stale(0);
    // Once with the list of before, and once read again in the new time.
    for (step, score, stale) in [
        (DAY, 100, 1),
        (0, 0, 0),
        (-DAY, 0, 0),
        (DAY, 100, 1),
        (-DAY, 0, 0),
    ] {
        clock.step(step);
        // What had expired when the table was built counts again with the next table.
        if step == DAY {
            scores(&mut peer, score);
        }
        is_stale(stale);
        asked_again();
        let reloaded = agent.count("configuration reloaded");
        agent.signal(Signal::SIGHUP);
        until("a reload", || {
            agent.count("configuration reloaded") > reloaded
        });
        scores(&mut peer, score);
        is_stale(stale);
        for path in ["/", "/status.json", "/histogram"] {
            assert_eq!(endpoint.get(path).status, 200, "{path}");
        }
    }
    agent.shows("feed=\"web\"", "state=good");
    // Nothing else is wrong.
    agent.says("list stale list=own last_change=");
    agent.says("list fresh again list=own");
    let (warnings, stale) = (agent.count("WARN"), agent.count("list stale"));
    assert_eq!(warnings, stale, "{:?}", agent.lines());
    let latency = agent.report().all.us("max");
    assert!(
        latency < 3600e6,
        "{latency} us: latencies go by another clock"
    );
    drop(peer);
    agent.stop();
    // A copy from tomorrow is as good as one from today.
    clock.step(0);
    server.answers(Answer::Closes);
    assert!(fs::read_dir(scratch.path("cache")).unwrap().count() > 0);
    let agent = Program::configured(&config, &[]);
    agent.shows("feed=\"web\"", "v4=1 ");
    agent.stop();
}

/// Deadlines pass while it is stopped. Who has said in time what was to be said is answered.
#[test]
fn a_stop_of_the_process_is_not_held_against_its_peers() {
    let stop = Duration::from_millis(1500);
    let agent = Program::start(&["-n", "2", "--hello-timeout", "1s", "--idle-timeout", "1s"]);
    let hello = frames::hello();
    let mut peers: Vec<_> = (0..8).map(|_| Peer::greeted(agent.address())).collect();
    let mut silent: Vec<_> = (0..4).map(|_| Peer::connect(agent.address())).collect();
    let mut half: Vec<_> = (0..4).map(|_| Peer::connect(agent.address())).collect();
    for peer in &mut half {
        peer.send(&hello[..20]);
    }
    agent.reports("all taken", |report| report.all.number("open") == 16);
    agent.signal(Signal::SIGSTOP);
    until("stopped", || agent.process().state() == 'T');
    let mut late: Vec<_> = (0..4).map(|_| Peer::connect(agent.address())).collect();
    for peer in &mut peers {
        peer.send(&frames::notify(1, 1));
    }
    for peer in silent.iter_mut().chain(&mut late) {
        peer.send(&hello);
    }
    for peer in &mut half {
        peer.send(&hello[20..]);
    }
    throughout(stop, "stopped", || agent.process().state() == 'T');
    agent.signal(Signal::SIGCONT);
    for peer in &mut peers {
        peer.acks(1..2);
    }
    for peer in silent.iter_mut().chain(&mut late).chain(&mut half) {
        peer.agent_hello();
        peer.ask();
    }
    assert_eq!(agent.report().all.number("hello_timeouts"), 0);
    drop((peers, silent, half, late));
    agent.stop();
}

/// The same, if the stop meets the worker between two polls: it has not seen what came meanwhile.
#[test]
fn a_worker_that_is_held_up_hears_what_was_said_before_it_judges() {
    let (held, holding) = mpsc::channel();
    let (go_on, waiting) = mpsc::channel();
    let waiting = Arc::new(Mutex::new(waiting));
    let handler = move |_| {
        let (held, waiting) = (held.clone(), Arc::clone(&waiting));
        move |notify: &Notify<'_>, _: Reply<'_>| {
            if notify.stream_id == 7 {
                held.send(()).unwrap();
                waiting.lock().unwrap().recv().unwrap();
            }
        }
    };
    let limits = Limits {
        hello_timeout: Some(Duration::from_secs(1)),
        ..Limits::default()
    };
    let builder = Agent::builder().bind("127.0.0.1:0".parse().unwrap());
    let agent = builder.workers(1).limits(limits).spawn(handler).unwrap();
    let address = agent.addresses()[0].clone();
    let mut holder = Peer::greeted(&address);
    let mut silent: Vec<_> = (0..4).map(|_| Peer::connect(&address)).collect();
    // All of them are taken: the worker answers what came after them.
    Peer::greeted(&address);
    holder.send(&frames::notify(7, 1));
    holding.recv().unwrap();
    let since = Instant::now();
    let hello = frames::hello();
    for peer in &mut silent {
        peer.send(&hello);
    }
    until("the deadline has passed", || {
        since.elapsed() > Duration::from_millis(1100)
    });
    go_on.send(()).unwrap();
    holder.acks(1..2);
    for peer in &mut silent {
        peer.agent_hello();
    }
    drop((holder, silent));
    agent.control().drain();
    agent.join().unwrap();
}
