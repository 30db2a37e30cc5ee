//! HAPROXY-HELLO and AGENT-HELLO: the terms of a connection (SPOE.txt 3.2.4 and 3.2.5).

use bytes::BytesMut;

use super::{DecodeError, Fault, Flags, FrameFull, FrameType, FrameWriter, TypedData, kv};

const SUPPORTED_VERSIONS: &[u8] = b"supported-versions";
const VERSION: &[u8] = b"version";
const MAX_FRAME_SIZE: &[u8] = b"max-frame-size";
const CAPABILITIES: &[u8] = b"capabilities";
const HEALTHCHECK: &[u8] = b"healthcheck";
const ENGINE_ID: &[u8] = b"engine-id";

/// The value of `supported-versions`: "2.0, 1.5". Spaces are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions<'a>(pub &'a [u8]);

impl Versions<'_> {
    /// Whether a version with this major number is offered. What is no `major.minor` is passed over.
    #[must_use]
    pub fn has_major(&self, major: u32) -> bool {
        items(self.0).any(|version| {
            let mut parts = version.splitn(2, |&byte| byte == b'.');
            let found = parts.next().and_then(number);
            found == Some(major) && parts.next().and_then(number).is_some()
        })
    }
}

/// The value of `capabilities`: "pipelining,async". Spaces are ignored, and it may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities<'a>(pub &'a [u8]);

impl Capabilities<'_> {
    /// Whether a capability is listed.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        items(self.0).any(|item| item == name.as_bytes())
    }
}

/// The items of a list with commas, without the spaces around them.
fn items(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn number(digits: &[u8]) -> Option<u32> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = core::str::from_utf8(digits).ok().filter(|_| all_digits)?;
    text.parse().ok()
}

/// What `HAProxy` offers. An item that is absent is `None`: which are mandatory is the session's
/// business.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HaproxyHello<'a> {
    /// The versions offered.
    pub supported_versions: Option<Versions<'a>>,
    /// The largest frame that `HAProxy` takes, in bytes.
    pub max_frame_size: Option<u32>,
    /// What `HAProxy` can do besides.
    pub capabilities: Option<Capabilities<'a>>,
    /// Whether the connection is only a health check (`option spop-check`).
    pub healthcheck: bool,
    /// The name of the engine, the same on all its connections.
    pub engine_id: Option<&'a [u8]>,
}

