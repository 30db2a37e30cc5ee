//! The connection to Valkey or Redis: where the server is, what it answers, and what is wrong with it.

use core::fmt;
use core::time::Duration;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use redis::{
    Client, ClientTlsConfig, Cmd, Connection, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, Pipeline, RedisConnectionInfo, RedisError, Script, ServerErrorKind,
    TlsCertificates, Value as Reply,
};

use super::entry::{Fields, Key, LogId, Micros, Record, Value, shown};
use super::node::{At, Batch, Link, Op, Outcome, Page, Row, Scope, Tail, Written};
use super::options::{FleetOptions, FleetUrl, HostPort, Servers};
use super::points::Part;
use crate::live::parse_target;

/// How long it takes to connect, at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer takes, at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Rows of the state in one answer.
const SCAN_COUNT: usize = 10_000;
/// The longest file with a password, in bytes.
const PASSWORD_MAX: u64 = 4096;
/// The longest file with certificates or a key, in bytes.
const PEM_MAX: u64 = 1 << 20;
/// Servers of a cluster that point to another one, in a row.
const REDIRECTS_MAX: usize = 3;
/// The oldest version with what is needed.
const MIN_VERSION: (u32, u32) = (6, 2);
/// The most of an error of the server that is shown.
const SHOWN_MAX: usize = 200;

/// Why there is no connection, or none any more: one line with the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkError {
    what: String,
    /// The server of a cluster that has the keys.
    moved: Option<HostPort>,
    /// Whether it may be over in a moment, without a change by people.
    pub(super) is_transient: bool,
}

impl LinkError {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            moved: None,
            is_transient: false,
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl core::error::Error for LinkError {}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> Self {
        let moved = error.redirect_node();
        let moved = moved.map(|(host, port)| (host.trim_matches(['[', ']']).to_owned(), port));
        Self {
            what: explained(&error),
            moved,
            is_transient: is_transient(&error),
        }
    }
}

/// What is wrong and what to do about it.
fn explained(error: &RedisError) -> String {
    let text = error.to_string().replace(char::is_control, " ");
    let text: String = text.chars().take(SHOWN_MAX).collect();
    let code = error.code().unwrap_or_default();
    let lower = text.to_lowercase();
    let remedy = match error.kind() {
        _ if matches!(code, "WRONGPASS" | "NOAUTH") || lower.contains("invalid password") => {
            "wrong user or password; check the user in url and password-file in [fleet]"
        }
        ErrorKind::AuthenticationFailed => {
            "wrong user or password; check the user in url and password-file in [fleet]"
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            "the user lacks rights; give it those of packaging/fleet/iprep-spoa.acl"
        }
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            "this server is a replica; url has to name the primary"
        }
        ErrorKind::Server(ServerErrorKind::BusyLoading) => "the server still loads its data",
        ErrorKind::Parse => "the server does not speak the protocol of Redis; check url in [fleet]",
        _ if code == "OOM" => "the server has no memory left; raise its maxmemory",
        _ if code == "MISCONF" => "the server cannot save to its disk; free space there",
        _ if lower.contains("certificate")
            || lower.contains("tls")
            || lower.contains("handshake") =>
        {
            "no connection with TLS; check ca-file, the certificate's names and its date"
        }
        _ if error.is_timeout() => "the server does not answer in time; check its address and load",
        _ if error.is_connection_refusal() => {
            "connection refused; is the server up, and the port right?"
        }
        _ if error.is_connection_dropped() => {
            "the server closed the connection; does it expect TLS (rediss://), or did it restart?"
        }
        _ => "check url in [fleet] and the log of the server",
    };
    format!("{text}: {remedy}")
}

fn is_transient(error: &RedisError) -> bool {
    error.is_connection_refusal()
        || error.is_timeout()
        || error.is_connection_dropped()
        || matches!(
            error.kind(),
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::Moved
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ClusterDown
            )
        )
}

/// A connection to the primary, and to a replica if there is one to read from.
pub(super) struct Store {
    primary: Connection,
    replica: Option<Connection>,
    script: Script,
    keys: Keys,
    prefix_len: u8,
}

struct Keys {
    log: String,
    decisions: String,
    expiry: String,
    points: String,
    lifted: String,
    epoch: String,
    nodes: String,
}

