//! The handshake: `HAProxy` offers, the agent chooses (SPOE.txt 3.2.4, 3.2.5).

use bytes::BytesMut;

use super::{ProtocolError, SessionConfig};
use crate::{
    AgentHello, Capabilities, Frame, FrameFull, HaproxyHello, MAX_FRAME_SIZE_LEAST, VERSION,
};

const PIPELINING: &str = "pipelining";

/// What was agreed on.
pub(super) struct Accepted {
    pub(super) max_frame_size: u32,
    pub(super) healthcheck: bool,
}

/// Checks HAPROXY-HELLO and appends AGENT-HELLO.
pub(super) fn accept(
    frame: Frame<'_>,
    terms: &SessionConfig,
    output: &mut BytesMut,
) -> Result<Accepted, ProtocolError> {
    if !frame.flags.is_fin() {
        return Err(ProtocolError::Fragmented);
    }
    if (frame.stream_id, frame.frame_id) != (0, 0) {
        return Err(ProtocolError::HelloIds);
    }
    let hello = HaproxyHello::parse(frame.payload)?;
    let versions = hello.supported_versions.ok_or(ProtocolError::NoVersion)?;
    let offered = hello.max_frame_size.ok_or(ProtocolError::NoMaxFrameSize)?;
    let capabilities = hello.capabilities.ok_or(ProtocolError::NoCapabilities)?;
    if !versions.has_major(2) {
        return Err(ProtocolError::BadVersion);
    }
    if offered < MAX_FRAME_SIZE_LEAST {
        return Err(ProtocolError::BadMaxFrameSize(offered));
    }
    let max_frame_size = offered.min(terms.max_frame_size);
    let answer = AgentHello {
        version: VERSION.as_bytes(),
        max_frame_size,
        capabilities: Capabilities(choose(capabilities, terms.fragmentation).as_bytes()),
    };
    answer
        .write(output, max_frame_size)
        .map_err(|FrameFull| ProtocolError::HelloFull)?;
    Ok(Accepted {
        max_frame_size,
        healthcheck: hello.healthcheck,
    })
}

/// `pipelining` if it was offered. `fragmentation` goes one way: 2.x and 3.0 never offer it and use
/// it when the agent announces it; 3.1 and later ignore it (seen with 2.6, 3.0 and 3.2). Never
/// `async`: `HAProxy` would then take an ACK on any connection of the engine.
fn choose(offered: Capabilities<'_>, fragmentation: bool) -> &'static str {
    match (offered.contains(PIPELINING), fragmentation) {
        (true, true) => "pipelining,fragmentation",
        (true, false) => PIPELINING,
        (false, true) => "fragmentation",
        (false, false) => "",
    }
}
