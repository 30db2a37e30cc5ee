//! What a run is: the options together, checked.

use std::time::Duration;

use crate::addresses::Addresses;
use crate::options::Options;
use crate::question::Question;
use crate::stream::Target;

/// How many connections may be open in all.
const CONNECTIONS_MAX: usize = 1_000_000;

/// How many NOTIFYs may be in flight on one of them.
const DEPTH_MAX: usize = 65_536;

/// In an open loop: what `HAProxy` 3.2 allows itself.
const DEPTH_OPEN_LOOP: usize = 20;

/// The largest frame that can be offered, in bytes.
const MAX_FRAME_SIZE_MOST: u32 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) label: String,
    pub(crate) load: Load,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) cores: Option<Vec<usize>>,
    pub(crate) warmup: Duration,
    pub(crate) bound: Bound,
    pub(crate) reconnect: Option<u64>,
    pub(crate) question: Question,
    pub(crate) addresses: Addresses,
    pub(crate) seed: u64,
    pub(crate) max_frame_size: u32,
    pub(crate) timeouts: Timeouts,
    pub(crate) pid: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// As many NOTIFYs in flight on each connection.
    Closed { depth: usize },
    /// As many NOTIFYs a second, and at most so many in flight on each connection.
    Open { rate: u64, depth: usize },
    /// None at all.
    Idle,
}

/// When measuring ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Duration(Duration),
    Count(u64),
}

/// How long the agent may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) hello: Duration,
    pub(crate) response: Duration,
}

impl Plan {
    /// # Errors
    /// In words, naming the option.
    pub(crate) fn from_options(options: &Options) -> Result<Self, String> {
        let target = options
            .agent
            .clone()
            .ok_or("the agent's address is missing")?;
        let connections = options.idle.unwrap_or(options.connections);
        within("--connections", connections, CONNECTIONS_MAX)?;
        within("--threads", options.threads, connections)?;
        let ask = &options.ask;
        if !(256..=MAX_FRAME_SIZE_MOST).contains(&ask.max_frame_size) {
            return Err(format!(
                "--max-frame-size must be 256 to {MAX_FRAME_SIZE_MOST}"
            ));
        }
        let question = Question::new(ask).map_err(|_| {
            format!(
                "the message does not fit --max-frame-size {}",
                ask.max_frame_size
            )
        })?;
        Ok(Self {
            label: options
                .output
                .label
                .clone()
                .unwrap_or_else(|| target.to_string()),
            target,
            load: load(options)?,
            connections,
            threads: options.threads,
            cores: options.cores.as_ref().map(|cores| cores.0.clone()),
            warmup: options.warmup.unwrap_or(match options.count {
                Some(_) => Duration::ZERO,
                None => Duration::from_secs(1),
            }),
            bound: bound(options)?,
            reconnect: match options.reconnect {
                Some(0) => return Err("--reconnect must be at least 1".to_owned()),
                reconnect => reconnect,
            },
            question,
            addresses: ask.addresses.clone(),
            seed: ask.seed,
            max_frame_size: ask.max_frame_size,
            timeouts: Timeouts {
                connect: options.connect_timeout,
                hello: options.hello_timeout,
                response: options.response_timeout,
            },
            pid: options.pid,
        })
    }

    /// The most NOTIFYs in flight on a connection.
    pub(crate) const fn depth(&self) -> usize {
        match self.load {
            Load::Closed { depth } | Load::Open { depth, .. } => depth,
            Load::Idle => 0,
        }
    }

    #[inline]
    pub(crate) const fn is_open_loop(&self) -> bool {
        matches!(self.load, Load::Open { .. })
    }

    /// Whether a connection has had all its requests.
    #[inline]
    pub(crate) fn is_spent(&self, asked: u64) -> bool {
        self.reconnect.is_some_and(|requests| asked >= requests)
    }

    /// What the `index`-th thread has of `whole`: shares differ by at most one.
    pub(crate) const fn share(&self, whole: u64, index: usize) -> u64 {
        let (threads, index) = (self.threads as u64, index as u64);
        whole / threads + (index < whole % threads) as u64
    }
}

fn load(options: &Options) -> Result<Load, String> {
    if let Some(depth) = options.depth {
        within("--depth", depth, DEPTH_MAX)?;
    }
    Ok(match (options.idle, options.rate) {
        (Some(_), _) => Load::Idle,
        (None, None) => Load::Closed {
            depth: options.depth.unwrap_or(1),
        },
        (None, Some(rate @ 1..=100_000_000)) => Load::Open {
            rate,
            depth: options.depth.unwrap_or(DEPTH_OPEN_LOOP),
        },
        (None, Some(_)) => return Err("--rate must be 1 to 100000000".to_owned()),
    })
}

fn bound(options: &Options) -> Result<Bound, String> {
    match (options.count, options.duration) {
        (Some(0), _) => Err("--count must be at least 1".to_owned()),
        (Some(count), _) => Ok(Bound::Count(count)),
        (None, Some(Duration::ZERO)) => Err("--duration must be more than 0".to_owned()),
        (None, duration) => Ok(Bound::Duration(duration.unwrap_or(Duration::from_secs(10)))),
    }
}

fn within(option: &str, value: usize, most: usize) -> Result<(), String> {
    match value {
        1.. if value <= most => Ok(()),
        _ if most == 0 => Err(format!("{option}: no connections")),
        _ => Err(format!("{option} must be 1 to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn plan(arguments: &str) -> Result<Plan, String> {
        let words = ["spop-bench", "127.0.0.1:1"]
            .into_iter()
            .chain(arguments.split_whitespace());
        Plan::from_options(&Options::try_parse_from(words).map_err(|error| error.to_string())?)
    }

    #[test]
    fn options_make_a_plan() {
        let closed = plan("").unwrap();
        assert_eq!(closed.load, Load::Closed { depth: 1 });
        assert_eq!(closed.warmup, Duration::from_secs(1));
        let open = plan("--rate 1000 --count 7 --threads 3 -c 3").unwrap();
        assert_eq!(
            open.load,
            Load::Open {
                rate: 1000,
                depth: 20
            }
        );
        assert_eq!((open.warmup, open.bound), (Duration::ZERO, Bound::Count(7)));
        assert_eq!([0, 1, 2].map(|index| open.share(7, index)), [3, 2, 2]);
        let idle = plan("--idle 10").unwrap();
        assert_eq!(
            (idle.load, idle.connections, idle.depth()),
            (Load::Idle, 10, 0)
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (arguments, name) in [
            ("-c 0", "--connections"),
            ("-t 2", "--threads"),
            ("--depth 0", "--depth"),
            ("--rate 0", "--rate"),
            ("--count 0", "--count"),
            ("--duration 0", "--duration"),
            ("--reconnect 0", "--reconnect"),
            ("--max-frame-size 255", "--max-frame-size"),
            ("--payload 20000", "--max-frame-size"),
            ("--idle 5 --depth 1", "--depth"),
            ("--count 5 --duration 1s", "--count"),
        ] {
            let message = plan(arguments).unwrap_err();
            assert!(message.contains(name), "{arguments}: {message}");
        }
    }
}
