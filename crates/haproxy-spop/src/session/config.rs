//! What the agent is willing to agree to and to keep, per connection.

/// The terms of a connection. Every limit has a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// The largest frame that we take or send, in bytes without the length prefix; the lower of
    /// this and `HAProxy`'s offer is agreed on. At least 256. Default 65,536: above the offer of an
    /// untuned `HAProxy` (16,380), because 3.1.0 does not hold its NOTIFY to a smaller answer.
    pub max_frame_size: u32,
    /// Whether the agent announces `fragmentation` and reassembles. Default true.
    pub fragmentation: bool,
    /// The most bytes of payload that a fragmented NOTIFY may gather. Default 262,144.
    pub reassembly_max: usize,
    /// Whoever drives the session sends what there is before it goes on, once the output has this
    /// many bytes. Default 65,536.
    pub output_high_water: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            max_frame_size: 64 * 1024,
            fragmentation: true,
            reassembly_max: 256 * 1024,
            output_high_water: 64 * 1024,
        }
    }
}
