//! A tree as text:
//!
//! ```text
//! 7f3a2c1e · checkout cart 991 · FAILED after 2.493 s · 5 processes, 14 records (2 missing) · 14:02:07.118 +01:00
//! ✗ checkout cart 991                    web-1   2.493 s  ▕████████████████▏
//! ├─ ✓ reserve stock                     web-1     40 ms  ▕▌               ▏
//! └─ ✗ charge card  PspError: declined   pay-1   2.441 s  ▕ ███████████████▏
//!    ├─ WARN  attempt 1 timed out               +2.053 s  ▕             ·  ▏
//!    └─ ? records 5-6 of 7f3a/2 never arrived
//! ```
//!
//! Goals, records and gaps of one goal stand in the order of their numbers, which is the order they happened in.
//! Without a terminal there are no bars and nothing is aligned. A tree larger than [`MOST_GOALS`] is folded.

use anstyle::Style;
use distlog::Raw;
use jiff::tz::TimeZone;

use super::{status_style, symbol};
use crate::terminal::{Look, columns, cut, escape, fit, level_style, name_style};
use crate::time;

/// Larger trees are shown to depth 3, unless the user names a depth.
pub const MOST_GOALS: usize = 2000;
const FOLDED_DEPTH: usize = 3;
/// Columns of a bar.
const BAR: usize = 24;
/// Ids nest no deeper than this; what the daemon sends is not trusted to hold to it.
const MOST_DEPTH: usize = 300;

/// A goal as the API describes it.
#[derive(Debug, Clone, Default)]
pub struct Goal {
    /// succeeded, failed, running, silent, awaited or unknown.
    pub status: String,
    id: String,
    title: String,
    duration: Option<f64>,
    processes: usize,
    process: Option<String>,
    records: i64,
    missing: Vec<String>,
    begin: Option<i64>,
    last: Option<i64>,
    error: Option<String>,
    own_records: Vec<Line>,
    children: Vec<Goal>,
}

/// A record as the API describes it.
#[derive(Debug, Clone)]
struct Line {
    number: u32,
    level: i64,
    created: Option<i64>,
    message: String,
}

/// How to draw.
pub struct Picture<'a> {
    /// Width, colours, symbols.
    pub look: Look,
    /// The zone of the head line's time.
    pub zone: &'a TimeZone,
    /// The present (ns).
    pub now: i64,
    /// Whether only failed goals are shown, and those above them.
    pub only_failed: bool,
    /// How deep to go.
    pub depth: Option<usize>,
}

/// One line of the picture before it is laid out.
struct Row {
    text: String,
    style: Style,
    process: String,
    length: String,
    bar: Option<(i64, i64, char)>,
    after: String,
}

/// Columns of the terminal, and of each cell.
struct Widths {
    whole: usize,
    text: usize,
    process: usize,
    length: usize,
    bar: usize,
}

