//! What keeps a store small and in order: closing segments, merging their blocks, removing the oldest, setting bad files aside.
//!
//! All of it happens on the writer's thread, in pieces of bounded time, each a transaction of its own: whatever is
//! interrupted is found done or not done.
//!
//! - Retention goes by the time received (the daemon's own clock), never by what a client says, and by whole segments. The
//!   active segment is never removed, nor one with a record at or above the floor.
//! - A closed segment's blocks of 1,024 are merged to 4,096: an eighth smaller, and a quarter of the headers. It costs as
//!   much as it did to write them, so it is done when there is time: `more` says that there is something left.
//! - A producer's mark goes along from segment to segment; only the [`MARKS`] touched last do.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::block::{Assembler, Block, Header, seal};
use crate::segment::{self, Segment};
use crate::shared::{Shared, list, sync_directory};
use crate::store::BLOCK_BYTES;
use crate::writing::Writing;
use crate::{Cursors, Entry, Error, Maintenance, Order, Store};

/// Records in a merged block.
const MERGED: u32 = 4096;

/// JSON in a merged block, about.
const MERGED_BYTES: u64 = 4 * BLOCK_BYTES as u64;

/// Marks that outlive a segment.
const MARKS: usize = 100_000;

/// No segment is smaller than this, however little may be kept: an empty one takes 100 KiB.
const SMALLEST: u64 = 256 << 10;

/// No segment spans less than this, however briefly records may be kept.
const BRIEFEST: Duration = Duration::from_secs(1);

/// What a damaged file may have held besides its length.
const UNSEEN: u64 = 1 << 20;

/// One round of everything.
pub(crate) fn run(store: &mut Store, now: i64) -> Result<Maintenance, Error> {
    let deadline = Instant::now() + store.options.maintain_time.min(Duration::from_secs(60));
    let mut done = Maintenance { set_aside: store.set_aside.clone(), ..Maintenance::default() };
    done.rolled = roll_if_full(store, now)?;
    remove_old(store, now, &mut done)?;
    merge(store, deadline, &mut done)?;
    if done.merged > 0 {
        // A merge needs room before it gives any back.
        remove_old(store, now, &mut done)?;
    }
    Ok(done)
}

/// Closes the active segment if it is large or old enough. Also asked before each commit, since a burst may fill many.
pub(crate) fn roll_if_full(store: &mut Store, now: i64) -> Result<bool, Error> {
    let full = is_full(store, now);
    if full {
        trim_marks(store);
        store.roll(now)?;
    }
    Ok(full)
}

/// First offsets of the segments that can be used. Others are renamed to `.bad` and told; what was never finished is removed.
pub(crate) fn sound_segments(directory: &Path, set_aside: &mut Vec<PathBuf>) -> Result<Vec<u64>, Error> {
    let mut sound = Vec::new();
    for first in list(directory)? {
        let path = segment::path(directory, first);
        let segment = Segment::new(directory, first);
        // The journal's mode is the writer's to set, so a segment is opened as a writer would.
        let opened = Writing::open(&path).and_then(|writing| writing.marks().map(drop));
        let read = opened.and_then(|()| segment.view(&segment.open()?, |view| view.end()));
        match read {
            Ok(_) => sound.push(first),
            Err(Error::Damaged { reason: segment::UNFINISHED }) => remove_files(&path)?,
            Err(error) if error.is_damage() => set_aside.push(put_aside(&path)?),
            Err(error) => return Err(error),
        }
    }
    Ok(sound)
}

/// Where a new segment has to begin, if there is no sound one to go on with: past whatever the last could hold, since it
/// cannot be known how many records were in it, and no offset may be given twice.
pub(crate) fn new_first(
    sound: Option<u64>,
    set_aside: &[PathBuf],
    cursors: &Cursors,
) -> Result<Option<u64>, Error> {
    let mut next = None;
    for path in set_aside {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let first: u64 = name.strip_prefix("seg-").and_then(|name| name.get(..20)?.parse().ok()).unwrap_or(0);
        let length = std::fs::metadata(path).map_or(0, |file| file.len());
        if Some(first) > sound {
            next = next.max(Some(first.saturating_add((length + UNSEEN) * 4)));
        }
    }
    if next.is_none() && sound.is_some() {
        return Ok(None);
    }
    let cursors = cursors.list()?.into_iter().map(|(_, next)| next).max().unwrap_or(0);
    Ok(Some(next.unwrap_or(0).max(cursors)))
}

fn is_full(store: &Store, now: i64) -> bool {
    let Some(begun) = store.begun else { return false };
    let bound = store.options.keep_bytes.map_or(u64::MAX, |keep| keep / 8);
    let bound = store.options.segment_bytes.min(bound).max(SMALLEST);
    let age = store.options.keep_age.map_or(Duration::MAX, |keep| (keep / 8).max(BRIEFEST));
    let age = i64::try_from(store.options.segment_age.min(age).as_nanos()).unwrap_or(i64::MAX);
    now.saturating_sub(begun) >= age || segment::bytes(&store.active.path) >= bound
}

fn trim_marks(store: &mut Store) {
    if store.marks.len() > MARKS {
        let mut touched: Vec<i64> = store.marks.values().map(|(_, touched)| *touched).collect();
        let (_, oldest, _) = touched.select_nth_unstable_by(MARKS, |one, other| other.cmp(one));
        let oldest = *oldest;
        store.marks.retain(|_, (_, touched)| *touched > oldest);
    }
}

