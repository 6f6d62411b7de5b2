//! Goal trees: which are there, and the records of one.

use std::collections::HashSet;

use distlog::record::Fields;

use crate::block::directory::KEY;
use crate::block::{Assembler, Block, root_of};
use crate::scan::{Chunk, Prune, Scan};
use crate::shared::Shared;
use crate::{Entry, Error, Order};

/// The first `limit` records of the tree of that root, at and after an offset.
pub(crate) fn goal(shared: &Shared, root: [u8; 16], from: u64, limit: usize) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    if limit == 0 {
        return Ok(entries);
    }
    let prune = Prune { root: Some(root), ..Prune::default() };
    Scan::new(shared, prune, Order::OldestFirst, Some(from))?.walk(shared, |chunk| {
        let left = limit - entries.len();
        match chunk {
            Chunk::Journal(journal) => {
                let of_root = journal.iter().filter(|entry| root_of_row(&*entry.record) == Some(root));
                entries.extend(of_root.take(left).cloned());
            }
            Chunk::Block(block, rows) => {
                let roots = roots_of_rows(block);
                block.fault()?;
                let of_root = rows.clone().filter(|row| roots.get(*row) == Some(&Some(root)));
                let of_root: Vec<usize> = of_root.take(left).collect();
                if !of_root.is_empty() {
                    let assembler = Assembler::new(block)?;
                    let found = of_root.into_iter().map(|row| assembler.entry(row));
                    entries.extend(found.collect::<Result<Vec<_>, _>>()?);
                }
            }
        }
        Ok(entries.len() < limit)
    })?;
    Ok(entries)
}

/// Roots by their newest record, newest first.
pub(crate) fn recent_roots(shared: &Shared, limit: usize) -> Result<Vec<[u8; 16]>, Error> {
    let (mut seen, mut roots) = (HashSet::new(), Vec::new());
    if limit == 0 {
        return Ok(roots);
    }
    let mut add = |root: Option<[u8; 16]>| {
        if let Some(root) = root
            && roots.len() < limit
            && seen.insert(root)
        {
            roots.push(root);
        }
        roots.len() < limit
    };
    Scan::new(shared, Prune::default(), Order::NewestFirst, None)?.walk(shared, |chunk| match chunk {
        Chunk::Journal(entries) => Ok(entries.iter().rev().all(|entry| add(root_of_row(&*entry.record)))),
        Chunk::Block(block, rows) => {
            let roots = roots_of_rows(block);
            block.fault()?;
            Ok(roots.get(rows.clone()).unwrap_or_default().iter().rev().all(|root| add(*root)))
        }
    })?;
    Ok(roots)
}

/// Roots whose hexadecimal digits begin so, in their own order; hyphens do not count. None if there is another character.
pub(crate) fn roots_with_prefix(shared: &Shared, prefix: &str, limit: usize) -> Result<Vec<[u8; 16]>, Error> {
    let digits: String = prefix.chars().filter(|letter| *letter != '-').collect();
    let (Some(lowest), Some(highest)) = (bound(&digits, '0'), bound(&digits, 'f')) else {
        return Ok(Vec::new());
    };
    let mut roots = Vec::new();
    for segment in shared.segments()? {
        let found = shared.view(&segment, |view| {
            let mut found = view.roots_from(&lowest, &highest, limit)?;
            let journal = view.journal(view.blocks_end(), |first| shared.note_damage(first))?;
            let named = journal.iter().filter_map(|entry| root_of_row(&*entry.record));
            found.extend(named.filter(|root| (lowest..=highest).contains(root)));
            Ok(found)
        });
        match found {
            Ok(found) => roots.extend(found.unwrap_or_default()),
            Err(error) if error.is_damage() => shared.note_damage(segment.first),
            Err(error) => return Err(error),
        }
    }
    roots.sort_unstable();
    roots.dedup();
    roots.truncate(limit);
    Ok(roots)
}

/// The lowest or highest root with this prefix.
fn bound(digits: &str, fill: char) -> Option<[u8; 16]> {
    if digits.len() > 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let full: String = digits.chars().chain(std::iter::repeat(fill)).take(32).collect();
    u128::from_str_radix(&full, 16).ok().map(u128::to_be_bytes)
}

fn root_of_row(row: &impl Fields) -> Option<[u8; 16]> {
    Some(row.key()?.goal.root())
}

/// The root of each row, from the key column where it has it.
fn roots_of_rows(block: &Block<'_>) -> Vec<Option<[u8; 16]>> {
    let keys = if block.header.whole { None } else { block.column(KEY) };
    let Some((keys, places)) = keys else {
        return (0..block.len()).map(|row| root_of_row(&block.row(row))).collect();
    };
    let root = |row: usize| match places {
        None => keys.get(row).and_then(root_of),
        Some(places) => match places.get(row).and_then(|place| keys.get(*place as usize)) {
            Some(key) => root_of(key),
            None => root_of_row(&block.row(row)),
        },
    };
    (0..block.len()).map(root).collect()
}
