//! One file of the store: `seg-<first offset, 20 digits>.db`, an SQLite database in WAL mode.
//!
//! | table | rows |
//! |---|---|
//! | `journal(last_offset, n, received, records)` | records that are in no block yet, as they were committed: see `journal.rs` |
//! | `block(id, meta)` | `id` = the block's first offset, `meta` = its header |
//! | `part(id, bytes)` | `id` = block's id × 16 + number of the part |
//! | `root(root, block)` | which blocks have records of the goal tree of that root |
//! | `mark(producer, epoch, next_sequence, touched)` | how far each producer's records are in |
//! | `segment(generation, merged)` | one row: `generation` grows when blocks are rewritten, `merged` says it will not be again |
//!
//! Blocks are only ever added, except that a merge puts one in the place of several and counts `generation` up in the same
//! transaction. So the headers kept in memory here are good for every snapshot of their generation, up to its last block.
//! They cost 72 bytes a block: some 70 MB for a thousand million records not yet merged, a quarter of that afterwards.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::block::codec::{Packer, Unpacker};
use crate::block::{Header, Parts, Sealed};
use crate::{Entry, Error, Mark, Order, journal};

/// The newest format of files that this program writes and reads (`PRAGMA user_version`).
pub(crate) const FORMAT: u32 = 1;

/// `PRAGMA application_id`: "dlog".
const APPLICATION: u32 = 0x646c_6f67;

/// Why a segment is no good whose creation is still under way, or was cut short: nothing was ever committed to it.
pub(crate) const UNFINISHED: &str = "the segment is unfinished";

const SCHEMA: &str = "
    CREATE TABLE journal(last_offset INTEGER PRIMARY KEY, n INTEGER NOT NULL, received INTEGER NOT NULL, records BLOB NOT NULL);
    CREATE TABLE block(id INTEGER PRIMARY KEY, meta BLOB NOT NULL);
    CREATE TABLE part(id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
    CREATE TABLE root(root BLOB NOT NULL, block INTEGER NOT NULL, PRIMARY KEY(root, block)) WITHOUT ROWID;
    CREATE TABLE mark(producer BLOB PRIMARY KEY, epoch INTEGER NOT NULL, next_sequence INTEGER NOT NULL, touched INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE segment(generation INTEGER NOT NULL, merged INTEGER NOT NULL);
    INSERT INTO segment VALUES (1, 0);";

/// Parts of a block are numbered below this.
const PARTS: u64 = 16;

/// Marks with when they were last touched (time received, ns).
pub(crate) type Marks = HashMap<[u8; 16], (Mark, i64)>;

/// A segment as its readers know it.
pub(crate) struct Segment {
    pub(crate) first: u64,
    pub(crate) path: PathBuf,
    headers: Mutex<Headers>,
}

#[derive(Default)]
struct Headers {
    generation: i64,
    blocks: Vec<Header>,
    /// Blocks whose header cannot be read.
    damaged: Vec<u64>,
}

/// A connection with what it needs for reading.
pub(crate) struct Reading {
    connection: Connection,
    unpacker: RefCell<Unpacker>,
}

impl Segment {
    /// The segment that begins at that offset.
    pub(crate) fn new(directory: &Path, first: u64) -> Self {
        Self { first, path: path(directory, first), headers: Mutex::default() }
    }

    /// A new connection that only reads.
    pub(crate) fn open(&self) -> Result<Reading, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(&self.path, flags).map_err(Error::database("open a segment"))?;
        check_format(&connection, &self.path)?;
        let prepared = connection.execute_batch("PRAGMA cache_size=-1024; PRAGMA query_only=1;");
        prepared.map_err(Error::database("open a segment"))?;
        Ok(Reading { connection, unpacker: RefCell::new(Unpacker::new()?) })
    }

    /// Reads one consistent state of the segment.
    pub(crate) fn view<T>(
        &self,
        reading: &Reading,
        with: impl FnOnce(&View<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            let transaction = reading
                .connection
                .unchecked_transaction()
                .map_err(Error::database("begin to read a segment"))?;
            let (generation, last): (i64, Option<i64>) = transaction
                .prepare_cached("SELECT generation, (SELECT max(id) FROM block) FROM segment")
                .and_then(|mut select| select.query_row([], |row| Ok((row.get(0)?, row.get(1)?))))
                .map_err(Error::database("read a segment"))?;
            let view = View { reading, segment: self, last: last.map(|last| last as u64) };
            if view.load_headers(generation)? {
                return with(&view);
            }
            // Another thread has already seen a merge that came after this snapshot: take a newer one.
        }
    }

    /// Blocks that no query can use.
    pub(crate) fn damaged(&self) -> usize {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner).damaged.len()
    }
}

