//! The agent behind real HAProxy, each version that `scripts/haproxy` brings.
//!
//! Every test starts a HAProxy, an agent and what else it needs by itself, on free ports and in a
//! folder of its own, and ends them again, so that all of them run side by side. HAProxy logs to
//! the test over UDP; what a test says about an outcome it reads there or in the answers that
//! clients got. Tests wait for what they can see, never for a time to pass.
//!
//! | module | what it shows |
//! |---|---|
//! | `samples` | haproxy-conf is accepted; scores are there, and decide who gets in |
//! | `check_buffer` | the TCP sample: first bytes, allow list, rate limit |
//! | `codes` | what HAProxy says when the cap is reached |
//! | `behind_proxy` | X-Forwarded-For counts from a trusted proxy and from nobody else |
//! | `guide` | the configurations of docs/guide.md |
//! | `reputation` | lists decide who gets in, and show in the log; they are replaced under traffic |
//! | `live` | a ban is refused on an open connection's next request, an unban is served |
//! | `rules` | check-buffer with payload rules tells protocols apart |
//! | `health` | `option spop-check` follows the agent |
//! | `payload` | payloads below and above the frame size, with and without fragments |
//! | `messages` | several messages, a group, names of arguments, no address, a UNIX socket |
//! | `connections` | a burst of them, idle ones, and none left behind |
//! | `trace` | what `-d` shows |
//! | `example` | `examples/ip_rep.rs` |
//! | `reload` | HAProxy is reloaded under traffic |
//! | `takeover` | the agent is replaced, or restarted, under traffic |
//! | `tls` | certificates between HAProxy and the agent |
//! | `verdict_cache` | the sample asks once per client for some seconds, then again |
//! | `stall` | an agent that answers no more, and then again |
//!
//! `rig` holds everything that is not a test, and `support` what all tests on real sockets share.

/// A test for each version of HAProxy that calls the function of the same name with it.
#[cfg(test)]
macro_rules! each_version {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::rig::Version;

            #[test]
            fn haproxy_2_6() {
                super::$name(Version::V2_6);
            }

            #[test]
            fn haproxy_3_0() {
                super::$name(Version::V3_0);
            }

            #[test]
            fn haproxy_3_2() {
                super::$name(Version::V3_2);
            }
        }
    )+};
}

#[cfg(test)]
#[cfg(feature = "admin")]
mod behavior;
#[cfg(test)]
mod behind_proxy;
#[cfg(test)]
mod check_buffer;
#[cfg(test)]
mod codes;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod example;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod health;
#[cfg(test)]
#[cfg(feature = "admin")]
mod live;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod payload;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod reputation;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod stall;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod takeover;
#[cfg(test)]
#[cfg(feature = "tls")]
mod tls;
#[cfg(test)]
#[cfg(feature = "trace")]
mod trace;
#[cfg(test)]
#[cfg(feature = "admin")]
mod verdict_cache;
