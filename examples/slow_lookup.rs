//! An agent that has to wait for something slow: a task of tokio sleeps where a database would be asked.
//! The worker goes on meanwhile, and the answers leave in the order in which they come.
//!
//! ```text
//! cargo run --example slow_lookup -- 127.0.0.1:9000
//! ```

use std::future::pending;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use haproxy_spoa::{Agent, Scope};

/// Put a query here.
async fn look_up(ip: IpAddr) -> u32 {
    tokio::time::sleep(Duration::from_millis(5)).await;
    u32::from(ip.is_loopback())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9000".into());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let tasks = runtime.handle().clone();
    thread::spawn(move || runtime.block_on(pending::<()>()));
    Agent::bind(address)?
        .stop_on_signals()
        .run(move |notify, reply| {
            let Some(ip) = notify.messages().find_map(|message| message.ip("ip")) else {
                return;
            };
            let mut deferred = reply.defer();
            tasks.spawn(async move {
                deferred.set_var(Scope::Session, "reputation", look_up(ip).await);
                deferred.send();
            });
        })?;
    Ok(())
}