impl<'a> HaproxyHello<'a> {
    /// Checks a payload to its last byte. Unknown items are ignored, the order is free.
    pub fn parse(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut hello = Self::default();
        kv::each(payload, |key, value| {
            match key {
                SUPPORTED_VERSIONS => {
                    hello.supported_versions = Some(Versions(text(value, "supported-versions")?));
                }
                MAX_FRAME_SIZE => hello.max_frame_size = Some(size(value)?),
                CAPABILITIES => {
                    hello.capabilities = Some(Capabilities(text(value, "capabilities")?));
                }
                HEALTHCHECK => hello.healthcheck = boolean(value)?,
                ENGINE_ID => hello.engine_id = Some(text(value, "engine-id")?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(hello)
    }

    /// Appends the frame, as `HAProxy` would send it.
    pub fn write(&self, out: &mut BytesMut, max: u32) -> Result<(), FrameFull> {
        let mut frame = FrameWriter::begin(out, FrameType::HAPROXY_HELLO, Flags::FIN, (0, 0), max);
        if let Some(Versions(versions)) = self.supported_versions {
            frame.put_kv(SUPPORTED_VERSIONS, TypedData::String(versions))?;
        }
        if let Some(size) = self.max_frame_size {
            frame.put_kv(MAX_FRAME_SIZE, TypedData::Uint32(size))?;
        }
        if let Some(Capabilities(capabilities)) = self.capabilities {
            frame.put_kv(CAPABILITIES, TypedData::String(capabilities))?;
        }
        if self.healthcheck {
            frame.put_kv(HEALTHCHECK, TypedData::Bool(true))?;
        }
        if let Some(engine) = self.engine_id {
            frame.put_kv(ENGINE_ID, TypedData::String(engine))?;
        }
        frame.finish();
        Ok(())
    }
}

/// What the agent answers: all three items are mandatory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentHello<'a> {
    /// The version chosen, `2.0`.
    pub version: &'a [u8],
    /// The negotiated max-frame-size, in bytes.
    pub max_frame_size: u32,
    /// What both sides can do, and `fragmentation` if the agent reassembles.
    pub capabilities: Capabilities<'a>,
}

impl<'a> AgentHello<'a> {
    /// Checks a payload to its last byte.
    pub fn parse(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let (mut version, mut max_frame_size, mut capabilities) = (None, None, None);
        kv::each(payload, |key, value| {
            match key {
                VERSION => version = Some(text(value, "version")?),
                MAX_FRAME_SIZE => max_frame_size = Some(size(value)?),
                CAPABILITIES => capabilities = Some(Capabilities(text(value, "capabilities")?)),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self {
            version: version.ok_or(DecodeError::field("version", Fault::Missing))?,
            max_frame_size: max_frame_size
                .ok_or(DecodeError::field("max-frame-size", Fault::Missing))?,
            capabilities: capabilities.ok_or(DecodeError::field("capabilities", Fault::Missing))?,
        })
    }

    /// Appends the frame.
    pub fn write(&self, out: &mut BytesMut, max: u32) -> Result<(), FrameFull> {
        let mut frame = FrameWriter::begin(out, FrameType::AGENT_HELLO, Flags::FIN, (0, 0), max);
        frame.put_kv(VERSION, TypedData::String(self.version))?;
        frame.put_kv(MAX_FRAME_SIZE, TypedData::Uint32(self.max_frame_size))?;
        frame.put_kv(CAPABILITIES, TypedData::String(self.capabilities.0))?;
        frame.finish();
        Ok(())
    }
}

fn text<'a>(value: TypedData<'a>, field: &'static str) -> Result<&'a [u8], DecodeError> {
    match value {
        TypedData::String(text) => Ok(text),
        _ => Err(DecodeError::field(field, Fault::WrongType)),
    }
}

/// Any integer type will do, as it does for `HAProxy`. A size that is no u32 is the nearest one: below
/// the least that can be agreed on, or more than anybody has.
fn size(value: TypedData<'_>) -> Result<u32, DecodeError> {
    let negative = match value {
        TypedData::Int32(value) => value < 0,
        TypedData::Int64(value) => value < 0,
        TypedData::Uint32(_) | TypedData::Uint64(_) => false,
        _ => return Err(DecodeError::field("max-frame-size", Fault::WrongType)),
    };
    Ok(value
        .as_u32()
        .unwrap_or(if negative { 0 } else { u32::MAX }))
}

fn boolean(value: TypedData<'_>) -> Result<bool, DecodeError> {
    match value {
        TypedData::Bool(value) => Ok(value),
        _ => Err(DecodeError::field("healthcheck", Fault::WrongType)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Frame;

    const HELLO: HaproxyHello<'_> = HaproxyHello {
        supported_versions: Some(Versions(b"2.0")),
        max_frame_size: Some(16380),
        capabilities: Some(Capabilities(b"pipelining,async")),
        healthcheck: true,
        engine_id: Some(b"engine"),
    };

    #[test]
    fn versions_are_a_list_with_spaces() {
        for offered in ["2.0", "1.5,2.0", " 2.1 , 1.0", "x,,2.17"] {
            assert!(Versions(offered.as_bytes()).has_major(2), "{offered}");
        }
        for offered in [
            "", "1.5", "3.0", "20.0", "2", "2.", "2.x", "-2.0", "+2.0", "2 .0",
        ] {
            assert!(!Versions(offered.as_bytes()).has_major(2), "{offered}");
        }
    }

    #[test]
    fn capabilities_are_whole_words() {
        assert!(Capabilities(b", pipelining").contains("pipelining"));
        assert!(Capabilities(b"async , pipelining").contains("pipelining"));
        for offered in ["", "pipe", "pipelining2", "xpipelining", "async"] {
            assert!(
                !Capabilities(offered.as_bytes()).contains("pipelining"),
                "{offered}"
            );
        }
    }

    #[test]
    fn both_hellos_round_trip() {
        let mut out = BytesMut::new();
        HELLO.write(&mut out, 256).unwrap();
        let (frame, rest) = Frame::split_first(&out, 256).unwrap().unwrap();
        assert!(rest.is_empty());
        assert_eq!(
            (frame.kind, frame.flags),
            (FrameType::HAPROXY_HELLO, Flags::FIN)
        );
        assert_eq!((frame.stream_id, frame.frame_id), (0, 0));
        assert_eq!(HaproxyHello::parse(frame.payload), Ok(HELLO));

        let hello = AgentHello {
            version: b"2.0",
            max_frame_size: 256,
            capabilities: Capabilities(b"pipelining"),
        };
        let mut out = BytesMut::new();
        hello.write(&mut out, 256).unwrap();
        let (frame, _) = Frame::split_first(&out, 256).unwrap().unwrap();
        assert_eq!(AgentHello::parse(frame.payload), Ok(hello));
    }

    #[test]
    fn a_size_of_any_integer_type_is_taken_as_near_as_can_be() {
        for (value, size) in [
            (TypedData::Int32(300), 300),
            (TypedData::Int64(-1), 0),
            (TypedData::Int32(i32::MIN), 0),
            (TypedData::Uint64(1 << 40), u32::MAX),
            (TypedData::Int64(i64::MAX), u32::MAX),
        ] {
            assert_eq!(super::size(value), Ok(size), "{value:?}");
        }
    }

    #[test]
    fn every_cut_is_an_error_or_a_shorter_list() {
        let mut out = BytesMut::new();
        HELLO.write(&mut out, 256).unwrap();
        let (frame, _) = Frame::split_first(&out, 256).unwrap().unwrap();
        for cut in 0..frame.payload.len() {
            if let Ok(hello) = HaproxyHello::parse(&frame.payload[..cut]) {
                assert!(hello.engine_id.is_none(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn unknown_items_are_ignored_and_wrong_types_are_named() {
        let mut out = BytesMut::new();
        let mut frame = FrameWriter::begin(&mut out, FrameType(1), Flags::FIN, (0, 0), 256);
        frame.put_kv(b"future", TypedData::Binary(b"x")).unwrap();
        frame.put_kv(MAX_FRAME_SIZE, TypedData::Bool(true)).unwrap();
        frame.finish();
        let (frame, _) = Frame::split_first(&out, 256).unwrap().unwrap();
        let fault = DecodeError::field("max-frame-size", Fault::WrongType);
        assert_eq!(HaproxyHello::parse(frame.payload), Err(fault));
        assert_eq!(
            HaproxyHello::parse(&frame.payload[..10])
                .unwrap()
                .max_frame_size,
            None
        );
    }
}
