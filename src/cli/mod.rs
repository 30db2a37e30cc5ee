//! The command line: options, start, signals, and one clear line for everything that is wrong.

#[cfg(feature = "admin")]
mod admin;
#[cfg(not(feature = "admin"))]
#[path = "no_admin.rs"]
mod admin;
mod args;
mod check;
mod check_haproxy;
#[cfg(feature = "admin")]
mod ctl;
#[cfg(feature = "admin")]
mod decisions;
#[cfg(feature = "documents")]
mod documents;
mod failure;
mod feeds;
mod limits;
mod log;
mod lookup;
mod print;
mod setup;
mod signals;

use core::time::Duration;
use std::env;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use clap::{CommandFactory as _, FromArgMatches as _};
use haproxy_spoa::{Agent, Bind, Builder, Control};
use ip_reputation::Random;
use iprep_spoa::config::{self, AgentOptions, Config};
use iprep_spoa::feeds::{Engine, Remote};
use iprep_spoa::host::log::LogDial;
use iprep_spoa::host::{self, peer_monitor, supervisor, vital};
use iprep_spoa::policy::{IpReputation, PolicyHandler};
use tracing::{info, warn};

use admin::Endpoint;
use args::{Args, Command};
use failure::Failure;
use setup::ProcessSetup;
use signals::Signals;

/// How long the process waits at its end for points to be saved.
const SAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Does what the command line says.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    failure::keep_panics();
    vital::flush_with(log::flush);
    #[cfg(feature = "documents")]
    if let Some(folder) = documents::wanted() {
        let written = documents::write(&folder);
        let written = written.map_err(|error| Failure::documents(&folder, &error));
        return written.map(|()| ExitCode::SUCCESS);
    }
    let given = Args::command()
        .try_get_matches_from(words(env::args_os()))
        .map_err(Failure::Usage)?;
    let mut args = Args::from_arg_matches(&given).map_err(Failure::Usage)?;
    match args.command.take() {
        Some(Command::Check {
            config,
            offline,
            json,
            haproxy,
        }) => return check::check(config.as_deref(), offline, json, &haproxy),
        Some(Command::Lookup(lookup)) => return lookup::lookup(&lookup),
        Some(Command::Feeds(command)) => return feeds::feeds(&command),
        #[cfg(feature = "admin")]
        Some(Command::Ctl(ctl)) => return ctl::ctl(&ctl),
        None => {}
    }
    let config = args.config.as_deref().map(Config::read).transpose();
    if let Ok(Some(config)) = &config {
        failure::set_origins(Args::origins(&given, config));
        args.complete(&given, config.agent.clone());
        args.complete_admin(config.admin.clone());
    } else {
        args.complete(&given, AgentOptions::default());
    }
    let dial = log::start(args.log_level, args.log_format);
    let config = config.map_err(|error| Failure::config(&error))?;
    serve(&args, config, &dial)?;
    info!("stopped");
    log::flush();
    Ok(ExitCode::SUCCESS)
}

/// Returns the words of a command line; `help COMMAND` is `COMMAND --help`.
fn words(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<_> = given.collect();
    if words.get(1).is_some_and(|word| word == "help") {
        words.remove(1);
        words.push("--help".into());
    }
    words
}

