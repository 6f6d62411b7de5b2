//! Named places in the store: where a processor goes on after a restart.
//!
//! `state.db`, table `cursor(name, next_offset)`. Kept apart from the segments, since a cursor outlives them, and saved
//! without a sync of its own: a power cut may set a cursor back a little, never forward, so a record may come twice to a
//! processor but is never left out. `state.db` also holds its format version (`PRAGMA user_version`).

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::Error;
use crate::segment::FORMAT;

/// The named cursors of a store. Cheap to clone; clones share one connection.
#[derive(Clone)]
pub struct Cursors {
    connection: Arc<Mutex<Connection>>,
}

impl Cursors {
    /// Opens or creates `state.db` in the directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("state.db");
        let connection = Connection::open(&path).map_err(Error::database("open state.db"))?;
        let version = connection
            .query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))
            .map_err(Error::database("read state.db"))?;
        if version > FORMAT {
            return Err(Error::Newer { path, found: version, known: FORMAT });
        }
        connection.busy_timeout(Duration::from_secs(5)).map_err(Error::database("open state.db"))?;
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA user_version={FORMAT};
                 CREATE TABLE IF NOT EXISTS cursor(name TEXT PRIMARY KEY, next_offset INTEGER NOT NULL) WITHOUT ROWID;"
            ))
            .map_err(Error::database("prepare state.db"))?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// The offset the cursor's owner has to read next; `None` if it was never saved.
    pub fn load(&self, name: &str) -> Result<Option<u64>, Error> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection
            .prepare_cached("SELECT next_offset FROM cursor WHERE name = ?")
            .and_then(|mut select| select.query_row([name], |row| row.get::<_, i64>(0)).optional())
            .map(|next| next.map(|next| next as u64))
            .map_err(Error::database("load a cursor"))
    }

    /// Notes the offset to read next.
    pub fn save(&self, name: &str, next_offset: u64) -> Result<(), Error> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection
            .prepare_cached("INSERT OR REPLACE INTO cursor(name, next_offset) VALUES (?, ?)")
            .and_then(|mut insert| insert.execute(params![name, next_offset as i64]))
            .map(drop)
            .map_err(Error::database("save a cursor"))
    }

    /// All cursors by name.
    pub fn list(&self) -> Result<Vec<(String, u64)>, Error> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = connection
            .prepare_cached("SELECT name, next_offset FROM cursor ORDER BY name")
            .and_then(|mut select| {
                let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
                rows.collect()
            });
        listed.map_err(Error::database("list the cursors"))
    }

    /// Forgets a cursor. Nothing happens if there is none.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection
            .execute("DELETE FROM cursor WHERE name = ?", [name])
            .map(drop)
            .map_err(Error::database("remove a cursor"))
    }
}
