//! TLS between hosts: who is let in, what becomes of everybody else, and that a conversation over TLS
//! is the same conversation.
//!
//! | module | what it shows |
//! |---|---|
//! | `entry` | certificates that count and those that do not |
//! | `broken` | plain clients, garbage, records in pieces, slow handshakes |
//! | `traffic` | batches, back-pressure, keys that change, many connections, memory |
//! | `change` | renewal, shutdown and takeover under traffic |
//! | `files` | every file that can be wrong |

#[cfg(test)]
mod broken;
#[cfg(test)]
mod change;
#[cfg(test)]
mod entry;
#[cfg(test)]
mod files;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod traffic;

#[cfg(test)]
use support::{Authority, Client, Leaf, Program, Scratch};

/// An agent with TLS, and what a client needs to be let in.
#[cfg(test)]
#[derive(Debug)]
struct Stage {
    folder: Scratch,
    servers: Authority,
    clients: Authority,
    agent: Program,
    leaf: Leaf,
}

#[cfg(test)]
impl Stage {
    fn new(args: &[&str]) -> Self {
        let folder = Scratch::new();
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let bind = folder.tls_bind("127.0.0.1:0", &servers.issue("agent.test"), &clients);
        let leaf = clients.issue("haproxy.test");
        Self {
            agent: Program::start_on(&[&bind], args),
            folder,
            servers,
            clients,
            leaf,
        }
    }

    /// A client that is let in.
    fn client(&self) -> Client {
        Client::new(&self.servers, Some(&self.leaf))
    }
}
