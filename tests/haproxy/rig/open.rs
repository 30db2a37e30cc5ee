//! A configuration of the tests' own: HTTP, open to everyone, which tells each client what HAProxy
//! knows about it. HAProxy answers by itself; nothing but it and the agent can go wrong.
//!
//! | header | what it is |
//! |---|---|
//! | `x-score` | `sess.iprep.ip_score` |
//! | `x-reputation` | `sess.iprep.reputation` |
//! | `x-error` | `txn.iprep.error`: why there is no answer |
//! | `x-pid` | the process that answered |

use super::{Setup, Version};

/// The parts that differ between tests: lines of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open<'a> {
    pub(crate) global: &'a str,
    pub(crate) frontend: &'a str,
    /// Options of the server line of the agent.
    pub(crate) server: &'a str,
    /// Lines of the section `spoe-agent`.
    pub(crate) agent: &'a str,
    /// `timeout idle`, which 3.1 and later ignore.
    pub(crate) idle: &'a str,
    /// `timeout processing`. It is long, for machines that are loaded.
    pub(crate) processing: &'a str,
    /// The sections `spoe-message` and `spoe-group`.
    pub(crate) messages: &'a str,
}

impl Default for Open<'_> {
    fn default() -> Self {
        Self {
            global: "",
            frontend: "",
            server: "",
            agent: "messages check-client-ip",
            idle: "30s",
            processing: "20s",
            messages: "\
spoe-message check-client-ip
    args src
    event on-client-session
",
        }
    }
}

impl Open<'_> {
    pub(crate) fn setup(self, version: Version) -> Setup {
        let Self {
            global,
            frontend,
            server,
            agent,
            idle,
            processing,
            messages,
        } = self;
        let mode = version.agent_mode();
        let config = format!(
            r#"
global
    log "${{SPOA_LOG}}" format raw local0
    {global}
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-request 30s
frontend www
    bind "${{SPOA_FRONTEND}}"
    bind "unix@${{TEST_FOLDER}}/front"
    filter spoe engine iprep config "${{TEST_FOLDER}}/iprep.spoe"
    {frontend}
    http-request return status 200 hdr x-score %[var(sess.iprep.ip_score)] hdr x-reputation %[var(sess.iprep.reputation)] hdr x-error %[var(txn.iprep.error)] hdr x-pid %pid
backend agents
    mode {mode}
    log global
    option spop-check
    timeout check 20s
    timeout connect 20s
    timeout server 1m
    server iprep "${{SPOA_AGENT}}" {server}
"#
        );
        let spoe = format!(
            "\
[iprep]
spoe-agent iprep-agent
    {agent}
    option var-prefix iprep
    option set-on-error error
    timeout hello 20s
    timeout idle {idle}
    timeout processing {processing}
    use-backend agents
    log global
{messages}"
        );
        Setup::own(version, &config).with("iprep.spoe", &spoe)
    }
}
