//! Measures a store: `measure RECORDS.jsonl DIRECTORY [--rows]`. One JSON line per figure on stdout.
//!
//! All on one thread. Ingest reads JSON lines, parses them, and appends what 100 ms brought in one synced commit. Queries are
//! asked with all files in the page cache (`warm`, median of five) and with none (`cold`, median of three, store opened anew;
//! `dd` drops the cached pages). `--rows` does the same with plain SQLite rows under three indexes instead, to compare.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use distlog::filter::Filter;
use distlog::record::{Fields, Record};
use distlog_store::{Error, Options, Order, Query, Reader, Store};

/// The daemon's allocator, so that the figures are the daemon's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Failure = Box<dyn std::error::Error>;

const COMMIT_EVERY: Duration = Duration::from_millis(100);
const MINUTE: i64 = 60_000_000_000;
const MILLION: f64 = 1e6;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, directory, rest @ ..] = arguments.as_slice() else {
        return Err("usage: measure RECORDS.jsonl DIRECTORY [--rows]".into());
    };
    let (file, directory) = (Path::new(file), Path::new(directory));
    if directory.exists() {
        return Err(format!("{} is there already", directory.display()).into());
    }
    let wanted = Wanted::choose(file)?;
    if rest.iter().any(|argument| argument == "--rows") {
        std::fs::create_dir_all(directory)?;
        rows::measure(file, directory, &wanted)
    } else {
        measure_store(file, directory, &wanted)
    }
}

