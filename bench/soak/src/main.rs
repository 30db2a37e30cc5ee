//! `spop-soak`: mixed load on an agent, and whether it is the same at the end as it was at the beginning.
//!
//! ```text
//!  run      clients that are right and that are wrong   -->  the agent
//!           lists replaced, SIGHUP, a list server            its folder
//!           /metrics, status page                            its admin endpoint
//!           a sample every few seconds  -->  CSV             its /proc
//!  report   CSV  -->  verdict, picture
//! ```
//!
//! A client is a thread with a blocking socket that waits most of the time: what is wanted is variety, and
//! a rate that leaves the machine to others. Every answer is checked against what the lists say.

#![forbid(unsafe_code)]

mod admin;
mod clients;
mod frames;
mod hostile;
mod lists;
mod peer;
mod plot;
mod row;
mod sample;
mod shared;
mod verdict;

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use peer::Target;
use row::{COLUMNS, Run};
use sample::Sampler;
use shared::Shared;

const USAGE: &str = "usage: spop-soak run SPOA FOLDER MINUTES CSV\n       spop-soak report CSV SVG";

/// How long the agent may take to start, to notice that everybody has gone, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["run", spoa, folder, minutes, csv] => {
            run(spoa, Path::new(folder), minutes, Path::new(csv))
        }
        ["report", csv, svg] => report(Path::new(csv), Path::new(svg)),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("spop-soak: {message}");
            ExitCode::from(2)
        }
    }
}

