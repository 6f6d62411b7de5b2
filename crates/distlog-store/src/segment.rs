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
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::block::codec::Unpacker;
use crate::block::{Header, Parts};
use crate::{Entry, Error, Order, journal};

/// The newest format of files that this program writes and reads (`PRAGMA user_version`).
pub(crate) const FORMAT: u32 = 1;

/// `PRAGMA application_id`: "dlog".
pub(crate) const APPLICATION: u32 = 0x646c_6f67;

/// Why a segment is no good whose creation is still under way, or was cut short: nothing was ever committed to it.
pub(crate) const UNFINISHED: &str = "the segment is unfinished";

/// Parts of a block are numbered below this.
pub(crate) const PARTS: u64 = 16;

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

/// Refuses what a newer program wrote, and what is no segment at all.
pub(crate) fn check_format(connection: &Connection, path: &Path) -> Result<(), Error> {
    let busy = connection.busy_timeout(Duration::from_secs(10));
    busy.map_err(Error::database("open a segment"))?;
    let number = |pragma| connection.query_row(pragma, [], |row| row.get::<_, u32>(0));
    // Before the version: the transaction that creates both may end between two of these questions.
    let tables = number("SELECT count(*) FROM sqlite_schema").map_err(Error::database("open a segment"))?;
    let found = number("PRAGMA user_version").map_err(Error::database("open a segment"))?;
    if found > FORMAT {
        return Err(Error::Newer { path: path.to_path_buf(), found, known: FORMAT });
    }
    let application = number("PRAGMA application_id").map_err(Error::database("open a segment"))?;
    if found == 0 && tables == 0 {
        return Err(Error::Damaged { reason: UNFINISHED });
    }
    if found == 0 || application != APPLICATION {
        return Err(Error::Damaged { reason: "the file is no segment" });
    }
    Ok(())
}
