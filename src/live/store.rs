//! The database of live decisions: `SQLite` in WAL mode, readable with `sqlite3`.
//!
//! In scope: its tables, their version, what a damaged or foreign file means. Out of scope: what becomes of
//! the agent then ([`Live`](super::Live)): it goes on in memory.

use core::fmt;
use core::fmt::Write as _;
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, params};

use super::rows::{Contents, Removal, SavedPoints, Written};
use super::time;
use super::{Change, Decision, Imported, Offender, Target, parse_target};
use ip_reputation::Prefix;

/// The version of the schema, as `PRAGMA user_version` has it.
const VERSION: i64 = 1;
/// How long another process of a takeover may hold the lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a removal is kept for other processes that share the file.
const REMOVALS_KEPT: u32 = 3600;
/// Texts that are shared by the decisions that are read.
const TEXTS_MAX: usize = 4096;

/// A row that is written has an `id` above all earlier ones: another process reads what is new.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS decisions (
    type TEXT NOT NULL, value TEXT NOT NULL, origin TEXT NOT NULL,
    reason TEXT NOT NULL, node TEXT NOT NULL, created TEXT NOT NULL, until TEXT NOT NULL,
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    UNIQUE (value, type, origin)
);
CREATE INDEX IF NOT EXISTS decisions_until ON decisions (until);
CREATE TABLE IF NOT EXISTS removals (
    type TEXT NOT NULL, value TEXT NOT NULL, origin TEXT NOT NULL, at TEXT NOT NULL,
    id INTEGER PRIMARY KEY AUTOINCREMENT
);
CREATE TABLE IF NOT EXISTS behavior (
    value TEXT PRIMARY KEY, points REAL NOT NULL, updated TEXT NOT NULL, reason TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fleet (mark TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS crowdsec (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, value TEXT NOT NULL, origin TEXT NOT NULL,
    scenario TEXT NOT NULL, until TEXT NOT NULL, lifted INTEGER NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = 1;
";

const COLUMNS: &str = "type, value, origin, reason, node, created, until, id";

const INSERT: &str = "INSERT OR REPLACE INTO decisions
    (type, value, origin, reason, node, created, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const DELETE: &str = "DELETE FROM decisions WHERE value = ?1 AND type = ?2 AND origin = ?3";

/// A database that is open.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    /// Device and inode of the file.
    file: Option<(u64, u64)>,
    /// What `PRAGMA data_version` was: another one, and another process has written.
    data_version: i64,
    /// The last rows that are known.
    last_decision: i64,
    last_removal: i64,
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

impl StoreError {
    pub(super) const fn is_not_ours(&self) -> bool {
        matches!(self, Self::NotOurs(_))
    }

    pub(super) const fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt(_))
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
    pub(super) contents: Contents,
    pub(super) set_aside: Option<PathBuf>,
}

impl Store {
    /// Opens the database, or begins a new one; a damaged one is renamed.
    pub(super) fn open(path: &Path, now: u32) -> Result<Opened, StoreError> {
        check_owner(path)?;
        match Self::read(path, now) {
            Err(StoreError::Corrupt(error)) => {
                let aside = set_aside(path, now).map_err(|_| StoreError::Corrupt(error))?;
                let (store, contents) = Self::read(path, now)?;
                Ok(Opened {
                    store,
                    contents,
                    set_aside: Some(aside),
                })
            }
            read => read.map(|(store, contents)| Opened {
                store,
                contents,
                set_aside: None,
            }),
        }
    }

    fn read(path: &Path, now: u32) -> Result<(Self, Contents), StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        check_version(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // What is confirmed survives a power cut.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.execute_batch(SCHEMA)?;
        let mut store = Self {
            data_version: data_version(&connection)?,
            connection,
            file: identity(path),
            last_decision: 0,
            last_removal: 0,
        };
        let last = "SELECT coalesce(max(id), 0) FROM removals";
        store.last_removal = store.connection.query_row(last, [], |row| row.get(0))?;
        let decisions = decisions_after(&store.connection, now, &mut store.last_decision)?;
        let contents = Contents {
            decisions,
            points: points(&store.connection)?,
            imports: imports(&store.connection, now)?,
            mark: store.mark()?,
        };
        Ok((store, contents))
    }

    /// Whether the file was removed or replaced since: what is written to it is lost.
    pub(super) fn is_replaced(&self, path: &Path) -> bool {
        identity(path) != self.file
    }

    /// Makes changes, all or none.
    pub(super) fn write(&mut self, changes: &[Change], now: u32) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        for change in changes {
            match change {
                Change::Put(decision) => insert(&transaction, decision)?,
                Change::Remove(decision) => remove(&transaction, decision, now)?,
                Change::PutImported(imported) => insert_imported(&transaction, imported)?,
                Change::RemoveImported(id) => {
                    let delete = "DELETE FROM crowdsec WHERE id = ?1";
                    transaction.prepare_cached(delete)?.execute([&**id])?;
                }
            }
        }
        let inserted = transaction.last_insert_rowid();
        transaction.commit()?;
        // Otherwise these rows are read again together with those of the other process.
        let has_put = matches!(changes.last(), Some(Change::Put(_)));
        if has_put && data_version(&self.connection)? == self.data_version {
            self.last_decision = self.last_decision.max(inserted);
        }
        Ok(())
    }

    /// What another process has written since: what it removed, then what it made.
    pub(super) fn follow(&mut self, now: u32) -> Result<Option<Written>, StoreError> {
        let version = data_version(&self.connection)?;
        if version == self.data_version {
            return Ok(None);
        }
        let removals = removals_after(&self.connection, &mut self.last_removal)?;
        let decisions = decisions_after(&self.connection, now, &mut self.last_decision)?;
        self.data_version = version;
        Ok(Some(Written {
            removals,
            decisions,
        }))
    }

    /// Writes what is in force, and removes decisions of these prefixes that are not.
    pub(super) fn bring_up_to_date<'a>(
        &mut self,
        removed: impl Iterator<Item = &'a Target>,
        all: &[Decision],
        imports: &[Imported],
        now: u32,
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        {
            let note = "INSERT INTO removals (type, value, origin, at)
                SELECT type, value, origin, ?2 FROM decisions WHERE value = ?1";
            let mut note = transaction.prepare_cached(note)?;
            let delete = "DELETE FROM decisions WHERE value = ?1";
            let mut delete = transaction.prepare_cached(delete)?;
            for target in removed {
                let value = target.to_string();
                note.execute(params![value, time::rfc3339(now)])?;
                delete.execute([value])?;
            }
        }
        for decision in all {
            insert(&transaction, decision)?;
        }
        transaction.execute("DELETE FROM behavior", [])?;
        transaction.execute("DELETE FROM crowdsec", [])?;
        for imported in imports {
            insert_imported(&transaction, imported)?;
        }
        Ok(transaction.commit()?)
    }

    /// Writes points, and removes those of addresses that have none any more.
    pub(super) fn save_points(
        &mut self,
        gone: &[Prefix],
        changed: &[Offender],
        now: u32,
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        {
            let delete = "DELETE FROM behavior WHERE value = ?1";
            let mut delete = transaction.prepare_cached(delete)?;
            for prefix in gone {
                delete.execute([prefix.to_string()])?;
            }
            // The process that is being replaced does not undo what its successor knows.
            let save =
                "INSERT INTO behavior (value, points, updated, reason) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (value) DO UPDATE SET points = excluded.points,
                updated = excluded.updated, reason = excluded.reason
                WHERE excluded.updated >= behavior.updated";
            let mut save = transaction.prepare_cached(save)?;
            let updated = time::rfc3339(now);
            for offender in changed {
                let value = offender.prefix.to_string();
                save.execute(params![value, offender.points, updated, &*offender.reason])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// How far the log of the fleet was read.
    fn mark(&self) -> rusqlite::Result<Option<String>> {
        let query = "SELECT mark FROM fleet";
        match self.connection.query_row(query, [], |row| row.get(0)) {
            Ok(mark) => Ok(Some(mark)),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Notes how far the log of the fleet was read.
    pub(super) fn set_mark(&mut self, mark: &str) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM fleet", [])?;
        transaction.execute("INSERT INTO fleet (mark) VALUES (?1)", [mark])?;
        Ok(transaction.commit()?)
    }

    /// Removes what is over.
    pub(super) fn expire(&mut self, now: u32) -> Result<(), StoreError> {
        let over = "DELETE FROM decisions WHERE until <= ?1";
        self.connection.execute(over, [time::rfc3339(now)])?;
        let over = "DELETE FROM crowdsec WHERE until <= ?1";
        self.connection.execute(over, [time::rfc3339(now)])?;
        let over = "DELETE FROM removals WHERE at <= ?1";
        let kept = time::rfc3339(now.saturating_sub(REMOVALS_KEPT));
        self.connection.execute(over, [kept])?;
        Ok(())
    }
}

/// Reads a database and changes nothing, not even beside it.
pub(super) fn read_only(path: &Path, now: u32) -> Result<Contents, StoreError> {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if Path::new(&wal).exists() {
        Connection::open_with_flags(path, flags)?
    } else {
        // Nobody has it open: what SQLite would create beside it is not needed.
        let uri = format!("file:{}?immutable=1", escaped(path));
        Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    check_version(&connection)?;
    Ok(Contents {
        mark: None,
        decisions: decisions_after(&connection, now, &mut 0)?,
        points: points(&connection)?,
        imports: imports(&connection, now)?,
    })
}

/// A path as a URI has it.
fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                text.push(char::from(*byte));
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

fn check_version(connection: &Connection) -> Result<(), StoreError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > VERSION {
        return Err(StoreError::NotOurs(format!(
            "schema version {version} is of a later agent; this one knows {VERSION}"
        )));
    }
    let tables = "SELECT count(*) FROM sqlite_master";
    let tables: i64 = connection.query_row(tables, [], |row| row.get(0))?;
    if version == 0 && tables > 0 {
        let why = "it is a database of another program; name another store";
        return Err(StoreError::NotOurs(why.to_owned()));
    }
    Ok(())
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("PRAGMA data_version")?;
    statement.query_row([], |row| row.get(0))
}

fn insert(transaction: &Transaction<'_>, decision: &Decision) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(INSERT)?;
    insert.execute(params![
        decision.kind.name(),
        decision.target.to_string(),
        &*decision.origin,
        &*decision.reason,
        &*decision.node,
        time::rfc3339(decision.created),
        time::rfc3339(decision.until),
    ])?;
    Ok(())
}

fn remove(transaction: &Transaction<'_>, decision: &Decision, now: u32) -> rusqlite::Result<()> {
    let (value, kind) = (decision.target.to_string(), decision.kind.name());
    let mut delete = transaction.prepare_cached(DELETE)?;
    delete.execute(params![value, kind, &*decision.origin])?;
    let note = "INSERT INTO removals (type, value, origin, at) VALUES (?1, ?2, ?3, ?4)";
    let mut note = transaction.prepare_cached(note)?;
    note.execute(params![kind, value, &*decision.origin, time::rfc3339(now)])?;
    Ok(())
}

fn insert_imported(transaction: &Transaction<'_>, imported: &Imported) -> rusqlite::Result<()> {
    let insert = "INSERT OR REPLACE INTO crowdsec
        (id, type, value, origin, scenario, until, lifted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut insert = transaction.prepare_cached(insert)?;
    insert.execute(params![
        &*imported.id,
        imported.kind.name(),
        imported.target.to_string(),
        &*imported.origin,
        &*imported.scenario,
        time::rfc3339(imported.until),
        imported.is_lifted,
    ])?;
    Ok(())
}

/// The decisions of `CrowdSec` that are not over.
fn imports(connection: &Connection, now: u32) -> rusqlite::Result<Vec<Imported>> {
    let has = "SELECT count(*) FROM sqlite_master WHERE name = 'crowdsec'";
    let has: i64 = connection.query_row(has, [], |row| row.get(0))?;
    if has == 0 {
        // A file of an earlier agent, read only.
        return Ok(Vec::new());
    }
    let query = "SELECT id, type, value, origin, scenario, until, lifted FROM crowdsec";
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query([])?;
    let mut imports = Vec::new();
    let mut texts = Texts::default();
    while let Some(row) = rows.next()? {
        let text = |at: usize| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str()?);
        let (Ok(kind), Ok(target), Some(until)) = (
            text(1)?.parse(),
            parse_target(text(2)?, 128),
            time::parse(text(5)?),
        ) else {
            continue;
        };
        if until > now {
            imports.push(Imported {
                id: text(0)?.into(),
                kind,
                target,
                origin: texts.shared(text(3)?),
                scenario: texts.shared(text(4)?),
                until,
                is_lifted: row.get(6)?,
            });
        }
    }
    Ok(imports)
}

/// The decisions that were written after a row, and are in force.
fn decisions_after(
    connection: &Connection,
    now: u32,
    last: &mut i64,
) -> rusqlite::Result<Vec<Decision>> {
    let query = format!("SELECT {COLUMNS} FROM decisions WHERE id > ?1 ORDER BY id");
    let mut statement = connection.prepare(&query)?;
    let mut rows = statement.query([*last])?;
    let mut decisions = Vec::new();
    let mut texts = Texts::default();
    while let Some(row) = rows.next()? {
        *last = row.get(7)?;
        let text = |at: usize| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str()?);
        // Rows of other types are for later versions, or were made by hand; they stay as they are.
        let (Ok(kind), Ok(target), Some(created), Some(until)) = (
            text(0)?.parse(),
            parse_target(text(1)?, 128),
            time::parse(text(5)?),
            time::parse(text(6)?),
        ) else {
            continue;
        };
        if until > now {
            decisions.push(Decision {
                kind,
                target,
                origin: texts.shared(text(2)?),
                reason: texts.shared(text(3)?),
                node: texts.shared(text(4)?),
                created,
                until,
            });
        }
    }
    Ok(decisions)
}

fn removals_after(connection: &Connection, last: &mut i64) -> rusqlite::Result<Vec<Removal>> {
    let query = "SELECT type, value, origin, id FROM removals WHERE id > ?1 ORDER BY id";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query([*last])?;
    let mut removals = Vec::new();
    while let Some(row) = rows.next()? {
        *last = row.get(3)?;
        let (kind, value): (String, String) = (row.get(0)?, row.get(1)?);
        if let (Ok(kind), Ok(target)) = (kind.parse(), parse_target(&value, 128)) {
            removals.push(Removal {
                kind,
                target,
                origin: row.get(2)?,
            });
        }
    }
    Ok(removals)
}

fn points(connection: &Connection) -> rusqlite::Result<Vec<SavedPoints>> {
    let query = "SELECT value, points, updated, reason FROM behavior";
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query([])?;
    let mut points = Vec::new();
    while let Some(row) = rows.next()? {
        let (value, updated): (String, String) = (row.get(0)?, row.get(2)?);
        let prefix = parse_target(&value, 128).ok();
        let prefix = prefix.and_then(Target::prefix);
        if let (Some(prefix), Some(updated)) = (prefix, time::parse(&updated)) {
            points.push(SavedPoints {
                prefix,
                points: row.get(1)?,
                updated,
                reason: row.get(3)?,
            });
        }
    }
    Ok(points)
}

/// Texts that occur again and again, each once.
#[derive(Default)]
struct Texts(HashSet<Arc<str>>);

impl Texts {
    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        if self.0.len() < TEXTS_MAX {
            self.0.insert(Arc::clone(&text));
        }
        text
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// A file of another user is not opened: `SQLite` would write beside it.
fn check_owner(path: &Path) -> Result<(), StoreError> {
    let Ok(metadata) = fs::metadata(path) else {
        return Ok(());
    };
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() == own {
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