/// Runs an agent and the load until the time is over or FOLDER/stop is there. Samples go to the CSV as
/// they are made. True unless it ended before it began; what is wrong with the agent stands in the CSV.
fn run(spoa: &str, folder: &Path, minutes: &str, csv: &Path) -> Result<bool, String> {
    let minutes: f64 = minutes.parse().map_err(|_| USAGE)?;
    let server =
        lists::prepare(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut csv = Csv(File::create(csv).map_err(|error| format!("{}: {error}", csv.display()))?);
    let shared = Shared::default();
    thread::scope(|scope| {
        let serving = scope.spawn(|| lists::serve(&shared, &server));
        let ran = Agent::start(spoa, folder)
            .and_then(|agent| under_load(agent, &shared, folder, minutes, &mut csv));
        shared.end();
        serving.thread().unpark();
        ran
    })?;
    for (words, count) in shared.words() {
        csv.line(&format!("# wrong {count} × {words}"))?;
    }
    csv.line(&format!("# partial {}", shared.partial.load(Relaxed)))?;
    csv.line(&format!("# refused {}", shared.refused.load(Relaxed)))?;
    csv.line(&format!("# answered {}", shared.answered.load(Relaxed)))?;
    Ok(true)
}

/// The whole load, and samples meanwhile.
fn under_load(
    mut agent: Agent,
    shared: &Shared,
    folder: &Path,
    minutes: f64,
    csv: &mut Csv,
) -> Result<(), String> {
    // Few minutes have as many samples as they need.
    let window = Duration::from_secs(if minutes > 10.0 { 5 } else { 2 });
    let (tcp, unix, admin, pid) = (&agent.tcp, &agent.unix, agent.admin, agent.child.id());
    let before = sample::descriptors(pid)?;
    csv.line(&format!("# descriptors_before {before}"))?;
    csv.line(&COLUMNS.join(","))?;
    let begin = Instant::now();
    let mut sampler = Sampler::new(pid, begin);
    let ended = thread::scope(|scope| {
        let client = |target, count, client: fn(&Shared, &Target)| {
            for _ in 0..count {
                scope.spawn(move || client(shared, target));
            }
        };
        client(tcp, 1, clients::probe);
        for target in [tcp, unix] {
            client(target, 2, clients::pipelined);
            client(target, 3, clients::one_in_flight);
            client(target, 2, clients::churn);
            client(target, 2, clients::slow_writer);
            client(target, 1, clients::slow_reader);
            client(target, 1, clients::fragmented);
            client(target, 1, hostile::garbage);
            client(target, 1, hostile::broken_off);
            client(target, 2, hostile::silent);
        }
        scope.spawn(move || admin::scrape(shared, admin));
        scope.spawn(move || admin::dawdle(shared, admin));
        scope.spawn(move || lists::replace(shared, folder, pid));
        let mut number = 0;
        let ended = loop {
            number += 1;
            let next = begin + window * number;
            while Instant::now() < next && !folder.join("stop").exists() {
                thread::park_timeout(Duration::from_millis(200));
            }
            if folder.join("stop").exists() {
                break Ok(());
            }
            match sampler
                .sample(pid, shared)
                .and_then(|row| csv.line(&row.line()))
            {
                Ok(()) if begin.elapsed().as_secs_f64() >= minutes * 60.0 => break Ok(()),
                Ok(()) => {}
                Err(error) => break Err(error),
            }
        };
        shared.end();
        ended
    });
    if let Err(error) = ended {
        csv.line(&format!("# wrong the agent is gone: {error}"))?;
        return Ok(());
    }
    // What it kept for clients goes with them; two looks of its admin endpoint may still be closing.
    let deadline = Instant::now() + PATIENCE;
    let mut left = sample::descriptors(pid)?;
    while left > before && Instant::now() < deadline {
        thread::park_timeout(Duration::from_millis(200));
        left = left.min(sample::descriptors(pid)?);
    }
    csv.line(&format!("# descriptors_after {left}"))?;
    match agent.stop() {
        Ok(()) => csv.line("# ended well"),
        Err(error) => csv.line(&format!("# wrong {error}")),
    }
}

/// The file that samples go to.
struct Csv(File);

impl Csv {
    fn line(&mut self, text: &str) -> Result<(), String> {
        writeln!(self.0, "{text}").map_err(|error| format!("the CSV: {error}"))
    }
}

/// The agent; killed when dropped.
struct Agent {
    child: Child,
    tcp: Target,
    unix: Target,
    admin: SocketAddr,
}

impl Agent {
    fn start(spoa: &str, folder: &Path) -> Result<Self, String> {
        let (log, socket) = (folder.join("agent.log"), folder.join("spoa.sock"));
        let to = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = Command::new(spoa);
        command
            .args(["-n", "2", "-b", "127.0.0.1:0", "-b"])
            .arg(format!("unix:{}", socket.display()));
        command
            .args(["--admin", "127.0.0.1:0", "-f"])
            .arg(folder.join("spoa.toml"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(to);
        let mut child = command
            .spawn()
            .map_err(|error| format!("{spoa}: {error}"))?;
        let said = (|| {
            fs::write(folder.join("agent.pid"), child.id().to_string())
                .map_err(|error| error.to_string())?;
            let deadline = Instant::now() + PATIENCE;
            while Instant::now() < deadline && child.try_wait().is_ok_and(|status| status.is_none())
            {
                let text = fs::read_to_string(&log).unwrap_or_default();
                let after = |words: &str| {
                    text.split(words)
                        .nth(1)?
                        .split([' ', ',', ';', '/', '\n'])
                        .next()?
                        .parse()
                        .ok()
                };
                if let (Some(tcp), Some(admin)) =
                    (after("INFO listening address="), after("admin endpoint listening address="))
                {
                    return Ok((tcp, admin));
                }
                thread::park_timeout(Duration::from_millis(20));
            }
            Err(format!(
                "the agent does not start: {}",
                fs::read_to_string(&log).unwrap_or_default()
            ))
        })();
        match said {
            Ok((tcp, admin)) => Ok(Self {
                child,
                tcp: Target::Tcp(tcp),
                unix: Target::Unix(socket),
                admin,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// SIGTERM, and a good end.
    fn stop(&mut self) -> Result<(), String> {
        let told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        told.map_err(|error| format!("kill: {error}"))?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("the agent ended with {status}")),
                _ => thread::park_timeout(Duration::from_millis(20)),
            }
        }
        Err("the agent did not end".to_owned())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only if it has ended, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints the verdict as Markdown and draws the picture. False if something that counts is not flat.
fn report(csv: &Path, svg: &Path) -> Result<bool, String> {
    let text = fs::read_to_string(csv).map_err(|error| format!("{}: {error}", csv.display()))?;
    let run = Run::parse(&text);
    fs::write(svg, plot::plot(&run)).map_err(|error| format!("{}: {error}", svg.display()))?;
    let findings = verdict::findings(&run)?;
    let wrong: Vec<_> = run.notes_of("wrong").collect();
    let is_good = wrong.is_empty()
        && findings
            .iter()
            .all(|finding| finding.is_good || !finding.counts);
    println!("| measure | second sixth | last sixth | allowed | flat |\n|---|---|---|---|---|");
    for finding in &findings {
        let flat = if finding.is_good { "yes" } else { "**no**" };
        let (what, early, late) = (finding.what, &finding.early, &finding.late);
        println!(
            "| {what} | {early} | {late} | {} | {flat} |",
            finding.allowed
        );
    }
    let (p50, p99) = (
        verdict::median(&run.column("p50_us")),
        verdict::median(&run.column("p99_us")),
    );
    println!(
        "\n{:.1} minutes: {:.0} NOTIFYs answered, {:.0} a second; {} connections of peers that were wrong were told so; \
         {:.0} tables swapped in, {:.0} lists put in place, {:.0} of them bad; {:.0} looks at `/metrics`, in {} of which a worker was too busy to tell. \
         The probe's p50 is {p50:.0} µs, its p99 {p99:.0} µs (medians over all samples). \
         The agent took {:.0} % of a core, the load {:.0} %.",
        run.last("seconds") / 60.0,
        run.last("notifys"),
        run.last("notifys") / run.last("seconds").max(1.0),
        run.note("refused").unwrap_or("?"),
        run.last("reloads"),
        run.last("good_lists") + run.last("bad_lists"),
        run.last("bad_lists"),
        run.last("scrapes"),
        run.note("partial").unwrap_or("?"),
        verdict::median(&run.column("cpu_percent")),
        verdict::median(&run.column("load_cpu_percent")),
    );
    for words in wrong {
        println!("\n- **wrong**: {words}");
    }
    if run.note("ended").is_none() {
        println!("\n- The run was broken off: the agent was not stopped in the end.");
    }
    println!(
        "\nVerdict: **{}**.",
        if is_good { "flat" } else { "not flat" }
    );
    Ok(is_good)
}
