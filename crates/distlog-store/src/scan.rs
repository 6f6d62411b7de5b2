//! Walks over the store in order of offsets, one block or the journal at a time.
//!
//! A walk keeps nothing but the offset it has come to. Each step reads a snapshot of one segment and lets go of it again,
//! so a slow reader holds up no checkpoint, and blocks may be merged and segments rolled or removed between two steps.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::block::{Block, Header};
use crate::segment::{Segment, View};
use crate::shared::Shared;
use crate::{Entry, Error, Order};

/// Blocks visited in one snapshot at most.
const PAGE: usize = 64;

/// What can be ruled out by the headers of blocks. The journal is always visited.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prune {
    pub(crate) since: Option<i64>,
    pub(crate) until: Option<i64>,
    pub(crate) level: Option<i64>,
    pub(crate) root: Option<[u8; 16]>,
}

impl Prune {
    fn keeps(&self, header: &Header) -> bool {
        self.since.is_none_or(|since| header.times.1 >= since)
            && self.until.is_none_or(|until| header.times.0 < until)
            && self.level.is_none_or(|level| header.has_level(level))
    }
}

/// What a walk comes to.
pub(crate) enum Chunk<'a> {
    /// Some rows of a block.
    Block(&'a Block<'a>, Range<usize>),
    /// Records of the journal, oldest first.
    Journal(&'a [Entry]),
}

/// An error once that much time has passed.
pub(crate) fn check_patience(begun: Instant, patience: Option<Duration>) -> Result<(), Error> {
    match patience {
        Some(after) if begun.elapsed() >= after => Err(Error::TimeUp { after }),
        _ => Ok(()),
    }
}

/// Where a walk is.
pub(crate) struct Scan {
    pub(crate) prune: Prune,
    order: Order,
    /// Oldest first: the next offset to visit. Newest first: all below it are still to be visited.
    position: u64,
    /// Oldest first only: the walk ends here.
    end: u64,
    done: bool,
    /// The longest a walk to the end may take.
    patience: Option<Duration>,
}

impl Scan {
    /// A walk from there (the order's own beginning if `None`) over all that is there now.
    pub(crate) fn new(shared: &Shared, prune: Prune, order: Order, from: Option<u64>) -> Result<Self, Error> {
        let end = shared.next()?;
        let position = match order {
            Order::OldestFirst => from.unwrap_or(0),
            Order::NewestFirst => from.unwrap_or(end).min(end),
        };
        Ok(Self { prune, order, position, end, done: false, patience: None })
    }

    /// The same walk, which may take only so long.
    pub(crate) fn within(self, patience: Option<Duration>) -> Self {
        Self { patience, ..self }
    }

    /// Walks to the end, or until `visit` returns false; an error if that takes too long.
    pub(crate) fn walk(
        &mut self,
        shared: &Shared,
        mut visit: impl FnMut(&Chunk<'_>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        while self.step(shared, &mut visit)? {
            check_patience(begun, self.patience)?;
        }
        Ok(())
    }

    /// Walks a page. False when there is no more, or `visit` returned false.
    pub(crate) fn step(
        &mut self,
        shared: &Shared,
        visit: &mut impl FnMut(&Chunk<'_>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let segments = shared.segments()?;
        let Some((segment, after)) = self.choose(&segments) else {
            self.done = true;
            return Ok(false);
        };
        let visited = shared.view(segment, |view| self.page(view, after, shared, visit));
        match visited {
            Ok(Some(go_on)) => Ok(go_on),
            Ok(None) => {
                self.leave(segment, after);
                Ok(true)
            }
            Err(error) if error.is_damage() => {
                shared.note_damage(segment.first);
                self.leave(segment, after);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether everything has been visited.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// The segment to visit next, and where the one after it begins.
    fn choose<'s>(&mut self, segments: &'s [std::sync::Arc<Segment>]) -> Option<(&'s Segment, u64)> {
        let at = match self.order {
            Order::OldestFirst => {
                let first = segments.first()?.first;
                self.position = self.position.max(first);
                if self.position >= self.end {
                    return None;
                }
                segments.partition_point(|segment| segment.first <= self.position).checked_sub(1)?
            }
            Order::NewestFirst => {
                segments.partition_point(|segment| segment.first < self.position).checked_sub(1)?
            }
        };
        let after = segments.get(at + 1).map_or(u64::MAX, |segment| segment.first);
        Some((segments.get(at)?, after))
    }

    fn leave(&mut self, segment: &Segment, after: u64) {
        self.position = match self.order {
            Order::OldestFirst => after,
            Order::NewestFirst => segment.first,
        };
    }

    fn page(
        &mut self,
        view: &View<'_>,
        after: u64,
        shared: &Shared,
        visit: &mut impl FnMut(&Chunk<'_>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let newest_first = self.order == Order::NewestFirst;
        if newest_first {
            let blocks_end = view.blocks_end();
            if self.position > blocks_end && !self.journal(view, blocks_end, shared, visit)? {
                return Ok(false);
            }
            self.position = self.position.min(blocks_end);
        }
        let keep = |header: &Header| self.prune.keeps(header);
        let (headers, exhausted) = match &self.prune.root {
            Some(root) => view.headers_of(root, self.position, self.order, PAGE, keep)?,
            None => view.headers(self.position, self.order, PAGE, keep),
        };
        for header in headers {
            if !self.block(view, header, shared, visit)? {
                return Ok(false);
            }
        }
        if exhausted {
            if !newest_first {
                let from = self.position.max(view.blocks_end());
                if !self.journal(view, from, shared, visit)? {
                    return Ok(false);
                }
            }
            self.leave(view.segment, after);
        }
        Ok(true)
    }

    fn block(
        &mut self,
        view: &View<'_>,
        header: Header,
        shared: &Shared,
        visit: &mut impl FnMut(&Chunk<'_>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let row = |offset: u64| offset.clamp(header.first, header.end()) - header.first;
        let rows = match self.order {
            Order::OldestFirst => row(self.position)..row(self.end),
            Order::NewestFirst => 0..row(self.position),
        };
        self.position = match self.order {
            Order::OldestFirst => header.end(),
            Order::NewestFirst => header.first,
        };
        if rows.is_empty() {
            return Ok(true);
        }
        let block = Block::new(header, view);
        let visited = visit(&Chunk::Block(&block, rows.start as usize..rows.end as usize));
        match block.fault().and(visited) {
            Err(error) if error.is_damage() => {
                shared.note_damage(header.first);
                Ok(true)
            }
            other => other,
        }
    }

    fn journal(
        &mut self,
        view: &View<'_>,
        from: u64,
        shared: &Shared,
        visit: &mut impl FnMut(&Chunk<'_>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let below = if self.order == Order::OldestFirst { self.end } else { self.position };
        let mut entries = view.journal(from, |first| shared.note_damage(first))?;
        entries.retain(|entry| entry.offset < below);
        let Some(last) = entries.last() else { return Ok(true) };
        self.position = if self.order == Order::OldestFirst { last.offset + 1 } else { from };
        visit(&Chunk::Journal(&entries))
    }
}
