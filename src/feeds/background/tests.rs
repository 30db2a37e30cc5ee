//! Who does the work, with a thread that gets nowhere among others.

use std::sync::Barrier;
use std::time::Instant;

use super::*;

/// `SCHED_IDLE`, as `/proc` shows it.
const IDLE: &str = "5";

/// Whether this is the thread that makes way.
fn is_aside() -> bool {
    thread::current().name() == Some("tables")
}

/// How the kernel schedules this thread: the 41st field.
fn policy() -> String {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let mut fields = after_name.split_ascii_whitespace();
    fields.nth(38).unwrap().to_owned()
}

/// Does work until the thread is back at it.
fn recovers(background: &BackgroundExecutor) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !background.run(is_aside) {
        assert!(Instant::now() < deadline, "the thread is not used again");
        thread::yield_now();
    }
}

#[test]
fn a_thread_that_makes_way_does_the_work() {
    let background = BackgroundExecutor::start();
    assert_eq!(
        background.run(|| (is_aside(), policy())),
        (true, IDLE.to_owned())
    );
    assert_ne!(policy(), IDLE);
    let ran = || background.0.as_ref().unwrap().ran();
    let before = ran();
    assert!(before > Duration::ZERO);
    background.run(|| (0..100_000).map(core::hint::black_box).sum::<u64>());
    assert!(ran() > before);
    assert!(!BackgroundExecutor::default().run(is_aside));
}

#[test]
fn what_does_not_get_on_is_done_by_whoever_waits() {
    let background = BackgroundExecutor::start();
    let gate = Arc::new(Barrier::new(2));
    let theirs = Arc::clone(&gate);
    let stuck = move || {
        if is_aside() {
            theirs.wait();
        }
        is_aside()
    };
    assert!(!background.run(stuck));
    // Nor is it waited for a second time.
    assert!(!background.run(is_aside));
    gate.wait();
    recovers(&background);
}

#[test]
fn what_gets_on_is_waited_for() {
    let background = BackgroundExecutor::start();
    let long = LOOK + LOOK / 4;
    let busy = move || {
        let begun = Instant::now();
        while begun.elapsed() < long {
            core::hint::spin_loop();
        }
        is_aside()
    };
    // Where every core is busy it does not get on.
    let others = Instant::now();
    let is_theirs = background.run(busy);
    assert!(is_theirs || others.elapsed() > long + LOOK);
    recovers(&background);
}

#[test]
fn a_panic_is_met_by_whoever_waits_and_the_thread_goes_on() {
    let background = BackgroundExecutor::start();
    let fails = || {
        assert!(!is_aside(), "a bug");
        7
    };
    assert_eq!(background.run(fails), 7);
    recovers(&background);
}

#[test]
fn what_is_over_is_freed_there() {
    struct Waste(Sender<bool>);
    impl Drop for Waste {
        fn drop(&mut self) {
            self.0.send(is_aside()).unwrap();
        }
    }
    let (sender, freed) = mpsc::channel();
    BackgroundExecutor::start().free(Waste(sender.clone()));
    assert!(freed.recv().unwrap());
    BackgroundExecutor::default().free(Waste(sender));
    assert!(!freed.recv().unwrap());
}
