//! Answers at once, or from another thread: what a deferred answer costs beside an immediate one.
//! `scripts/bench-deferred` measures it.
//!
//! ```text
//! cargo run --release --example answering_thread -- 127.0.0.1:9000 now|later
//! ```

use std::sync::mpsc;
use std::thread;

use haproxy_spoa::{Agent, Deferred, Error, Scope};

fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:9000".into());
    let agent = Agent::bind(address)?.stop_on_signals();
    if args.next().as_deref() == Some("now") {
        return agent.run(|_, mut reply| reply.set_var(Scope::Session, "ip_score", 42_u32));
    }
    let (to, from) = mpsc::channel::<Deferred>();
    thread::spawn(move || {
        for mut deferred in from {
            deferred.set_var(Scope::Session, "ip_score", 42_u32);
            deferred.send();
        }
    });
    agent.run(move |_, reply| {
        // Without the thread, dropping the answer is an ACK without actions.
        let _ = to.send(reply.defer());
    })
}
