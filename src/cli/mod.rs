//! The command line: options, start, signals, and one clear line for everything that is wrong.

mod args;
mod check;
mod failure;
mod limits;
mod lookup;
mod print;
mod signals;

use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;

use clap::{CommandFactory as _, FromArgMatches as _};
use spoa::agent::{Agent, Bind, Builder, StartError};
use spoa::control::config::Config;
use spoa::control::{self, Engine, Remote};
use spoa::iprep::{IpReputation, Judge};
use spoa::reputation::Random;

use args::{Args, Command};
use failure::Failure;
use signals::Signals;

/// Lines for people that may wait to be printed. More are left out: nobody reads.
const LINES_MAX: usize = 256;

/// Does what the command line says.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    failure::keep_panics();
    let given = Args::command().try_get_matches().map_err(Failure::Usage)?;
    let mut args = Args::from_arg_matches(&given).map_err(Failure::Usage)?;
    match args.command.take() {
        Some(Command::Check { config, offline }) => return check::check(&config, offline),
        Some(Command::Lookup(lookup)) => return lookup::lookup(&lookup),
        None => {}
    }
    let config = args.config.as_deref().map(Config::read).transpose();
    let config = config.map_err(|error| Failure::config(&error))?;
    if let Some(config) = &config {
        args.complete(&given, config.agent.clone());
    }
    serve(&args, config).map(|()| ExitCode::SUCCESS)
}

/// Runs the agent until it is told to stop.
fn serve(args: &Args, config: Option<Config>) -> Result<(), Failure> {
    let binds = args.binds()?;
    let limits = args.limits();
    limits::raise_descriptors();
    // Before anything listens, so that no signal finds the agent half made.
    let signals = Signals::new(config.is_some() || has_tls(&binds))?;

    let seed = args
        .seed
        .map_or_else(Random::entropy, Ok)
        .map_err(Failure::entropy)?;
    let builder = builder(args, binds).limits(limits);
    let (agent, remote) = match config {
        None => {
            let started = builder.spawn(|worker| IpReputation::new(Random::seeded(seed, worker)));
            (started, None)
        }
        Some(config) => start_with(config, builder, seed)?,
    };
    let agent = agent.map_err(|error| Failure::start(&error, args))?;

    print::started(&agent);
    let control = agent.control();
    let serve = move || signals.serve(&control, remote.as_ref());
    let serving = thread::Builder::new().name("signals".into()).spawn(serve);
    serving.map_err(|error| Failure::signals(&error))?;
    agent.join().map_err(Failure::Panicked)
}

type Started = (Result<Agent, StartError>, Option<Remote>);

/// Starts the agent over what a configuration says.
fn start_with(config: Config, builder: Builder, seed: u64) -> Result<Started, Failure> {
    // Printing may block; what prints must not be what reloads.
    let (to, lines) = mpsc::sync_channel::<String>(LINES_MAX);
    let printing = thread::Builder::new().name("lines".into()).spawn(move || {
        for line in lines {
            print::say(line);
        }
    });
    printing.map_err(Failure::thread)?;
    let say = move |line: &str| {
        // Full: nobody reads.
        let _ = to.try_send(line.to_owned());
    };
    let engine = Engine::start(config, Arc::new(say)).map_err(Failure::engine)?;
    let published = engine.published();
    let agent = builder.spawn(|worker| {
        let random = Random::seeded(seed, worker);
        Judge::new(&published, random, control::now)
    });
    let remote = engine.spawn().map_err(Failure::thread)?;
    Ok((agent, Some(remote)))
}

/// Whether there are certificates to be renewed.
fn has_tls(binds: &[Bind]) -> bool {
    #[cfg(feature = "tls")]
    return binds.iter().any(|bind| bind.tls.is_some());
    #[cfg(not(feature = "tls"))]
    {
        let _ = binds;
        false
    }
}

fn builder(args: &Args, binds: Vec<Bind>) -> Builder {
    let workers = args.workers.count();
    let mut builder = Agent::builder().workers(workers).takeover(args.takeover);
    if let Some(cores) = &args.cores {
        builder = builder.cores(cores.0.clone());
    }
    #[cfg(feature = "trace")]
    if args.debug {
        builder = builder.trace(Arc::new(print::trace));
    }
    binds.into_iter().fold(builder, Builder::bind_with)
}