/// One consistent state of a segment.
pub(crate) struct View<'c> {
    reading: &'c Reading,
    pub(crate) segment: &'c Segment,
    /// The last block's id.
    last: Option<u64>,
}

impl View<'_> {
    /// Headers of up to `limit` blocks in this order that `keep` keeps, and whether there are no more.
    /// Oldest first: of blocks that end after `from`. Newest first: of blocks that begin before it.
    pub(crate) fn headers(
        &self,
        from: u64,
        order: Order,
        limit: usize,
        keep: impl Fn(&Header) -> bool,
    ) -> (Vec<Header>, bool) {
        let headers = self.segment.headers.lock().unwrap_or_else(PoisonError::into_inner);
        let visible = headers.blocks.partition_point(|header| Some(header.first) <= self.last);
        let blocks = headers.blocks.get(..visible).unwrap_or_default();
        let mut found: Vec<Header> = match order {
            Order::OldestFirst => {
                let start = blocks.partition_point(|header| header.end() <= from);
                blocks.iter().skip(start).filter(|header| keep(header)).take(limit + 1).copied().collect()
            }
            Order::NewestFirst => {
                let end = blocks.partition_point(|header| header.first < from);
                blocks.iter().take(end).rev().filter(|header| keep(header)).take(limit + 1).copied().collect()
            }
        };
        let exhausted = found.len() <= limit;
        found.truncate(limit);
        (found, exhausted)
    }

    /// The same for the blocks that have records of that root.
    pub(crate) fn headers_of(
        &self,
        root: &[u8; 16],
        from: u64,
        order: Order,
        limit: usize,
        keep: impl Fn(&Header) -> bool,
    ) -> Result<(Vec<Header>, bool), Error> {
        let blocks = self.blocks_of(root)?;
        Ok(self.headers(from, order, limit, |header| {
            blocks.binary_search(&header.first).is_ok() && keep(header)
        }))
    }

    /// The offset after the last block.
    pub(crate) fn blocks_end(&self) -> u64 {
        let (last, _) = self.headers(u64::MAX, Order::NewestFirst, 1, |_| true);
        last.first().map_or(self.segment.first, Header::end)
    }

    /// The offset after the last record.
    pub(crate) fn end(&self) -> Result<u64, Error> {
        let last: Option<i64> = self
            .reading
            .connection
            .prepare_cached("SELECT max(last_offset) FROM journal")
            .and_then(|mut select| select.query_row([], |row| row.get(0)))
            .map_err(Error::database("read the journal"))?;
        Ok(last.map_or_else(|| self.blocks_end(), |last| last as u64 + 1))
    }

    /// Records of the journal at and after `from`; `damaged` is told of rows that cannot be read.
    pub(crate) fn journal(&self, from: u64, mut damaged: impl FnMut(u64)) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let mut read = || -> rusqlite::Result<()> {
            let mut select = self.reading.connection.prepare_cached(
                "SELECT last_offset, n, received, records FROM journal WHERE last_offset >= ? ORDER BY last_offset",
            )?;
            let mut rows = select.query([from as i64])?;
            while let Some(row) = rows.next()? {
                let (last, count): (i64, i64) = (row.get(0)?, row.get(1)?);
                let first = (last.wrapping_sub(count).wrapping_add(1)) as u64;
                let unpacked = self.reading.unpacker.borrow_mut().unpack(row.get_ref(3)?.as_blob()?);
                match unpacked
                    .and_then(|bytes| journal::decode(&bytes, first, count as usize, row.get(2).unwrap_or(0)))
                {
                    Ok(read) => entries.extend(read.into_iter().filter(|entry| entry.offset >= from)),
                    Err(_) => damaged(first),
                }
            }
            Ok(())
        };
        read().map_err(Error::database("read the journal"))?;
        Ok(entries)
    }

    /// Roots from that one on, in order.
    pub(crate) fn roots_from(
        &self,
        lowest: &[u8; 16],
        highest: &[u8; 16],
        limit: usize,
    ) -> Result<Vec<[u8; 16]>, Error> {
        let connection = &self.reading.connection;
        let select = || -> rusqlite::Result<Vec<[u8; 16]>> {
            let mut select = connection.prepare_cached(
                "SELECT DISTINCT root FROM root WHERE root BETWEEN ? AND ? ORDER BY root LIMIT ?",
            )?;
            let rows = select.query_map(params![lowest, highest, limit as i64], |row| row.get(0))?;
            rows.collect()
        };
        select().map_err(Error::database("look for roots"))
    }

    /// Whether merging is done for good.
    pub(crate) fn is_merged(&self) -> Result<bool, Error> {
        let merged = self.reading.connection.query_row("SELECT merged FROM segment", [], |row| row.get(0));
        merged.map_err(Error::database("read a segment"))
    }

    fn blocks_of(&self, root: &[u8; 16]) -> Result<Vec<u64>, Error> {
        let select = || -> rusqlite::Result<Vec<u64>> {
            let mut select = self
                .reading
                .connection
                .prepare_cached("SELECT block FROM root WHERE root = ? ORDER BY block")?;
            let rows = select.query_map([root], |row| Ok(row.get::<_, i64>(0)? as u64))?;
            rows.collect()
        };
        select().map_err(Error::database("look up a root"))
    }

    /// Brings the headers up to this snapshot; false if they are of a later generation.
    fn load_headers(&self, generation: i64) -> Result<bool, Error> {
        let mut headers = self.segment.headers.lock().unwrap_or_else(PoisonError::into_inner);
        if headers.generation > generation {
            return Ok(false);
        }
        if headers.generation < generation {
            *headers = Headers { generation, ..Headers::default() };
        }
        let known = headers.blocks.last().map(|header| header.first).max(headers.damaged.last().copied());
        if self.last <= known {
            return Ok(true);
        }
        let mut load = || -> rusqlite::Result<()> {
            let mut select = self
                .reading
                .connection
                .prepare_cached("SELECT id, meta FROM block WHERE id > ? ORDER BY id")?;
            let mut rows = select.query([known.map_or(-1, |known| known as i64)])?;
            while let Some(row) = rows.next()? {
                let id = row.get::<_, i64>(0)? as u64;
                match Header::decode(id, row.get_ref(1)?.as_blob()?) {
                    Ok(header) => headers.blocks.push(header),
                    Err(_) => headers.damaged.push(id),
                }
            }
            Ok(())
        };
        load().map_err(Error::database("read the headers of blocks"))?;
        Ok(true)
    }
}