impl Keys {
    fn new(name: &str) -> Self {
        // As a hash tag: all keys are on one server of a cluster.
        let key = |what: &str| format!("{{{name}}}:{what}");
        Self {
            log: key("log"),
            decisions: key("decisions"),
            expiry: key("expiry"),
            points: key("points"),
            lifted: key("lifted"),
            epoch: key("epoch"),
            nodes: key("nodes"),
        }
    }
}

/// A node as the fleet has seen it; times in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) seen: Micros,
    /// Zero: it has changed nothing yet.
    pub(super) changed: Micros,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Connects to the primary, and to the replica if there is one.
    pub(super) fn connect(options: &FleetOptions) -> Result<Self, LinkError> {
        let access = Access::read(options)?;
        let primary = access.connect(&options.url)?;
        let replica = options.read_url.as_ref();
        let replica = replica
            .map(|url| access.connect(url))
            .transpose()
            .map_err(|error| LinkError::new(format!("read-url: {error}")))?;
        Ok(Self {
            primary,
            replica,
            script: Script::new(include_str!("change.lua")),
            keys: Keys::new(&options.name),
            prefix_len: 128,
        })
    }

    /// The nodes that the fleet has seen.
    pub(super) fn nodes(&mut self) -> Result<Vec<Seen>, LinkError> {
        let rows: Vec<(String, String)> = redis::cmd("HGETALL")
            .arg(&self.keys.nodes)
            .query(&mut self.primary)?;
        let seen = rows.into_iter().filter_map(|(name, text)| {
            let mut words = text.split(' ');
            Some(Seen {
                name,
                seen: words.next()?.parse().ok()?,
                changed: words.next()?.parse().ok()?,
            })
        });
        Ok(seen.collect())
    }

    const fn reader(&mut self) -> &mut Connection {
        match &mut self.replica {
            Some(replica) => replica,
            None => &mut self.primary,
        }
    }

    fn scan_hash(&mut self, key: &str, row: &mut dyn FnMut(&str, &str)) -> Result<(), LinkError> {
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(key).arg(&cursor).arg("COUNT").arg(SCAN_COUNT);
            let (next, fields): (String, Vec<(Vec<u8>, Vec<u8>)>) = scan.query(self.reader())?;
            for (field, value) in &fields {
                if let (Ok(field), Ok(value)) = (str::from_utf8(field), str::from_utf8(value)) {
                    row(field, value);
                }
            }
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn value(&self, text: &str) -> Option<Value> {
        parse_target(text, self.prefix_len).ok()
    }
}

impl Link for Store {
    type Error = LinkError;

    fn tail(&mut self) -> Result<Tail, LinkError> {
        let mut pipe = Pipeline::new();
        let log = &self.keys.log;
        pipe.cmd("XRANGE")
            .arg(log)
            .arg("-")
            .arg("+")
            .arg("COUNT")
            .arg(1);
        pipe.cmd("XREVRANGE")
            .arg(log)
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(1);
        pipe.cmd("GET").arg(&self.keys.epoch);
        pipe.cmd("HGETALL").arg(&self.keys.nodes);
        let (first, last, epoch, nodes): (Reply, Reply, Option<String>, Vec<(String, String)>) =
            pipe.query(self.reader())?;
        let seen = nodes.into_iter().filter_map(|(name, text)| {
            let seen = text.split(' ').next()?.parse().ok()?;
            Some((name, seen))
        });
        let end = |reply| Ok::<_, LinkError>(entries(reply)?.pop().map_or(LogId::ZERO, |it| it.0));
        Ok(Tail {
            first: end(first)?,
            last: end(last)?,
            epoch,
            seen: seen.collect(),
        })
    }

    fn read(&mut self, from: LogId, max: usize) -> Result<Page, LinkError> {
        let mut pipe = Pipeline::new();
        let from = from.to_string();
        pipe.cmd("XRANGE")
            .arg(&self.keys.log)
            .arg(&from)
            .arg("+")
            .arg("COUNT")
            .arg(max);
        pipe.cmd("GET").arg(&self.keys.epoch);
        let (page, epoch): (Reply, Option<String>) = pipe.query(self.reader())?;
        Ok(Page {
            entries: entries(page)?,
            epoch,
        })
    }

