//! Starting HAProxy: configuration, environment, ports.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use haproxy_spoa::BindAddress;

use super::{Lines, Proxy, Version, origin};
use crate::support::{Program, Scratch, eventually};

/// Ports that the kernel gives to nobody by itself.
const PORTS: core::ops::Range<u16> = 10_000..32_000;
/// How often another port is tried when one is taken between its choice and its use.
const ATTEMPTS: usize = 10;

/// Ports are kept apart when it starts, and not shared with another test's HAProxy by accident.
const SINGLE: &str = "global\n    noreuseport\n    stats socket \"${TEST_FOLDER}/stats\"\n";
/// Beside its successor after a reload it shares them.
const MASTER: &str = "global\n    stats socket \"${TEST_FOLDER}/stats\" expose-fd listeners\n";

/// Times of the samples that are too short for an agent which gets no core for a while, and what
/// tests have instead. A check fails as soon as nobody listens, whatever its time.
const LONGER: [(&str, &str); 6] = [
    ("timeout processing 10ms", "timeout processing 20s"),
    ("timeout processing 15ms", "timeout processing 20s"),
    ("timeout hello 100ms", "timeout hello 20s"),
    ("timeout hello 2s", "timeout hello 20s"),
    ("timeout connect 1s", "timeout connect 20s"),
    (
        "option spop-check",
        "option spop-check\n    timeout check 20s",
    ),
];

/// The repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// How a HAProxy is to be started.
#[derive(Debug)]
pub(crate) struct Setup {
    version: Version,
    folder: Scratch,
    config: PathBuf,
    environment: Vec<(String, String)>,
    master: bool,
}

impl Setup {
    /// With a configuration of the test's own.
    pub(crate) fn own(version: Version, config: &str) -> Self {
        let setup = Self {
            version,
            folder: Scratch::new(),
            config: PathBuf::new(),
            environment: Vec::new(),
            master: false,
        };
        let config = setup.write("haproxy.cfg", config);
        Self { config, ..setup }
    }

    /// With a sample of haproxy-conf. Only times differ.
    pub(crate) fn sample(version: Version, name: &str) -> Self {
        let longer = |text: String| {
            let replace = |text: String, (short, long)| text.replace(short, long);
            LONGER.into_iter().fold(text, replace)
        };
        Self::sample_with(version, name, longer)
    }

    /// With a sample of haproxy-conf as it is.
    pub(crate) fn exact_sample(version: Version, name: &str) -> Self {
        Self::sample_with(version, name, |text| text)
    }

    fn sample_with(version: Version, name: &str, edit: impl Fn(String) -> String) -> Self {
        let samples = repository().join("haproxy-conf");
        let read = |name: &str| edit(fs::read_to_string(samples.join(name)).unwrap());
        let spoe = format!("{name}.spoe");
        let setup = Self::own(version, &read(&format!("{name}.cfg"))).with(&spoe, &read(&spoe));
        let folder = setup.folder.path("").display().to_string();
        setup.set("SPOA_CONF", &folder)
    }

    /// A variable of HAProxy's environment.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A file with this text in the folder of the test, `${TEST_FOLDER}`.
    pub(crate) fn with(self, name: &str, text: &str) -> Self {
        self.write(name, text);
        self
    }

    /// A variable that names a file with this text.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.write(name, text).display().to_string();
        self.set(name, &path)
    }

    /// Where the agent is.
    pub(crate) fn agent(self, address: &BindAddress) -> Self {
        let address = match address {
            BindAddress::Tcp(address) => address.to_string(),
            BindAddress::Unix(path) => format!("unix@{}", path.display()),
        };
        self.set("SPOA_AGENT", &address)
    }

    /// As a master with workers, which can be reloaded.
    pub(crate) fn master(mut self) -> Self {
        self.master = true;
        self
    }

    /// Starts it and waits until it takes connections.
    pub(crate) fn start(self) -> Proxy {
        let (log, log_port) = Lines::syslog();
        origin::start(&self.folder.path("origin"));
        let common = self.write("common.cfg", if self.master { MASTER } else { SINGLE });
        for _ in 0..ATTEMPTS {
            let port = free_port();
            let mut process = Program::spawn(self.command(&common, port, log_port));
            let socket = self.folder.path("stats");
            let started = eventually("HAProxy takes connections", || {
                let connected = UnixStream::connect(&socket).is_ok();
                (connected || process.has_ended()).then_some(connected)
            });
            if started {
                return Proxy {
                    process,
                    master: self.master,
                    folder: self.folder,
                    log,
                    port,
                };
            }
            let said = process.wait().stderr.join("\n");
            let taken = said.contains("cannot bind");
            assert!(taken, "HAProxy {} does not start:\n{said}", self.version);
        }
        panic!("no free port in {ATTEMPTS} attempts");
    }

    fn command(&self, common: &Path, port: u16, log_port: u16) -> Command {
        let origin = format!("unix@{}", self.folder.path("origin").display());
        let mut command = Command::new(self.version.program());
        command
            .args(["-dW", if self.master { "-W" } else { "-db" }])
            .args([Path::new("-f"), &self.config, Path::new("-f"), common])
            .current_dir(repository())
            .env("TEST_FOLDER", self.folder.path(""))
            .env("SPOA_FRONTEND", format!("127.0.0.1:{port},[::1]:{port}"))
            .env("SPOA_ORIGIN", origin)
            .env("SPOA_LOG", format!("127.0.0.1:{log_port}"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

/// A port that is free on both loopback addresses.
pub(crate) fn free_port() -> u16 {
    let random = RandomState::new().build_hasher().finish();
    let span = u64::from(PORTS.end - PORTS.start);
    let first = u16::try_from(random % span).unwrap();
    let mut ports = (first..PORTS.end - PORTS.start).chain(0..first);
    let free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok() && TcpListener::bind(("::1", *port)).is_ok()
    };
    ports
        .find_map(|offset| Some(PORTS.start + offset).filter(free))
        .expect("a free port")
}