/// What hangs below a goal, by its number.
enum Twig<'a> {
    Goal(&'a Goal),
    Record(&'a Line),
    Gap(&'a str),
}

impl Goal {
    /// Reads one, with all below it.
    pub fn read(json: Raw<'_>) -> Self {
        Self::read_below(json, 0)
    }

    /// Whether this goal, or one below it, may still become something else.
    pub fn may_change(&self) -> bool {
        matches!(self.status.as_str(), "running" | "awaited" | "unknown")
            || self.children.iter().any(Self::may_change)
    }

    fn read_below(json: Raw<'_>, depth: usize) -> Self {
        let mut goal = Self::default();
        for (name, value) in json.members() {
            let text = || value.into_str().map(|text| text.into_owned());
            match name {
                "id" => goal.id = text().unwrap_or_default(),
                "title" => goal.title = text().unwrap_or_default(),
                "status" => goal.status = text().unwrap_or_default(),
                "duration" => goal.duration = value.as_f64(),
                "processes" => goal.processes = value.members().count(),
                "process" => goal.process = text(),
                "records" => goal.records = value.as_i64().unwrap_or(0),
                "missing" => {
                    goal.missing =
                        value.members().filter_map(|(_, gap)| Some(gap.into_str()?.into_owned())).collect();
                }
                "begin" => goal.begin = value.seconds_to_ns(),
                "last" => goal.last = value.seconds_to_ns(),
                "error" => goal.error = text(),
                "own_records" => {
                    goal.own_records = value.members().filter_map(|(_, line)| Line::read(line)).collect()
                }
                "children" if depth < MOST_DEPTH => {
                    goal.children =
                        value.members().map(|(_, child)| Self::read_below(child, depth + 1)).collect();
                }
                _ => {}
            }
        }
        goal
    }

    fn count(&self, counts: &dyn Fn(&Self) -> usize) -> usize {
        counts(self) + self.children.iter().map(|child| child.count(counts)).sum::<usize>()
    }

    fn has_failed(&self) -> bool {
        self.status == "failed" || self.children.iter().any(Self::has_failed)
    }

    fn is_ended(&self) -> bool {
        matches!(self.status.as_str(), "succeeded" | "failed")
    }

    fn number(&self) -> u32 {
        self.id.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// First digits of the root, and the path.
    fn short_id(&self, digits: usize) -> String {
        let (root, path) = self.id.split_at(self.id.find('/').unwrap_or(self.id.len()));
        escape(&format!("{}{path}", root.get(..digits).unwrap_or(root))).into_owned()
    }
}

impl Line {
    /// Begin and end records are the goal's own line already.
    fn read(json: Raw<'_>) -> Option<Self> {
        let part = json.walk("part").and_then(Raw::into_str);
        if part.is_some_and(|part| part != "inner") {
            return None;
        }
        Some(Self {
            number: json.walk("number")?.as_i64().and_then(|number| u32::try_from(number).ok())?,
            level: json.walk("level").and_then(Raw::as_i64).unwrap_or(0),
            created: json.walk("created").and_then(Raw::seconds_to_ns),
            message: json.walk("message").and_then(Raw::into_str)?.into_owned(),
        })
    }
}

impl Picture<'_> {
    /// The whole picture, each line with its end.
    pub fn draw(&self, root: &Goal) -> String {
        let depth = self.depth.or_else(|| (root.count(&|_| 1) > MOST_GOALS).then_some(FOLDED_DEPTH));
        let mut rows = Vec::new();
        self.put_goal(&mut rows, root, "", "", depth.unwrap_or(usize::MAX));
        rows.iter_mut().for_each(|row| row.name_moment(root.begin.unwrap_or(0)));
        let mut text = self.head(root);
        self.lay_out(&mut text, &rows, root);
        text
    }

    fn head(&self, root: &Goal) -> String {
        let mut parts = vec![root.short_id(8), escape(&root.title).into_owned()];
        let length = root.duration.map(time::show_duration).unwrap_or_else(|| "?".to_owned());
        let open = root.count(&|goal| usize::from(!goal.is_ended())) - usize::from(!root.is_ended());
        let open = if open > 0 { format!(", {} still open", counted(open, "goal")) } else { String::new() };
        let standing = match root.status.as_str() {
            "succeeded" => format!("succeeded after {length}"),
            "failed" => format!("FAILED after {length}"),
            "running" => format!("running for {length}"),
            other => format!("{} after {length}", escape(other)),
        };
        parts.push(format!("{}{open}", self.look.paint(status_style(&root.status).bold(), &standing)));
        let missing = root.count(&|goal| goal.missing.iter().map(|gap| gap_size(gap)).sum());
        let missing = if missing > 0 { format!(" ({missing} missing)") } else { String::new() };
        let records = counted(usize::try_from(root.records).unwrap_or(0), "record");
        parts.push(format!("{}, {records}{missing}", counted_processes(root.processes)));
        if let Some(begin) = root.begin {
            parts.push(format!(
                "{} {}",
                time::show_clock(begin, self.zone),
                time::show_offset(begin, self.zone)
            ));
        }
        parts.join(if self.look.ascii { " - " } else { " · " }) + "\n"
    }

    fn put_goal(&self, rows: &mut Vec<Row>, goal: &Goal, stem: &str, below: &str, depth: usize) {
        rows.push(self.goal_row(goal, stem));
        let mut twigs = self.twigs(goal);
        if depth == 0 {
            if !goal.children.is_empty() {
                let goals = goal.count(&|_| 1) - 1;
                let failed = goal.count(&|goal| usize::from(goal.status == "failed"))
                    - usize::from(goal.status == "failed");
                let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
                rows.push(Row::plain(format!(
                    "{below}{}+ {}{failed}",
                    self.twig(true).0,
                    counted(goals, "goal")
                )));
            }
            return;
        }
        twigs.sort_by_key(|(number, _)| *number);
        let last = twigs.len().saturating_sub(1);
        for (at, (_, twig)) in twigs.iter().enumerate() {
            let (fork, space) = self.twig(at == last);
            let stem = format!("{below}{fork}");
            match twig {
                Twig::Goal(child) => self.put_goal(rows, child, &stem, &format!("{below}{space}"), depth - 1),
                Twig::Record(line) => rows.push(record_row(line, &stem)),
                Twig::Gap(gap) => rows.push(gap_row(gap, &stem)),
            }
        }
    }

    fn twigs<'a>(&self, goal: &'a Goal) -> Vec<(u32, Twig<'a>)> {
        let children = goal.children.iter().filter(|child| !self.only_failed || child.has_failed());
        let children = children.map(|child| (child.number(), Twig::Goal(child)));
        let records = goal.own_records.iter().map(|line| (line.number, Twig::Record(line)));
        let gaps = goal.missing.iter().map(|gap| (gap_start(gap), Twig::Gap(gap)));
        children.chain(records).chain(gaps).collect()
    }

    fn goal_row(&self, goal: &Goal, stem: &str) -> Row {
        let symbol = symbol(&goal.status, &self.look);
        if goal.status == "awaited" {
            let text = format!("{} handed to another process, nothing received yet", goal.short_id(4));
            return Row::plain(format!("{stem}{symbol} {text}"));
        }
        let title = if goal.title.is_empty() { goal.short_id(4) } else { escape(&goal.title).into_owned() };
        let error = goal.error.as_ref().map(|error| format!("  {}", escape(error))).unwrap_or_default();
        let length = goal.duration.map(time::show_duration).unwrap_or_default();
        let is_open = !goal.is_ended();
        let quiet =
            goal.last.filter(|_| is_open).map(|last| self.now.saturating_sub(last).max(0) as f64 / 1e9);
        let after =
            quiet.map(|quiet| format!("last record {} ago", time::show_duration(quiet))).unwrap_or_default();
        let end =
            goal.begin.zip(goal.duration).map(|(begin, length)| begin.saturating_add((length * 1e9) as i64));
        let end = if is_open { goal.last.max(end) } else { end };
        Row {
            text: format!("{stem}{symbol} {title}{error}"),
            style: if goal.status == "succeeded" { Style::new() } else { status_style(&goal.status) },
            process: goal.process.as_deref().map(|process| escape(process).into_owned()).unwrap_or_default(),
            length: if is_open && !length.is_empty() { format!("{length} {}", self.dots()) } else { length },
            bar: goal.begin.zip(end).map(|(begin, end)| (begin, end, if is_open { '▸' } else { '█' })),
            after,
        }
    }

    fn twig(&self, is_last: bool) -> (&'static str, &'static str) {
        match (self.look.ascii, is_last) {
            (false, false) => ("├─ ", "│  "),
            (false, true) => ("└─ ", "   "),
            (true, false) => ("|- ", "|  "),
            (true, true) => ("`- ", "   "),
        }
    }

    fn dots(&self) -> &'static str {
        if self.look.ascii { "..." } else { "…" }
    }

    fn lay_out(&self, text: &mut String, rows: &[Row], root: &Goal) {
        let Some(width) = self.look.width else {
            rows.iter().for_each(|row| text.push_str(&row.unaligned()));
            return;
        };
        let starts = root.begin.unwrap_or(0);
        let ends = rows.iter().filter_map(|row| row.bar.map(|(_, end, _)| end)).max().unwrap_or(starts);
        let widths = Widths::of(rows, width);
        for row in rows {
            text.push_str(self.line(row, &widths, (starts, ends)).trim_end());
            text.push('\n');
        }
    }

    fn line(&self, row: &Row, widths: &Widths, whole: (i64, i64)) -> String {
        if row.is_sentence() {
            return self.look.paint(row.style, cut(&row.text, widths.whole)).into_owned();
        }
        let mut line = self.look.paint(row.style, &fit(&row.text, widths.text, &self.look)).into_owned();
        if widths.process > 0 {
            let process = fit(&row.process, widths.process, &self.look);
            line.push_str(&format!("  {}", self.look.paint(name_style(&row.process), &process)));
        }
        let padding = " ".repeat(widths.length.saturating_sub(columns(&row.length)));
        line.push_str(&format!("{padding}  {}", row.length));
        if let Some(stretch) = row.bar.filter(|_| widths.bar > 0) {
            line.push_str(&format!("  {}", self.bar(stretch, whole)));
            if !row.after.is_empty() && widths.used() + 3 + columns(&row.after) <= widths.whole {
                line.push_str(&format!("   {}", row.after));
            }
        }
        line
    }

    /// The stretch of the whole that it took; a running goal's has an open end, a record is a point.
    fn bar(&self, (begin, end, kind): (i64, i64, char), (starts, ends): (i64, i64)) -> String {
        let whole = (ends.saturating_sub(starts)).max(1) as f64;
        let cell =
            |moment: i64| (moment.saturating_sub(starts).max(0) as f64 / whole * BAR as f64).min(BAR as f64);
        let (from, to) = (cell(begin), cell(end));
        let first = (from.floor() as usize).min(BAR - 1);
        let after = (to.ceil() as usize).clamp(first + 1, BAR);
        let (full, half, point, left, right) =
            if self.look.ascii { ('#', ':', '.', '|', '|') } else { ('█', '▌', '·', '▕', '▏') };
        let mut bar = String::from(left);
        for at in 0..BAR {
            bar.push(match kind {
                _ if at < first || at >= after => ' ',
                '·' => point,
                '▸' if at + 1 == after => {
                    if self.look.ascii {
                        '>'
                    } else {
                        '▸'
                    }
                }
                _ if to - from < 0.5 => half,
                _ => full,
            });
        }
        bar.push(right);
        bar
    }
}

