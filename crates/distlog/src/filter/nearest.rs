//! "Did you mean …?": the nearest of a few known names.

/// The candidate that is fewest edits away, if that is close enough to be a slip of the finger.
pub fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    nearest_within(name, candidates, if name.chars().count() <= 3 { 1 } else { 2 })
}

/// The candidate that is fewest edits away, and no more than `most`.
pub(super) fn nearest_within<'a>(name: &str, candidates: &[&'a str], most: usize) -> Option<&'a str> {
    let name = name.to_lowercase();
    let distances = candidates.iter().map(|candidate| (distance(&name, candidate), *candidate));
    distances
        .filter(|(edits, _)| *edits <= most)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// How many letters to insert, remove, replace or swap with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) =
        (left.chars().take(64).collect(), right.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut best =
                (cell(&row, j) + usize::from(a != b)).min(cell(&row, j + 1) + 1).min(cell(&next, j) + 1);
            let swapped = i > 0 && j > 0 && left.get(i - 1) == Some(b) && right.get(j - 1) == Some(a);
            if swapped {
                best = best.min(cell(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}
