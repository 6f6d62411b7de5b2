//! Writing a segment: one connection, one transaction for each commit, synced before it returns.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use crate::block::codec::Packer;
use crate::block::{Header, Sealed};
use crate::segment::{APPLICATION, FORMAT, PARTS, check_format};
use crate::{Entry, Error, Mark, journal};

const SCHEMA: &str = "
    CREATE TABLE journal(last_offset INTEGER PRIMARY KEY, n INTEGER NOT NULL, received INTEGER NOT NULL, records BLOB NOT NULL);
    CREATE TABLE block(id INTEGER PRIMARY KEY, meta BLOB NOT NULL);
    CREATE TABLE part(id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
    CREATE TABLE root(root BLOB NOT NULL, block INTEGER NOT NULL, PRIMARY KEY(root, block)) WITHOUT ROWID;
    CREATE TABLE mark(producer BLOB PRIMARY KEY, epoch INTEGER NOT NULL, next_sequence INTEGER NOT NULL, touched INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE segment(generation INTEGER NOT NULL, merged INTEGER NOT NULL);
    INSERT INTO segment VALUES (1, 0);";

/// Marks with when they were last touched (time received, ns).
pub(crate) type Marks = HashMap<[u8; 16], (Mark, i64)>;

/// The one connection that writes a segment.
pub(crate) struct Writing {
    connection: Connection,
    packer: Packer,
}

/// What one commit writes.
pub(crate) struct Commit<'a> {
    /// Blocks that end the journal as it was.
    pub(crate) blocks: &'a [Sealed],
    /// Entries to add to the journal.
    pub(crate) journal: &'a [Entry],
    /// Marks, and when they are touched.
    pub(crate) marks: &'a [Mark],
    pub(crate) received: i64,
}

impl Writing {
    /// Creates a segment that begins with these marks.
    pub(crate) fn create(path: &Path, marks: &Marks) -> Result<Self, Error> {
        let create = || -> rusqlite::Result<Connection> {
            let mut connection = Connection::open(path)?;
            connection.execute_batch("PRAGMA page_size=8192; PRAGMA auto_vacuum=INCREMENTAL;")?;
            prepare(&connection)?;
            let transaction = connection.transaction()?;
            transaction.execute_batch(SCHEMA)?;
            for (mark, touched) in marks.values() {
                put_mark(&transaction, mark, *touched)?;
            }
            transaction.execute_batch(&format!(
                "PRAGMA application_id={APPLICATION}; PRAGMA user_version={FORMAT};"
            ))?;
            transaction.commit()?;
            Ok(connection)
        };
        let connection = create().map_err(Error::database("create a segment"))?;
        Ok(Self { connection, packer: Packer::new(1)? })
    }

    /// Opens a segment to write on.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(path, flags).map_err(Error::database("open a segment"))?;
        check_format(&connection, path)?;
        prepare(&connection).map_err(Error::database("open a segment"))?;
        Ok(Self { connection, packer: Packer::new(1)? })
    }

    /// All marks.
    pub(crate) fn marks(&self) -> Result<Marks, Error> {
        let select = || -> rusqlite::Result<Marks> {
            let mut select =
                self.connection.prepare("SELECT producer, epoch, next_sequence, touched FROM mark")?;
            let rows = select.query_map([], |row| {
                let producer = row.get(0)?;
                let (epoch, next_sequence) = (row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64);
                Ok((producer, (Mark { producer, epoch, next_sequence }, row.get(3)?)))
            })?;
            rows.collect()
        };
        select().map_err(Error::database("read the marks"))
    }

    /// One transaction, synced when this returns.
    pub(crate) fn commit(&mut self, commit: &Commit<'_>) -> Result<(), Error> {
        let rows = journal::encode(commit.journal, &mut self.packer)?;
        let mut write = || -> rusqlite::Result<()> {
            let transaction =
                self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            if !commit.blocks.is_empty() {
                transaction.execute("DELETE FROM journal", [])?;
            }
            commit.blocks.iter().try_for_each(|block| put_block(&transaction, block))?;
            for row in &rows {
                transaction
                    .prepare_cached(
                        "INSERT INTO journal(last_offset, n, received, records) VALUES (?, ?, ?, ?)",
                    )?
                    .execute(params![row.last as i64, row.count as i64, row.received, row.bytes])?;
            }
            commit.marks.iter().try_for_each(|mark| put_mark(&transaction, mark, commit.received))?;
            transaction.commit()
        };
        write().map_err(Error::database("commit"))
    }

    /// Puts one block in the place of those that it has the records of.
    pub(crate) fn replace(&mut self, old: &[Header], block: &Sealed) -> Result<(), Error> {
        let (first, end) = (block.header.first as i64, block.header.end() as i64);
        let mut write = || -> rusqlite::Result<()> {
            let transaction =
                self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for header in old {
                let id = header.first as i64;
                transaction.prepare_cached("DELETE FROM block WHERE id = ?")?.execute([id])?;
                let parts = PARTS as i64;
                transaction
                    .prepare_cached("DELETE FROM part WHERE id >= ? AND id < ?")?
                    .execute([id * parts, (id + 1) * parts])?;
            }
            for root in &block.roots {
                transaction
                    .prepare_cached("DELETE FROM root WHERE root = ? AND block >= ? AND block < ?")?
                    .execute(params![root, first, end])?;
            }
            put_block(&transaction, block)?;
            transaction.execute("UPDATE segment SET generation = generation + 1", [])?;
            transaction.commit()
        };
        write().map_err(Error::database("merge blocks"))
    }

    /// Notes that merging is done, and gives the room it freed back to the disk.
    pub(crate) fn finish_merge(&mut self) -> Result<(), Error> {
        let finish = || -> rusqlite::Result<()> {
            self.connection.execute("UPDATE segment SET merged = 1", [])?;
            let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
            // Each step frees one page.
            let mut steps = vacuum.query([])?;
            while steps.next()?.is_some() {}
            Ok(())
        };
        finish().map_err(Error::database("finish merging"))?;
        self.checkpoint()
    }

    /// Moves everything from the WAL into the file. What readers still need stays, without an error.
    pub(crate) fn checkpoint(&self) -> Result<(), Error> {
        let moved = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        moved.map_err(Error::database("move the WAL into its file"))
    }

    /// Bounds the file, as a full disk does. For tests.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        let limited = self.connection.query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(()));
        limited.expect("the bound is set");
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=2000; PRAGMA cache_size=-8192; PRAGMA journal_size_limit=33554432;",
    )
}

fn put_block(connection: &Connection, block: &Sealed) -> rusqlite::Result<()> {
    let id = block.header.first as i64;
    connection
        .prepare_cached("INSERT INTO block(id, meta) VALUES (?, ?)")?
        .execute(params![id, block.header.encode()])?;
    for (number, bytes) in &block.parts {
        connection
            .prepare_cached("INSERT INTO part(id, bytes) VALUES (?, ?)")?
            .execute(params![id * PARTS as i64 + i64::from(*number), bytes])?;
    }
    let mut put = connection.prepare_cached("INSERT OR IGNORE INTO root(root, block) VALUES (?, ?)")?;
    block.roots.iter().try_for_each(|root| put.execute(params![root, id]).map(drop))
}

fn put_mark(connection: &Connection, mark: &Mark, touched: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO mark(producer, epoch, next_sequence, touched) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![mark.producer, mark.epoch as i64, mark.next_sequence as i64, touched])
        .map(drop)
}
