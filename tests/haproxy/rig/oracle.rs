//! An agent whose answers are known: the library with a source of its own. It runs in the test.

use core::net::IpAddr;
use std::sync::{Arc, Mutex};

use haproxy_spoa::Agent;
use haproxy_spoa::BindAddress;
use ip_reputation::{Reputation, Score};
use iprep_spoa::policy::IpReputation;

/// Scores an address with its last byte, and remembers which were asked about.
#[derive(Debug)]
pub(crate) struct Oracle {
    agent: Agent,
    asked: Arc<Mutex<Vec<IpAddr>>>,
}

#[derive(Debug)]
struct LastByte {
    asked: Arc<Mutex<Vec<IpAddr>>>,
}

impl Reputation for LastByte {
    fn score(&mut self, address: IpAddr) -> Score {
        self.asked.lock().unwrap().push(address);
        let last = match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        };
        Score::new(last).unwrap_or(Score::BEST)
    }
}

impl Oracle {
    pub(crate) fn start() -> Self {
        let asked = Arc::default();
        let agent = Agent::builder()
            .bind("127.0.0.1:0".parse().unwrap())
            .spawn(|_worker| {
                IpReputation::new(LastByte {
                    asked: Arc::clone(&asked),
                })
            })
            .unwrap();
        Self { agent, asked }
    }

    pub(crate) fn address(&self) -> &BindAddress {
        &self.agent.addresses()[0]
    }

    /// The addresses that were asked about since the last call.
    pub(crate) fn asked(&self) -> Vec<IpAddr> {
        core::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.agent.control().drain();
    }
}
