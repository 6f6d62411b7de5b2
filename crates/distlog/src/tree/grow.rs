//! One goal of the arena and all below it → a [`Tree`]. Paths are at most 256 long, so recursion is bounded.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::forest::{Forest, Goal, Says};
use super::{Liveness, Part, RecordRef, Status, Tree};
use crate::GoalId;
use crate::goal::LOTS;
use crate::record::SECOND;

/// A goal names no more processes than this: every goal above repeats the names.
const MAX_PROCESSES: usize = 1000;

pub(super) fn tree(forest: &Forest, goal: &Goal, id: GoalId, liveness: &Liveness) -> Tree {
    let (begin, end) = (goal.says(Part::Begin), goal.says(Part::End));
    let mut children: Vec<Tree> = goal
        .children
        .iter()
        .filter_map(|(number, at)| Some(tree(forest, forest.at(*at)?, id.child(*number), liveness)))
        .collect();
    let own_records: Vec<RecordRef> = goal.records().cloned().collect();
    let last = own_records
        .iter()
        .map(|record| record.created)
        .chain(children.iter().map(|c| c.last))
        .max()
        .flatten();
    let process = own_records.iter().find_map(|record| record.process.clone());
    let status = status(goal, end.map(|(_, says)| says), last, liveness);
    let gaps = gaps(goal, end.map(|(_, says)| says));
    add_awaited(&mut children, &gaps.awaited, &id);
    let begin_time = begin.and_then(|(record, _)| record.created);
    Tree {
        title: goal.title().unwrap_or_default().to_owned(),
        status,
        begin: begin_time,
        end: end.and_then(|(record, _)| record.created),
        last,
        duration: duration(status, begin_time, end, last, liveness.now),
        processes: processes(&own_records, &children),
        process,
        logger: own_records.iter().find_map(|record| record.logger.clone()),
        records: own_records.len() as u64 + children.iter().map(|child| child.records).sum::<u64>(),
        missing: gaps.runs.iter().map(|run| run_name(*run, &id)).collect(),
        missing_count: gaps.runs.iter().map(|(first, last)| u64::from(last - first) + 1).sum(),
        error: end.and_then(|(_, says)| says.error.clone()),
        link: begin.and_then(|(_, says)| says.link.clone()),
        own_records,
        children,
        id,
    }
}

fn status(goal: &Goal, end: Option<&Says>, last: Option<i64>, liveness: &Liveness) -> Status {
    if let Some(end) = end {
        return if end.failed { Status::Failed } else { Status::Succeeded };
    }
    let Some(newest) = goal.records().last() else {
        return Status::Unknown;
    };
    let gone = newest.process.as_ref().is_some_and(|process| liveness.gone.contains(&**process));
    let quiet = last
        .zip(liveness.silent_after)
        .is_some_and(|(last, limit)| liveness.now.saturating_sub(last) > limit);
    if gone || quiet { Status::Silent } else { Status::Running }
}

fn duration(
    status: Status,
    begin: Option<i64>,
    end: Option<(&RecordRef, &Says)>,
    last: Option<i64>,
    now: i64,
) -> Option<f64> {
    if let Some(said) = end.and_then(|(_, says)| says.duration) {
        return Some(said);
    }
    let until = match status {
        Status::Succeeded | Status::Failed => end.and_then(|(record, _)| record.created),
        Status::Running => Some(now),
        _ => last,
    };
    // Clocks of two processes may disagree: no goal takes less than no time.
    Some(until?.saturating_sub(begin?).max(0) as f64 / SECOND as f64)
}

/// What became of the numbers of which nothing was seen.
struct Gaps {
    awaited: Vec<u32>,
    /// First and last number of each run, both included.
    runs: Vec<(u32, u32)>,
}

fn gaps(goal: &Goal, end: Option<&Says>) -> Gaps {
    let mut seen: BTreeSet<u32> = goal.records.keys().chain(goal.children.keys()).copied().collect();
    // Without the end record's word, nothing above the highest number seen is known to have been drawn; lots tell nothing.
    let highest = seen.range(..LOTS).next_back().copied();
    let count = end.and_then(|end| end.count).or(highest).map_or(0, u64::from);
    let handed = end.map(|end| end.awaited.as_slice()).unwrap_or_default();
    let awaited: BTreeSet<u32> = handed.iter().copied().filter(|number| !seen.contains(number)).collect();
    seen.extend(&awaited);
    let (mut runs, mut next) = (Vec::new(), 0_u64);
    for number in seen.into_iter().map(u64::from).take_while(|number| *number < count).chain([count]) {
        if number > next {
            // Both are below a count that fits.
            runs.push((next as u32, (number - 1) as u32));
        }
        next = number + 1;
    }
    Gaps { awaited: awaited.into_iter().collect(), runs }
}

fn add_awaited(children: &mut Vec<Tree>, awaited: &[u32], id: &GoalId) {
    if !awaited.is_empty() {
        children.extend(awaited.iter().map(|number| Tree::awaited(id.child(*number))));
        children.sort_by(|a, b| a.id.cmp(&b.id));
    }
}

impl Tree {
    fn awaited(id: GoalId) -> Self {
        Self {
            id,
            title: String::new(),
            status: Status::Awaited,
            begin: None,
            end: None,
            last: None,
            duration: None,
            processes: Vec::new(),
            process: None,
            logger: None,
            records: 0,
            own_records: Vec::new(),
            missing: Vec::new(),
            missing_count: 0,
            error: None,
            link: None,
            children: Vec::new(),
        }
    }
}

/// Labels by the number of the record, or of the child, that brings them in.
fn processes(records: &[RecordRef], children: &[Tree]) -> Vec<String> {
    let own = records.iter().filter_map(|record| Some((record.number, record.process.as_deref()?)));
    let number = |child: &Tree| child.id.path().last().copied().unwrap_or_default();
    let below = children
        .iter()
        .flat_map(|child| child.processes.iter().map(move |label| (number(child), label.as_str())));
    let mut labels: Vec<(u32, &str)> = own.chain(below).collect();
    labels.sort_by_key(|(number, _)| *number);
    let mut known = BTreeSet::new();
    let new = labels.into_iter().filter(|(_, label)| known.insert(*label));
    new.map(|(_, label)| label.to_owned()).take(MAX_PROCESSES).collect()
}

fn run_name((first, last): (u32, u32), id: &GoalId) -> String {
    let mut name = first.to_string();
    if last > first {
        // Writing to a String cannot fail.
        let _written = write!(name, "-{last}");
    }
    let _written = write!(name, "@{id}");
    name
}
