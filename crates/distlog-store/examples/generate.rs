//! Writes realistic records as JSON lines: `generate COUNT [SEED] > records.jsonl`. The same arguments give the same bytes.
//!
//! 20 services with 27 call sites each log about 140 records a second of simulated time. Work comes as goal trees of 42
//! records spread over services, two dozen at a time; five roots live as long as the file, as a daemon's main loop does.
//! Records arrive up to 8 ms out of order. Levels: DEBUG 29 %, INFO 69 %, WARNING 1.4 %, ERROR 0.5 %; two errors in three have a traceback.

use std::fmt::Write as _;
use std::io::Write as _;

const SERVICES: [&str; 20] = [
    "gateway", "auth", "orders", "billing", "stock", "search", "mail", "images", "reports", "pricing",
    "cart", "users", "export", "audit", "sync", "notify", "queue", "ledger", "routes", "profile",
];
const SITES: usize = 27;
const VERBS: [&str; 12] = [
    "accepted",
    "rejected",
    "stored",
    "loaded",
    "refreshed",
    "queued",
    "validated",
    "sent",
    "received",
    "parsed",
    "merged",
    "expired",
];
const NOUNS: [&str; 15] = [
    "order",
    "invoice",
    "session",
    "basket",
    "picture",
    "report",
    "token",
    "price list",
    "parcel",
    "account",
    "address",
    "voucher",
    "message",
    "query",
    "page",
];
const TAILS: [&str; 9] = [
    "in %s ms",
    "for user %s",
    "after %s attempts",
    "by worker %s",
    "with status %s",
    "from cache line %s",
    "under key %s",
    "(%s bytes)",
    "at step %s",
];
const TREE_RECORDS: u32 = 42;
const LIVE_TREES: usize = 24;
const START: u64 = 1_790_000_000_000_000;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().ok());
    let Some(Some(count)) = arguments.next() else {
        return Err(std::io::Error::other("usage: generate COUNT [SEED] > records.jsonl"));
    };
    let mut world = World::new(arguments.next().flatten().unwrap_or(1));
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let mut line = String::new();
    for _ in 0..count {
        line.clear();
        world.record(&mut line);
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    out.flush()
}

/// xorshift: quick, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// A place in a program that logs.
struct Site {
    service: usize,
    module: String,
    function: String,
    line: u64,
    level: u64,
    template: String,
}

/// A goal tree under way.
struct Tree {
    root: String,
    request: String,
    user: u64,
    numbers: Vec<u32>,
    left: u32,
}

struct World {
    chance: Chance,
    sites: Vec<Site>,
    trees: Vec<Tree>,
    lasting: Vec<Tree>,
    micros: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let sites = (0..SERVICES.len() * SITES).map(|at| site(at, &mut chance)).collect();
        let trees = (0..LIVE_TREES).map(|_| tree(&mut chance)).collect();
        let lasting = (0..5).map(|_| tree(&mut chance)).collect();
        Self { chance, sites, trees, lasting, micros: START }
    }

    fn record(&mut self, out: &mut String) {
        self.micros += self.chance.below(14_286);
        let late = self.chance.below(8_000);
        let created = self.micros - late;
        let chance = &mut self.chance;
        let kind = chance.below(1000);
        let level = if kind < 290 {
            10
        } else if kind < 981 {
            20
        } else if kind < 995 {
            30
        } else {
            40
        };
        // A tree is at work in a few services; a call site has one level.
        let which = chance.below(self.trees.len() as u64) as usize;
        let lasts = chance.below(440) < 10;
        let tree = if lasts { &mut self.lasting[which % 5] } else { &mut self.trees[which] };
        let service = (tree.user as usize + chance.below(4) as usize) % SERVICES.len();
        let of_level: Vec<&Site> =
            self.sites[service * SITES..][..SITES].iter().filter(|site| site.level == level).collect();
        let site = chance.pick(&of_level);
        write_record(out, site, tree, created, chance);
        if !lasts {
            tree.left -= 1;
            if tree.left == 0 {
                *tree = self::tree(chance);
            }
        }
    }
}

fn site(at: usize, chance: &mut Chance) -> Site {
    let within = at % SITES;
    let level = match within {
        0..=9 => 10,
        10..=22 => 20,
        23 | 24 => 30,
        _ => 40,
    };
    let template = format!("{} %s {} {}", chance.pick(&NOUNS), chance.pick(&VERBS), chance.pick(&TAILS));
    let module = ["handlers", "store", "client", "worker", "rules"][within % 5].to_owned();
    let function = format!("{}_{}", chance.pick(&VERBS), chance.pick(&NOUNS).replace(' ', "_"));
    Site { service: at / SITES, module, function, line: 20 + chance.below(700), level, template }
}