impl Parts for View<'_> {
    fn part(&self, block: u64, part: u8) -> Result<Vec<u8>, Error> {
        let id = (block * PARTS + u64::from(part)) as i64;
        let unpack = || -> rusqlite::Result<Option<Result<Vec<u8>, Error>>> {
            let mut select = self.reading.connection.prepare_cached("SELECT bytes FROM part WHERE id = ?")?;
            let unpack = |row: &rusqlite::Row<'_>| {
                Ok(self.reading.unpacker.borrow_mut().unpack(row.get_ref(0)?.as_blob()?))
            };
            select.query_row([id], unpack).optional()
        };
        match unpack().map_err(Error::database("read a part of a block"))? {
            Some(content) => content,
            None => Err(Error::Damaged { reason: "a part of a block is missing" }),
        }
    }
}

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

/// The file of the segment that begins at that offset.
pub(crate) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("seg-{first:020}.db"))
}

/// The file and what SQLite keeps beside it.
pub(crate) fn files(path: &Path) -> [PathBuf; 3] {
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    [path.to_path_buf(), beside("-wal"), beside("-shm")]
}

/// Bytes of the segment's files.
pub(crate) fn bytes(path: &Path) -> u64 {
    files(path).iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum()
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=2000; PRAGMA journal_size_limit=33554432;",
    )
}

/// Refuses what a newer program wrote, and what is no segment at all.
fn check_format(connection: &Connection, path: &Path) -> Result<(), Error> {
    let busy = connection.busy_timeout(Duration::from_secs(10));
    busy.map_err(Error::database("open a segment"))?;
    let number = |pragma| connection.query_row(pragma, [], |row| row.get::<_, u32>(0));
    let found = number("PRAGMA user_version").map_err(Error::database("open a segment"))?;
    if found > FORMAT {
        return Err(Error::Newer { path: path.to_path_buf(), found, known: FORMAT });
    }
    let application = number("PRAGMA application_id").map_err(Error::database("open a segment"))?;
    let tables = number("SELECT count(*) FROM sqlite_schema").map_err(Error::database("open a segment"))?;
    if found == 0 && tables == 0 {
        return Err(Error::Damaged { reason: UNFINISHED });
    }
    if found == 0 || application != APPLICATION {
        return Err(Error::Damaged { reason: "the file is no segment" });
    }
    Ok(())
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