/// Runs the agent until it is told to stop.
fn serve(args: &Args, config: Option<Config>, dial: &LogDial) -> Result<(), Failure> {
    let mut binds = args.binds()?;
    let limits = args.limits();
    limits::raise_descriptors();
    // Before anything listens, so that no signal finds the agent half made.
    let mut signals = Signals::new(config.is_some() || has_tls(&binds))?;

    let seed = args
        .seed
        .map_or_else(Random::entropy, Ok)
        .map_err(Failure::entropy)?;
    let mut setup = ProcessSetup::find(args)?;
    // While everything can still be read; it answers from where the process is confined.
    let endpoint = Endpoint::bind(args, setup.owner())?;
    let files = config
        .as_ref()
        .map(config::accessed_paths)
        .unwrap_or_default();
    setup.confine(args, &mut binds, endpoint.address(), files)?;
    log::print_on_a_thread().map_err(Failure::thread)?;
    let endpoint = endpoint.serve()?;
    let budget = limits.slow_threshold;
    let builder = builder(args, binds)
        .limits(limits)
        .spare_descriptors(endpoint.descriptors());
    let builder = setup.equip(builder);
    let (agent, engine, live) = match config {
        None => {
            let listening = setup.listen(builder, args)?;
            let started = listening.spawn(|worker| IpReputation::new(Random::seeded(seed, worker)));
            (started, None, None)
        }
        Some(config) => {
            // Lists are fetched and parsed without the rights of root. Without a user to become, they
            // come before the addresses: peers of another agent on them do not wait.
            let started = if setup.changes_user() {
                let listening = setup.listen(builder, args)?;
                start_engine(&mut signals, config)?.map(|engine| (listening, engine))
            } else {
                let engine = start_engine(&mut signals, config)?;
                let listen = |engine| Ok((setup.listen(builder, args)?, engine));
                engine.map(listen).transpose()?
            };
            let Some((listening, mut engine)) = started else {
                return Ok(());
            };
            let published = engine.published();
            let live = engine.live();
            let for_live = Arc::<OnceLock<Control>>::default();
            let workers = Arc::clone(&for_live);
            // As the user that owns the store, and before the first answer.
            live.start(move || workers.get().into_iter().for_each(Control::refresh))
                .map_err(Failure::thread)?;
            engine.fleet().start().map_err(Failure::thread)?;
            engine.crowdsec().start();
            let started = listening.spawn_with_hooks(|worker| {
                let random = Random::seeded(seed, worker);
                PolicyHandler::new(&published, random, host::now)
            });
            if let Ok(agent) = &started {
                // A worker without traffic would keep what was replaced.
                let workers = agent.control();
                let _ = for_live.set(workers.clone());
                engine.when_replaced(move || workers.refresh());
            }
            let remote = engine.spawn().map_err(Failure::thread)?;
            (started, Some((remote, published)), Some(live))
        }
    };
    let agent = agent.map_err(|error| Failure::start(&error, args))?;

    print::started(&agent);
    if engine.is_none() {
        let hint = "name a configuration with -f; random scores are for tests";
        warn!(hint, "scores are random");
    }
    endpoint.tell_of(&agent, budget, engine.clone(), live.clone(), dial);
    setup.say();
    serve_signals(&agent, signals, engine.map(|(remote, _)| remote))?;
    supervisor::ready(&print::listening(&agent));
    let ended = agent.join().map_err(Failure::Worker);
    if let Some(live) = live {
        live.finish(SAVE_TIMEOUT);
    }
    ended
}

/// Reads the lists; `None` if a signal ended the start.
fn start_engine(signals: &mut Signals, config: Config) -> Result<Option<Engine>, Failure> {
    let engine = signals.during(|| Engine::start(config))?;
    engine.transpose().map_err(Failure::engine)
}

/// Starts the threads that act on signals and feed the watchdog.
fn serve_signals(agent: &Agent, signals: Signals, remote: Option<Remote>) -> Result<(), Failure> {
    let control = agent.control();
    let watched = supervisor::watch(control.clone());
    watched.map_err(Failure::thread)?;
    peer_monitor::start(control.clone()).map_err(Failure::thread)?;
    let serve = move || {
        signals.serve(&control, remote.as_ref());
        Ok(())
    };
    vital::spawn("signals", serve).map_err(|error| Failure::signals(&error))
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
    let mut builder = Agent::builder()
        .workers(workers)
        .takeover(args.takeover)
        .takeover_events(print::takeover);
    if let Some(cores) = &args.cores {
        builder = builder.cores(cores.0.clone());
    }
    #[cfg(feature = "trace")]
    if args.debug {
        builder = builder.trace(Arc::new(print::trace));
    }
    binds.into_iter().fold(builder, Builder::bind_with)
}