fn remove_old(store: &Store, now: i64, done: &mut Maintenance) -> Result<(), Error> {
    let segments = store.shared.segments()?;
    let mut total: u64 = segments.iter().map(|segment| segment::bytes(&segment.path)).sum();
    for pair in segments.windows(2) {
        let [oldest, after] = pair else { break };
        let too_large = store.options.keep_bytes.is_some_and(|keep| total > keep);
        let held = store.floor.is_some_and(|floor| floor < after.first);
        if held || !(too_large || is_expired(store, oldest, now)?) {
            break;
        }
        total -= segment::bytes(&oldest.path).min(total);
        let records = store.shared.view(oldest, |view| view.end());
        done.removed_records += records.ok().flatten().map_or(0, |end| end - oldest.first.min(end));
        store.shared.remove_segment(oldest.first, after.first);
        remove_files(&oldest.path)?;
        done.removed += 1;
    }
    if done.removed > 0 {
        sync_directory(&store.shared.directory)?;
    }
    Ok(())
}

/// Whether the newest record of a closed segment is too old.
fn is_expired(store: &Store, segment: &Segment, now: i64) -> Result<bool, Error> {
    let Some(keep) = store.options.keep_age.and_then(|keep| i64::try_from(keep.as_nanos()).ok()) else {
        return Ok(false);
    };
    let newest = store.shared.view(segment, |view| {
        let (last, _) = view.headers(u64::MAX, Order::NewestFirst, 1, |_| true);
        Ok(last.first().map(|header| header.received.1))
    });
    match newest {
        Ok(newest) => Ok(newest.flatten().is_some_and(|newest| newest < now.saturating_sub(keep))),
        // Nobody knows how old it is; its size still counts.
        Err(error) if error.is_damage() => Ok(false),
        Err(error) => Err(error),
    }
}

fn merge(store: &mut Store, deadline: Instant, done: &mut Maintenance) -> Result<(), Error> {
    let segments = store.shared.segments()?;
    let (_, closed) = segments.split_last().unwrap_or((&store.active, &[]));
    for segment in
        closed.iter().filter(|segment| !store.merged.contains(&segment.first)).cloned().collect::<Vec<_>>()
    {
        match merge_segment(&store.shared, &segment, deadline, &mut store.packer, done) {
            Ok(true) => {
                store.merged.insert(segment.first);
            }
            Ok(false) => {
                done.more = true;
                return Ok(());
            }
            Err(error) if error.is_damage() => {
                // It stays as it is: what can be read of it can be read.
                store.shared.note_damage(segment.first);
                store.merged.insert(segment.first);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Merges until the deadline; true if nothing is left.
fn merge_segment(
    shared: &Shared,
    segment: &Segment,
    deadline: Instant,
    packer: &mut crate::block::codec::Packer,
    done: &mut Maintenance,
) -> Result<bool, Error> {
    if shared.view(segment, |view| view.is_merged())?.unwrap_or(true) {
        return Ok(true);
    }
    let mut writing = Writing::open(&segment.path)?;
    let mut from = segment.first;
    loop {
        let Some(group) =
            shared.view(segment, |view| Ok(next_group(view, &mut from)))?.filter(|group| group.len() > 1)
        else {
            writing.finish_merge()?;
            return Ok(true);
        };
        if Instant::now() >= deadline {
            return Ok(false);
        }
        let entries = shared.view(segment, |view| {
            let blocks = group.iter().map(|header| read_block(&Block::new(*header, view)));
            blocks.collect::<Result<Vec<_>, _>>()
        });
        match entries {
            Ok(Some(entries)) => {
                let entries: Vec<Entry> = entries.into_iter().flatten().collect();
                writing.replace(&group, &seal(&entries, packer)?)?;
                done.merged += group.len();
            }
            Ok(None) => return Ok(true),
            Err(error) if error.is_damage() => {
                group.iter().for_each(|header| shared.note_damage(header.first))
            }
            Err(error) => return Err(error),
        }
        from = group.last().map_or(u64::MAX, Header::end);
    }
}

/// The next blocks to be merged: neighbours that fit in one. `from` moves past those that have none.
fn next_group(view: &segment::View<'_>, from: &mut u64) -> Vec<Header> {
    loop {
        let (headers, _) = view.headers(*from, Order::OldestFirst, 16, |_| true);
        let mut group: Vec<Header> = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        for header in headers {
            count += header.count;
            bytes += header.bytes.min(MERGED_BYTES * 2);
            let follows = group.last().is_none_or(|last| last.end() == header.first);
            if !group.is_empty() && (count > MERGED || bytes > MERGED_BYTES || !follows) {
                break;
            }
            group.push(header);
        }
        if group.len() != 1 {
            return group;
        }
        *from = group.first().map_or(u64::MAX, Header::end);
    }
}

fn read_block(block: &Block<'_>) -> Result<Vec<Entry>, Error> {
    let assembler = Assembler::new(block)?;
    let entries = (0..block.len()).map(|row| assembler.entry(row)).collect();
    block.fault()?;
    entries
}

/// The database first: without it the others mean nothing, and a name is never used again.
pub(crate) fn remove_files(path: &Path) -> Result<(), Error> {
    for file in segment::files(path) {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::disk("remove", &file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn put_aside(path: &Path) -> Result<PathBuf, Error> {
    let bad = |file: &Path| {
        let mut name = file.as_os_str().to_owned();
        name.push(".bad");
        PathBuf::from(name)
    };
    for file in segment::files(path) {
        match std::fs::rename(&file, bad(&file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::disk("set aside", &file)(error));
            }
            _ => {}
        }
    }
    Ok(bad(path))
}
