//! The Go library's example in this one: `ip-rep` with `ip` is answered with `reputation`.
//!
//! ```text
//! cargo run --example ip_rep -- 127.0.0.1:9000
//! ```

use haproxy_spoa::{Agent, Error, Scope};

fn main() -> Result<(), Error> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9000".into());
    Agent::bind(address)?
        .workers(2)
        .stop_on_signals()
        .run(|notify, mut reply| {
            for message in notify
                .messages()
                .filter(|message| message.name() == b"ip-rep")
            {
                if let Some(_ip) = message.ip("ip") {
                    // Implement IP reputation here.
                    reply.set_var(Scope::Session, "reputation", 1_u32);
                }
            }
        })
}