fn tree(chance: &mut Chance) -> Tree {
    let (high, low) = (chance.next() ^ chance.next() << 30, chance.next() ^ chance.next() << 30);
    let root = format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high as u32,
        high >> 32 & 0xffff,
        high >> 48 & 0xfff,
        low & 0xfff,
        low >> 12 & 0xffff_ffff_ffff
    );
    let request = format!("{:012x}", chance.next() & 0xffff_ffff_ffff);
    let user = 1000 + chance.below(9000) * chance.below(3);
    Tree { root, request, user, numbers: vec![0; 13], left: TREE_RECORDS }
}

fn write_record(out: &mut String, site: &Site, tree: &mut Tree, micros: u64, chance: &mut Chance) {
    let service = SERVICES[site.service];
    let argument = [tree.user, 100_000 + chance.below(900_000)][chance.below(2) as usize];
    let second = chance.below(500);
    let message =
        site.template.replacen("%s", &argument.to_string(), 1).replacen("%s", &second.to_string(), 1);
    let level = match site.level {
        10 => "DEBUG",
        20 => "INFO",
        30 => "WARNING",
        _ => "ERROR",
    };
    let child = chance.below(13) as usize;
    let path = if child == 0 { String::new() } else { format!("/{}/{}", 1 + child / 5, 1 + child % 5) };
    let number = tree.numbers[child];
    tree.numbers[child] += 1;
    let (seconds, part) = (micros / 1_000_000, micros % 1_000_000);
    let created = format!("{}", seconds as f64 + part as f64 / 1e6);
    let created = if created.contains('.') { created } else { created + ".0" };
    let since_start = micros - START + 5_000_000 * (1 + site.service as u64);
    // Formatting into a text cannot fail.
    write!(
        out,
        "{{\"name\":\"shop.{service}.{module}\",\"msg\":\"{msg}\",\"args\":[{argument},{second}],\"levelname\":\"{level}\",\"levelno\":{levelno},\
         \"pathname\":\"/srv/shop/{service}/{module}.py\",\"filename\":\"{module}.py\",\"module\":\"{module}\",\"exc_info\":null,\"exc_text\":{exception},\
         \"stack_info\":null,\"lineno\":{line},\"funcName\":\"{function}\",\"created\":{created},\"msecs\":{msecs}.0,\"relativeCreated\":{relative}.{fraction},\
         \"thread\":{thread},\"threadName\":\"{thread_name}\",\"processName\":\"{service}\",\"process\":{process},\"taskName\":null,\"message\":\"{message}\",\
         \"asctime\":\"{asctime}\",\"hostname\":\"node-{host:02}\",\"context\":{{\"key\":\"{number}@{root}{path}\",\"job\":\"{service}-nightly\"}},\
         \"request_id\":\"{request}\",\"user\":{user},\"duration_ms\":{duration}.{hundredth}}}",
        module = site.module,
        msg = site.template,
        levelno = site.level,
        exception = exception(site, chance),
        line = site.line,
        function = site.function,
        msecs = part / 1000,
        relative = since_start / 1000,
        fraction = since_start % 1000 / 10 * 10 + 7,
        thread = 140_000_000_000_000 + site.service as u64 * 4096 + chance.below(4) * 64,
        thread_name = ["MainThread", "worker-1", "worker-2", "worker-3"][chance.below(4) as usize],
        process = 2000 + site.service * 7,
        asctime = asctime(micros),
        host = site.service % 6,
        root = tree.root,
        request = tree.request,
        user = tree.user,
        duration = chance.below(90) * chance.below(9),
        hundredth = 1 + chance.below(9),
    )
    .unwrap_or_default();
}

fn exception(site: &Site, chance: &mut Chance) -> String {
    if site.level < 40 || chance.below(3) == 0 {
        return "null".to_owned();
    }
    let service = SERVICES[site.service];
    let mut text = "\"Traceback (most recent call last):\\n".to_owned();
    for depth in 0..4 + chance.below(5) {
        let module = ["handlers", "store", "client", "worker", "rules"][(depth % 5) as usize];
        let line = site.line + depth * 13;
        write!(
            text,
            "  File \\\"/srv/shop/{service}/{module}.py\\\", line {line}, in {}\\n    return self._{}(request)\\n",
            site.function, site.function
        )
        .unwrap_or_default();
    }
    let id = chance.below(100_000);
    text + &format!("shop.errors.StoreError: row {id} of {service} is locked\"")
}

/// `2026-09-21 14:13:20,123`, UTC.
fn asctime(micros: u64) -> String {
    let (days, seconds) = (micros / 86_400_000_000, micros / 1_000_000 % 86_400);
    // Days since 0000-03-01, then the usual arithmetic of 400-year eras.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02},{:03}", micros / 1000 % 1000)
}
