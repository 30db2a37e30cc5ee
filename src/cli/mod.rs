//! The command line: options, start, signals, and one clear line for everything that is wrong.

mod args;
mod failure;
mod limits;
mod print;
mod signals;
mod values;

use std::thread;

use clap::Parser as _;
use spoa::agent::{Agent, BindAddress, Builder};
use spoa::iprep::IpReputation;
use spoa::reputation::Random;

use args::Args;
use failure::Failure;
use signals::Signals;

/// Runs the agent until it is told to stop.
pub(crate) fn run() -> Result<(), Failure> {
    failure::keep_panics();
    let args = Args::try_parse().map_err(Failure::Usage)?;
    let addresses = args.addresses()?;
    let limits = args.limits();
    limits::raise_descriptors();
    // Before anything listens, so that no signal finds the agent half made.
    let signals = Signals::new()?;

    let seed = args
        .seed
        .map_or_else(Random::entropy, Ok)
        .map_err(Failure::entropy)?;
    let builder = builder(&args, addresses).limits(limits);
    let started = builder.spawn(|worker| IpReputation::new(Random::seeded(seed, worker)));
    let agent = started.map_err(|error| Failure::start(&error, &args))?;

    print::started(&agent);
    let control = agent.control();
    let serve = move || signals.serve(&control);
    let serving = thread::Builder::new().name("signals".into()).spawn(serve);
    serving.map_err(|error| Failure::signals(&error))?;
    agent.join().map_err(Failure::Panicked)
}

fn builder(args: &Args, addresses: Vec<BindAddress>) -> Builder {
    let workers = args.workers.count();
    let mut builder = Agent::builder().workers(workers).takeover(args.takeover);
    if let Some(cores) = &args.cores {
        builder = builder.cores(cores.0.clone());
    }
    #[cfg(feature = "trace")]
    if args.debug {
        builder = builder.trace(std::sync::Arc::new(print::trace));
    }
    addresses.into_iter().fold(builder, Builder::bind)
}
