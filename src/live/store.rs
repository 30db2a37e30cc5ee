//! The database of live decisions: `SQLite` in WAL mode, readable with `sqlite3`.
//!
//! In scope: one table, its version, what a damaged or foreign file means. Out of scope: what becomes of
//! the agent then ([`Live`](super::Live)): it goes on in memory.

use core::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, params};

use super::time;
use super::{Change, Decision, parse_target};

/// The version of the schema, as `PRAGMA user_version` has it.
const VERSION: i64 = 1;
/// How long another process of a takeover may hold the lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS decisions (
    type TEXT NOT NULL, value TEXT NOT NULL, origin TEXT NOT NULL,
    reason TEXT NOT NULL, node TEXT NOT NULL, created TEXT NOT NULL, until TEXT NOT NULL,
    PRIMARY KEY (value, type, origin)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS decisions_until ON decisions (until);
PRAGMA user_version = 1;
";

const INSERT: &str = "INSERT OR REPLACE INTO decisions
    (type, value, origin, reason, node, created, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const DELETE: &str = "DELETE FROM decisions WHERE value = ?1 AND type = ?2 AND origin = ?3";

/// A database that is open.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum StoreError {
    /// The file belongs to another user, or to a later version of the agent: it is not touched.
    NotOurs(String),
    /// The file is damaged.
    Corrupt(rusqlite::Error),
    /// It cannot be read or written now.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(error),
            _ => Self::Failed(error),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs(why) => f.write_str(why),
            Self::Corrupt(error) | Self::Failed(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StoreError {}

/// A database, what was in it, and where a damaged one was moved.
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) decisions: Vec<Decision>,
    pub(super) set_aside: Option<PathBuf>,
}

impl Store {
    /// Opens the database, or begins a new one; a damaged one is renamed.
    pub(super) fn open(path: &Path, now: u32) -> Result<Opened, StoreError> {
        check_owner(path)?;
        match Self::read(path, now) {
            Err(StoreError::Corrupt(error)) => {
                let aside = set_aside(path, now).map_err(|_| StoreError::Corrupt(error))?;
                let (store, decisions) = Self::read(path, now)?;
                Ok(Opened {
                    store,
                    decisions,
                    set_aside: Some(aside),
                })
            }
            read => read.map(|(store, decisions)| Opened {
                store,
                decisions,
                set_aside: None,
            }),
        }
    }

    fn read(path: &Path, now: u32) -> Result<(Self, Vec<Decision>), StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version > VERSION {
            return Err(StoreError::NotOurs(format!(
                "schema version {version} is of a later agent; this one knows {VERSION}"
            )));
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // What is confirmed survives a power cut.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.execute_batch(SCHEMA)?;
        let decisions = load(&connection, now)?;
        Ok((Self { connection }, decisions))
    }

    /// Makes changes, all or none.
    pub(super) fn write(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        for change in changes {
            match change {
                Change::Put(decision) => insert(&transaction, decision)?,
                Change::Remove(decision) => remove(&transaction, decision)?,
            }
        }
        Ok(transaction.commit()?)
    }

    /// Makes the database what is in memory.
    pub(super) fn replace(&mut self, all: &[Decision]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM decisions", [])?;
        for decision in all {
            insert(&transaction, decision)?;
        }
        Ok(transaction.commit()?)
    }

    /// Removes what is over.
    pub(super) fn expire(&mut self, now: u32) -> Result<(), StoreError> {
        let over = "DELETE FROM decisions WHERE until <= ?1";
        self.connection.execute(over, [time::rfc3339(now)])?;
        Ok(())
    }
}

fn insert(transaction: &Transaction<'_>, decision: &Decision) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(INSERT)?;
    insert.execute(params![
        decision.kind.name(),
        decision.prefix.to_string(),
        &*decision.origin,
        &*decision.reason,
        &*decision.node,
        time::rfc3339(decision.created),
        time::rfc3339(decision.until),
    ])?;
    Ok(())
}

fn remove(transaction: &Transaction<'_>, decision: &Decision) -> rusqlite::Result<()> {
    let mut delete = transaction.prepare_cached(DELETE)?;
    delete.execute(params![
        decision.prefix.to_string(),
        decision.kind.name(),
        &*decision.origin
    ])?;
    Ok(())
}

fn load(connection: &Connection, now: u32) -> rusqlite::Result<Vec<Decision>> {
    let query = "SELECT type, value, origin, reason, node, created, until FROM decisions";
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query([])?;
    let mut decisions = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |at: usize| row.get::<_, String>(at);
        let (kind, value, created, until) = (text(0)?, text(1)?, text(5)?, text(6)?);
        // Rows of other types are for later versions, or were made by hand; they stay as they are.
        let (Ok(kind), Ok(prefix), Some(created), Some(until)) = (
            kind.parse(),
            parse_target(&value, 128),
            time::parse(&created),
            time::parse(&until),
        ) else {
            continue;
        };
        if until > now {
            decisions.push(Decision {
                kind,
                prefix,
                origin: text(2)?.into(),
                reason: text(3)?.into(),
                node: text(4)?.into(),
                created,
                until,
            });
        }
    }
    Ok(decisions)
}

/// A file of another user is not opened: `SQLite` would write beside it.
fn check_owner(path: &Path) -> Result<(), StoreError> {
    let Ok(metadata) = fs::metadata(path) else {
        return Ok(());
    };
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() == own || own == 0 {
        return Ok(());
    }
    Err(StoreError::NotOurs(format!(
        "it belongs to user {}, and the agent runs as {own}; change its owner, or name another store",
        metadata.uid()
    )))
}

/// Renames a damaged database with its date; the log that belongs to it goes with it.
fn set_aside(path: &Path, now: u32) -> std::io::Result<PathBuf> {
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let date = time::rfc3339(now).replace(':', "");
    let to = |end: &str| beside(&format!(".corrupt-{date}{end}"));
    for end in ["-wal", "-shm"] {
        match fs::rename(beside(end), to(end)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, to(""))?;
    Ok(to(""))
}
