//! The Go library's example in this one: `ip-rep` with `ip` is answered with `reputation`.
//!
//! ```text
//! cargo run --example ip_rep -- 127.0.0.1:9000
//! ```

use std::net::IpAddr;

use haproxy_spoa::Agent;
use haproxy_spop::{Ack, FrameFull, Notify, Scope};

fn reputation(_ip: IpAddr) -> u32 {
    1 // Implement IP reputation here.
}

fn answer(notify: &Notify<'_>, ack: &mut Ack<'_>) -> Result<(), FrameFull> {
    for message in notify
        .messages()
        .filter(|message| message.name() == b"ip-rep")
    {
        if let Some(ip) = message.argument("ip").and_then(|value| value.address()) {
            ack.set_var(Scope::Session, "reputation", reputation(ip))?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9000".into());
    let agent = Agent::builder()
        .bind(address.parse()?)
        .workers(2)
        .spawn(|_worker| answer)?;
    println!("listening on {:?}", agent.addresses());
    Ok(agent.join()?)
}