    fn scan(&mut self, scope: Scope, row: &mut dyn FnMut(Row)) -> Result<(), LinkError> {
        if scope == Scope::All {
            let mut rows = Vec::new();
            let lifted = self.keys.lifted.clone();
            self.scan_hash(&lifted, &mut |value, at| {
                rows.push((value.to_owned(), at.parse()))
            })?;
            for (value, at) in rows {
                if let (Some(value), Ok(at)) = (self.value(&value), at) {
                    row(Row::Lifted(value, at));
                }
            }
            let decisions = self.keys.decisions.clone();
            self.scan_hash(&decisions, &mut |field, text| {
                if let (Some(key), Some(record)) = (Key::of_field(field), Record::of_state(text)) {
                    row(Row::Decision(key, record));
                }
            })?;
        }
        let points = self.keys.points.clone();
        let len = self.prefix_len;
        self.scan_hash(&points, &mut |value, text| {
            let words: Vec<_> = text.split(' ').collect();
            let (parts, _) = words.as_chunks::<4>();
            let Ok(value) = parse_target(value, len) else {
                return;
            };
            for [node, sum, at, id] in parts {
                if let (Ok(sum), Ok(at), Ok(id)) = (sum.parse(), at.parse(), id.parse()) {
                    let node: Arc<str> = (*node).into();
                    row(Row::Points(
                        value,
                        Part {
                            node,
                            sum,
                            at,
                            id,
                            unwritten: 0.0,
                        },
                    ));
                }
            }
        })
    }

    fn reads_primary(&self) -> bool {
        self.replica.is_none()
    }