impl Widths {
    fn of(rows: &[Row], whole: usize) -> Self {
        let aligned = || rows.iter().filter(|row| !row.is_sentence());
        let widest = |cell: fn(&Row) -> &str| aligned().map(|row| columns(cell(row))).max().unwrap_or(0);
        let process = if whole < 60 { 0 } else { widest(|row| &row.process).min(20) };
        let bar = if whole < 90 { 0 } else { BAR + 2 };
        let mut widths =
            Self { whole, text: 0, process, length: widest(|row| &row.length).clamp(7, 12), bar };
        widths.text = widest(|row| &row.text).clamp(12, whole.saturating_sub(widths.used()).max(12));
        widths
    }

    /// Columns of all cells and the gaps between them.
    fn used(&self) -> usize {
        let gaps = 2 + 2 * usize::from(self.process > 0) + 2 * usize::from(self.bar > 0);
        self.text + self.process + self.length + self.bar + gaps
    }
}

impl Row {
    /// For a pipe.
    fn unaligned(&self) -> String {
        let cells = [&self.text, &self.process, &self.length, &self.after];
        let cells: Vec<&str> =
            cells.into_iter().map(String::as_str).filter(|cell| !cell.is_empty()).collect();
        cells.join("  ") + "\n"
    }

    fn plain(text: String) -> Self {
        Self {
            text,
            style: Style::new(),
            process: String::new(),
            length: String::new(),
            bar: None,
            after: String::new(),
        }
    }

