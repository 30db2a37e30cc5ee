//! The rooms of the `spoa` daemon. Internal: this library exists for the daemon's own binary, tests,
//! benchmarks and fuzz targets, and promises nothing to others.
//!
//! To write an agent, use `haproxy-spoa`; to read feeds and look addresses up, `ip-reputation`; for the
//! wire alone, `haproxy-spop`.
//!
//! | module | what it is |
//! |---|---|
//! | [`config`] | the configuration file |
//! | [`feeds`] | where lists come from, and the table that is made of them |
//! | [`policy`] | what is answered: a handler over a table and rules |
//! | [`haproxy_config`] | HAProxy's own configuration, for `spoa check --haproxy` |
//! | [`admin`] | HTTP: metrics, the status page, commands |
//! | [`live`] | decisions made while the agent runs, and the table that workers look them up in |
//! | [`fleet`] | live decisions that all nodes share, by Valkey or Redis |
//! | [`crowdsec`] | decisions of a CrowdSec LAPI |
//! | [`host`] | what the service needs of its host: sockets, user, sandbox, supervisor, logs |

#![forbid(unsafe_code)]

#[cfg(feature = "admin")]
pub mod admin;
pub mod config;
pub mod crowdsec;
pub mod feeds;
pub mod fleet;
pub mod haproxy_config;
pub mod host;
pub mod live;
pub mod policy;

/// The examples of README.md are tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