    fn write(&mut self, batch: &Batch) -> Result<Written, LinkError> {
        let mut call = self.script.prepare_invoke();
        let keys = &self.keys;
        for key in [
            &keys.log,
            &keys.decisions,
            &keys.expiry,
            &keys.points,
            &keys.lifted,
            &keys.epoch,
            &keys.nodes,
        ] {
            call.key(key);
        }
        call.arg(&*batch.node)
            .arg(&*batch.instance)
            .arg(batch.clear_max);
        for op in &batch.ops {
            for word in words(op) {
                call.arg(word);
            }
        }
        let (now, epoch, instance, outcomes): (String, String, String, Vec<String>) =
            call.invoke(&mut self.primary)?;
        let outcomes = batch.ops.iter().zip(&outcomes);
        Ok(Written {
            now: now.parse().map_err(|_| nonsense())?,
            epoch,
            instance,
            outcomes: outcomes
                .map(|(op, text)| outcome(op, text).ok_or_else(nonsense))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn nonsense() -> LinkError {
    LinkError::new("the script answers something else; is there another one by its hash?")
}

/// An operation as the script takes it.
fn words(op: &Op) -> Vec<String> {
    let text = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let identity = |key: &Key| {
        [
            key.kind.name().to_owned(),
            shown(key.value),
            key.origin.to_string(),
        ]
    };
    let record = |record: &Record| {
        [
            record.created.to_string(),
            record.until.to_string(),
            record.node.to_string(),
            record.reason.to_string(),
        ]
    };
    match op {
        Op::Put {
            key,
            age,
            rest,
            after,
            node,
            reason,
        } => [
            text(&["put"]),
            identity(key).into(),
            vec![age.to_string(), rest.to_string()],
            text(&[node, reason]),
            vec![after.to_string()],
        ]
        .concat(),
        Op::Again(key, it) => [text(&["again"]), identity(key).into(), record(it).into()].concat(),
        Op::Adopt(key, it) => [
            vec!["adopt".to_owned(), it.id.to_string()],
            identity(key).into(),
            record(it).into(),
        ]
        .concat(),
        Op::Lift {
            value,
            at,
            keep,
            entry,
            keys,
        } => {
            let (how, at) = match at {
                At::Age(age) => ("age", age),
                At::Time(at) => ("time", at),
            };
            let mut words = text(&["lift", how]);
            words.extend([shown(*value), at.to_string(), keep.to_string()]);
            let entry = entry.map_or_else(String::new, |id| id.to_string());
            words.extend([entry, keys.len().to_string()]);
            words.extend(keys.iter().map(Key::field));
            words
        }
        Op::Points {
            value,
            node,
            sum,
            added,
            half_life,
            age,
        } => vec![
            "points".to_owned(),
            shown(*value),
            node.to_string(),
            sum.to_string(),
            added.to_string(),
            format!("{half_life:.0}"),
            age.to_string(),
        ],
        Op::AdoptPoints {
            id,
            value,
            points,
            half_life,
            at,
        } => vec![
            "adopt_points".to_owned(),
            id.to_string(),
            shown(*value),
            points.to_string(),
            format!("{half_life:.0}"),
            at.to_string(),
        ],
    }
}

fn outcome(op: &Op, text: &str) -> Option<Outcome> {
    let is_written = text.starts_with('+');
    let rest = text.get(1..)?;
    let mut words = rest.split(' ');
    match op {
        Op::Put { .. } | Op::Again(..) | Op::Adopt(..) if is_written => Some(Outcome::Put {
            id: words.next()?.parse().ok()?,
            created: words.next()?.parse().ok()?,
            until: words.next()?.parse().ok()?,
        }),
        Op::Put { .. } | Op::Again(..) | Op::Adopt(..) => {
            Some(Outcome::Kept(Record::of_state(rest)))
        }
        _ if is_written => Some(Outcome::At {
            id: words.next()?.parse().ok()?,
            at: words.next()?.parse().ok()?,
        }),
        Op::Lift { .. } => Some(Outcome::At {
            id: LogId::ZERO,
            at: rest.parse().ok()?,
        }),
        Op::Points { .. } | Op::AdoptPoints { .. } => Some(Outcome::Nothing),
    }
}

/// Entries of a stream. What has no id is not of a stream.
fn entries(reply: Reply) -> Result<Vec<(LogId, Fields)>, LinkError> {
    let wrong = || LinkError::new("the log has another form; is its key used by something else?");
    let Reply::Array(entries) = reply else {
        return Err(wrong());
    };
    let entry = |reply: Reply| {
        let (id, fields): (String, Fields) = redis::from_redis_value(reply).map_err(|_| wrong())?;
        Ok((id.parse().map_err(|_| wrong())?, fields))
    };
    entries.into_iter().map(entry).collect()
}

/// What a connection takes beside the address.
struct Access {
    password: Option<String>,
    tls: Option<TlsCertificates>,
    /// A key, to be asked for where a cluster has it.
    probe: String,
}

impl Access {
    fn read(options: &FleetOptions) -> Result<Self, LinkError> {
        let password = options.password_file.as_deref();
        let password = password
            .map(|file| read_file("password-file", file, PASSWORD_MAX))
            .transpose()?;
        let password = password.map(String::from_utf8).transpose().map_err(|_| {
            LinkError::new("password-file is not UTF-8; put one line of text into it")
        })?;
        let password = password.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        let urls = [Some(&options.url), options.read_url.as_ref()];
        let has_tls = urls.into_iter().flatten().any(|url| url.is_tls);
        let tls = has_tls.then(|| certificates(options)).transpose()?;
        let probe = Keys::new(&options.name).epoch;
        Ok(Self {
            password,
            tls,
            probe,
        })
    }

    /// Finds the server, and connects to it.
    fn connect(&self, url: &FleetUrl) -> Result<Connection, LinkError> {
        match &url.servers {
            Servers::One((host, port)) => self.follow(url, (host.clone(), *port)),
            Servers::Unix(path) => self.open(url, ConnectionAddr::Unix(path.clone())),
            Servers::Sentinel(sentinels, master) => {
                let primary = first_of(sentinels, |at| self.primary_of(url, at, master))?;
                self.follow(url, primary)
            }
            Servers::Cluster(servers) => first_of(servers, |at| self.follow(url, at.clone())),
        }
    }

    /// Connects to a server; one of a cluster may point to another, which has the keys.
    fn follow(&self, url: &FleetUrl, mut at: HostPort) -> Result<Connection, LinkError> {
        for _ in 0..REDIRECTS_MAX {
            let mut connection = self.open(url, self.address(url, &at))?;
            if !matches!(url.servers, Servers::Cluster(_)) {
                return Ok(connection);
            }
            let probe = redis::cmd("GET")
                .arg(&self.probe)
                .query::<Reply>(&mut connection);
            match probe.map_err(LinkError::from) {
                Err(LinkError {
                    moved: Some(to), ..
                }) => at = to,
                Err(error) => return Err(error),
                Ok(_) => return Ok(connection),
            }
        }
        Err(LinkError::new(
            "the servers of the cluster point to each other; check the cluster's state",
        ))
    }

    fn address(&self, url: &FleetUrl, (host, port): &HostPort) -> ConnectionAddr {
        if url.is_tls {
            return ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            };
        }
        ConnectionAddr::Tcp(host.clone(), *port)
    }

    fn open(&self, url: &FleetUrl, address: ConnectionAddr) -> Result<Connection, LinkError> {
        let mut login = RedisConnectionInfo::default()
            .set_db(url.database.into())
            .set_skip_set_lib_name();
        if let Some(user) = &url.user {
            login = login.set_username(user);
        }
        if let Some(password) = self.password.as_ref().or(url.password.as_ref()) {
            login = login.set_password(password);
        }
        let mut connection = self.dial(address, login)?;
        check_version(&mut connection)?;
        Ok(connection)
    }

    fn dial(
        &self,
        address: ConnectionAddr,
        login: RedisConnectionInfo,
    ) -> Result<Connection, LinkError> {
        let is_tls = matches!(address, ConnectionAddr::TcpTls { .. });
        let info = address.into_connection_info()?.set_redis_settings(login);
        let client = match &self.tls {
            Some(tls) if is_tls => Client::build_with_tls(info, tls.clone())?,
            _ => Client::open::<ConnectionInfo>(info)?,
        };
        let connection = client.get_connection_with_timeout(CONNECT_TIMEOUT)?;
        connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        connection.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(connection)
    }

    /// Asks a sentinel for the primary. Sentinels have users of their own, and mostly none.
    fn primary_of(
        &self,
        url: &FleetUrl,
        at: &HostPort,
        master: &str,
    ) -> Result<HostPort, LinkError> {
        let login = RedisConnectionInfo::default().set_skip_set_lib_name();
        let mut sentinel = self.dial(self.address(url, at), login)?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(master);
        let found: Option<HostPort> = ask.query(&mut sentinel)?;
        found.ok_or_else(|| {
            LinkError::new(format!(
                "the sentinel knows no primary \"{master}\"; check the name in url"
            ))
        })
    }
}

/// What the first of several gives; the error of the last.
fn first_of<T>(
    servers: &[HostPort],
    mut attempt: impl FnMut(&HostPort) -> Result<T, LinkError>,
) -> Result<T, LinkError> {
    let mut last = LinkError::new("url in [fleet] names no server");
    for server in servers {
        match attempt(server) {
            Ok(found) => return Ok(found),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn check_version(connection: &mut Connection) -> Result<(), LinkError> {
    let mut info: Cmd = redis::cmd("INFO");
    let text = match info.arg("server").query::<String>(connection) {
        Ok(text) => text,
        // A user may lack this right and have all others.
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    let version = version.map(str::trim).unwrap_or_default();
    let mut numbers = version.split('.').map(|it| it.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= MIN_VERSION {
        return Ok(());
    }
    let (major, minor) = MIN_VERSION;
    Err(LinkError::new(format!(
        "the server has version \"{version}\"; {major}.{minor} or later is needed"
    )))
}

fn certificates(options: &FleetOptions) -> Result<TlsCertificates, LinkError> {
    let root_cert = options.ca_file.as_deref();
    let root_cert = root_cert
        .map(|file| read_file("ca-file", file, PEM_MAX))
        .transpose()?;
    let client_tls = match &options.identity {
        None => None,
        Some((cert, key)) => Some(ClientTlsConfig {
            client_cert: read_file("cert-file", cert, PEM_MAX)?,
            client_key: read_file("key-file", key, PEM_MAX)?,
        }),
    };
    Ok(TlsCertificates {
        client_tls,
        root_cert,
    })
}

fn read_file(key: &str, file: &Path, max: u64) -> Result<Vec<u8>, LinkError> {
    let shown = file.display();
    let size = fs::metadata(file).map(|it| it.len());
    let read = size.and_then(|size| {
        if size > max {
            return Err(io::Error::other(format!(
                "it has {size} bytes; the limit is {max}"
            )));
        }
        fs::read(file)
    });
    read.map_err(|why| {
        LinkError::new(format!(
            "{key} {shown}: {why}; check the path and its owner"
        ))
    })
}