/// What is asked, chosen from the middle of the file.
struct Wanted {
    root: [u8; 16],
    needles: [(&'static str, String); 3],
}

impl Wanted {
    fn choose(file: &Path) -> Result<Self, Failure> {
        let length = std::fs::metadata(file)?.len();
        let mut lines = BufReader::new(std::fs::File::open(file)?);
        std::io::Seek::seek_relative(&mut lines, (length / 2) as i64)?;
        let mut lines = lines.lines().skip(1);
        // Not one of the roots that live as long as the file: those have numbers in the hundreds.
        let record = loop {
            let record = Record::from_json(&lines.next().ok_or("the file is too short")??)?;
            if record.key().is_some_and(|key| key.number < 20) && record.level() == Some(20) {
                break record;
            }
        };
        let message = record.message().ok_or("a record without a message")?.into_owned();
        let number = message.find(|letter: char| letter.is_ascii_digit()).unwrap_or(0);
        let end = message[number..].find(' ').map_or(message.len(), |end| number + end);
        let root = record.key().ok_or("a record without a key")?.goal.root();
        let common = ("common", "for user".to_owned());
        Ok(Self {
            root,
            needles: [("rare", message[..end].to_owned()), ("mid", "expired by worker".to_owned()), common],
        })
    }
}

fn measure_store(file: &Path, directory: &Path, wanted: &Wanted) -> Result<(), Failure> {
    let mut store = Store::open(directory, Options::default())?;
    let mut ingest = Ingest::default();
    ingest.run(file, |records, now| Ok(store.append(now, records, &[]).map(|_| ())?))?;
    ingest.report("store");
    drop(store);
    report("store", "disk", bytes_in(directory) as f64 / ingest.records, "bytes/record");
    queries(directory, wanted, "store")?;
    // The segment closed, and its blocks merged.
    let mut store = Store::open(directory, Options { segment_bytes: 0, ..Options::default() })?;
    let started = Usage::now();
    while store.maintain(ingest.now)?.more {}
    let (_, processor) = started.since();
    drop(store);
    report("store", "merge processor time", processor / ingest.records * MILLION, "s/million");
    report("store", "disk merged", bytes_in(directory) as f64 / ingest.records, "bytes/record");
    queries(directory, wanted, "store merged")
}

fn queries(directory: &Path, wanted: &Wanted, what: &str) -> Result<(), Failure> {
    for (name, needle) in &wanted.needles {
        let query = Query::new(Filter::parse(&format!("\"{needle}\"")).map_err(|error| error.message)?);
        ask(directory, what, &format!("substring {name}"), |reader| {
            reader.count(&query).map(|count| count as usize)
        })?;
    }
    let everything = Query::new(Filter::everything());
    ask(directory, what, "histogram per minute", |reader| {
        reader.histogram(&everything, MINUTE).map(|found| found.len())
    })?;
    ask(directory, what, "tree by id", |reader| reader.goal(wanted.root, 10_000).map(|found| found.len()))?;
    let tail = Query { order: Order::NewestFirst, limit: Some(1000), ..everything };
    ask(directory, what, "tail 1000", |reader| {
        reader.search(&tail)?.collect::<Result<Vec<_>, Error>>().map(|found| found.len())
    })?;
    let errors = Query {
        limit: Some(100),
        ..Query::new(Filter::parse("level>=error name=shop.orders.*").map_err(|error| error.message)?)
    };
    let errors = Query { order: Order::NewestFirst, ..errors };
    ask(directory, what, "last 100 errors of a service", |reader| {
        reader.search(&errors)?.collect::<Result<Vec<_>, Error>>().map(|found| found.len())
    })
}

fn ask(
    directory: &Path,
    what: &str,
    name: &str,
    question: impl Fn(&Reader) -> Result<usize, Error>,
) -> Result<(), Failure> {
    let mut cold = Vec::new();
    for _ in 0..3 {
        forget_pages(directory)?;
        let started = Instant::now();
        question(&Reader::open(directory)?)?;
        cold.push(started.elapsed());
    }
    let reader = Reader::open(directory)?;
    let found = question(&reader)?;
    let (mut warm, mut processor) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let started = Usage::now();
        question(&reader)?;
        let (wall, busy) = started.since();
        warm.push(Duration::from_secs_f64(wall));
        processor.push(Duration::from_secs_f64(busy));
    }
    report(what, &format!("{name} found"), found as f64, "");
    report(what, &format!("{name} warm, processor time"), median(processor), "ms");
    report(what, &format!("{name} cold"), median(cold), "ms");
    report(what, &format!("{name} warm"), median(warm), "ms");
    Ok(())
}

/// Reads a file of JSON lines and commits ten times a second.
#[derive(Default)]
struct Ingest {
    records: f64,
    wall: f64,
    processor: f64,
    commit_processor: f64,
    commits: Vec<Duration>,
    now: i64,
}

impl Ingest {
    fn run(
        &mut self,
        file: &Path,
        mut commit: impl FnMut(Vec<Record>, i64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut lines = BufReader::with_capacity(1 << 20, std::fs::File::open(file)?);
        let (mut line, mut batch) = (String::new(), Vec::new());
        let started = Usage::now();
        let mut last = Instant::now();
        loop {
            line.clear();
            let more = lines.read_line(&mut line)? > 0;
            if more {
                batch.push(Record::from_json(line.trim_end())?);
            }
            if !more || last.elapsed() >= COMMIT_EVERY {
                last = Instant::now();
                let committing = Usage::now();
                self.records += batch.len() as f64;
                self.now =
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos() as i64;
                commit(std::mem::take(&mut batch), self.now)?;
                let (wall, processor) = committing.since();
                self.commits.push(Duration::from_secs_f64(wall));
                self.commit_processor += processor;
            }
            if !more {
                break;
            }
        }
        (self.wall, self.processor) = started.since();
        Ok(())
    }

    fn report(&self, what: &str) {
        report(what, "records", self.records, "");
        report(what, "ingest", self.records / self.wall, "records/s");
        report(what, "ingest by processor time", self.records / self.processor, "records/s");
        report(what, "ingest processor time", self.processor / self.records * MILLION, "s/million");
        report(what, "append processor time", self.commit_processor / self.records * MILLION, "s/million");
        report(what, "commit", median(self.commits.clone()), "ms");
        report(what, "anonymous memory", anonymous_memory(), "MB");
    }
}

/// Wall and processor time.
struct Usage(Instant, f64);

impl Usage {
    fn now() -> Self {
        // Nanoseconds that the thread was on a processor.
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanos = text.split(' ').next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0);
        Self(Instant::now(), nanos / 1e9)
    }

    fn since(&self) -> (f64, f64) {
        (self.0.elapsed().as_secs_f64(), Self::now().1 - self.1)
    }
}

fn anonymous_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1000.0
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|file| file.path());
    files.collect()
}

fn bytes_in(directory: &Path) -> u64 {
    files_in(directory).iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum()
}