    /// A record's length is how long after the root's begin it was made.
    fn name_moment(&mut self, starts: i64) {
        if let Some((at, _, '·')) = self.bar {
            self.length = format!("+{}", time::show_duration(at.saturating_sub(starts) as f64 / 1e9));
        }
    }

    /// Whether it is a sentence, and has no other columns.
    fn is_sentence(&self) -> bool {
        self.length.is_empty() && self.bar.is_none() && self.process.is_empty()
    }
}

fn record_row(line: &Line, stem: &str) -> Row {
    let word = match line.level {
        ..20 => "DEBUG",
        20..30 => "INFO ",
        30..40 => "WARN ",
        40..50 => "ERROR",
        _ => "CRIT ",
    };
    let message = escape(line.message.lines().next().unwrap_or_default()).into_owned();
    Row {
        text: format!("{stem}{word} {message}"),
        style: level_style(line.level),
        bar: line.created.map(|created| (created, created, '·')),
        ..Row::plain(String::new())
    }
}

/// `5-6@<goal id>` as words.
fn gap_row(gap: &str, stem: &str) -> Row {
    let (numbers, goal) = gap.split_once('@').unwrap_or((gap, ""));
    let (root, path) = goal.split_at(goal.find('/').unwrap_or(goal.len()));
    let goal = format!("{}{path}", root.get(..4).unwrap_or(root));
    let word = if gap_size(gap) == 1 { "record" } else { "records" };
    let text = format!("{stem}? {word} {} of {} never arrived", escape(numbers), escape(&goal));
    Row { style: status_style("unknown"), ..Row::plain(text) }
}

fn gap_start(gap: &str) -> u32 {
    let digits = gap.split(['-', '@']).next().unwrap_or_default();
    digits.parse().unwrap_or(u32::MAX)
}

fn gap_size(gap: &str) -> usize {
    let numbers = gap.split('@').next().unwrap_or_default();
    let end = numbers.split_once('-').and_then(|(_, end)| end.parse::<u32>().ok());
    end.map_or(1, |end| end.saturating_sub(gap_start(gap)) as usize + 1)
}

fn counted(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

fn counted_processes(count: usize) -> String {
    if count == 1 { "1 process".to_owned() } else { format!("{count} processes") }
}