fn forget_pages(directory: &Path) -> Result<(), Failure> {
    for file in files_in(directory) {
        let status = Command::new("dd")
            .arg(format!("if={}", file.display()))
            .args(["iflag=nocache", "count=0", "status=none"])
            .status()?;
        if !status.success() {
            return Err("dd could not drop cached pages".into());
        }
    }
    Ok(())
}

fn report(what: &str, figure: &str, value: f64, unit: &str) {
    let line = format!(
        "{{\"bench\":\"store\",\"of\":\"{what}\",\"figure\":\"{figure}\",\"value\":{value:.3},\"unit\":\"{unit}\"}}\n"
    );
    drop(std::io::stdout().write_all(line.as_bytes()));
}

/// The same records as plain rows.
mod rows {
    use super::*;
    use rusqlite::{Connection, params};

    pub(crate) fn measure(file: &Path, directory: &Path, wanted: &Wanted) -> Result<(), Failure> {
        let path = directory.join("rows.db");
        let mut connection = Connection::open(&path)?;
        connection.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
             CREATE TABLE record(id INTEGER PRIMARY KEY, created INTEGER, level INTEGER, name TEXT, root BLOB, message TEXT, json TEXT);
             CREATE INDEX by_created ON record(created); CREATE INDEX by_level ON record(level, name); CREATE INDEX by_root ON record(root);",
        )?;
        let mut ingest = Ingest::default();
        ingest.run(file, |records, _| {
            let transaction = connection.transaction()?;
            let mut insert = transaction.prepare_cached(
                "INSERT INTO record(created, level, name, root, message, json) VALUES (?,?,?,?,?,?)",
            )?;
            for record in &records {
                let name = record.get("name").and_then(|name| name.into_str());
                let root = record.key().map(|key| key.goal.root());
                insert.execute(params![
                    record.created(),
                    record.level(),
                    name,
                    root,
                    record.message(),
                    record.as_json()
                ])?;
            }
            drop(insert);
            Ok(transaction.commit()?)
        })?;
        ingest.report("sqlite rows");
        drop(connection);
        report("sqlite rows", "disk", bytes_in(directory) as f64 / ingest.records, "bytes/record");
        for (name, needle) in &wanted.needles {
            ask(
                &path,
                &format!("substring {name}"),
                &format!("SELECT id FROM record WHERE message LIKE '%{needle}%'"),
            )?;
        }
        ask(
            &path,
            "histogram per minute",
            "SELECT created / 60000000000 AS minute, level, count(*) FROM record GROUP BY 1, 2",
        )?;
        let root: String = wanted.root.iter().map(|byte| format!("{byte:02x}")).collect();
        ask(&path, "tree by id", &format!("SELECT json FROM record WHERE root = x'{root}' ORDER BY id"))?;
        ask(&path, "tail 1000", "SELECT json FROM record ORDER BY id DESC LIMIT 1000")?;
        let errors = "SELECT json FROM record WHERE level = 40 AND name LIKE 'shop.orders.%' ORDER BY id DESC LIMIT 100";
        ask(&path, "last 100 errors of a service", errors)
    }

    fn ask(path: &Path, name: &str, select: &str) -> Result<(), Failure> {
        let question = |connection: &Connection| -> Result<usize, Failure> {
            let mut statement = connection.prepare_cached(select)?;
            let mut rows = statement.query([])?;
            let mut found = 0;
            while let Some(row) = rows.next()? {
                std::hint::black_box(row.get_ref(0)?);
                found += 1;
            }
            Ok(found)
        };
        let (mut cold, mut warm) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            forget_pages(path.parent().ok_or("no directory")?)?;
            let started = Instant::now();
            question(&Connection::open(path)?)?;
            cold.push(started.elapsed());
        }
        let connection = Connection::open(path)?;
        let found = question(&connection)?;
        for _ in 0..5 {
            let started = Instant::now();
            question(&connection)?;
            warm.push(started.elapsed());
        }
        report("sqlite rows", &format!("{name} found"), found as f64, "");
        report("sqlite rows", &format!("{name} cold"), median(cold), "ms");
        report("sqlite rows", &format!("{name} warm"), median(warm), "ms");
        Ok(())
    }
}
