//! What the views print: pictures of fixed records in UTC, and properties of whatever strangers may log.

use distlog::record::RecordBuilder;
use distlog::{Raw, Record};
use distlogd::terminal::{Look, escape};
use distlogd::views::line::Lines;
use distlogd::views::tasks;
use distlogd::views::tree::picture::{Goal, Picture};
use jiff::tz::TimeZone;
use proptest::prelude::*;

/// 22 November 2026, 13:02:07.118 UTC.
const BEGAN: &str = "1795352527.118";
const ROOT: &str = "7f3a2c1e-0000-4000-8000-000000000001";
const WIDE: Look = Look { width: Some(120), colours: false, ascii: false };

/// One record of the shop, with the stdlib's fields around what the test is about.
fn record(level: i64, message: &str, rest: &str) -> Record {
    let message = distlog::json::quoted(message);
    let text = format!(
        r#"{{"name":"shop.pay","msg":"x","args":[1],"levelno":{level},"levelname":"L{level}","created":{BEGAN},"process":42,
        "processName":"web-1","hostname":"h","threadName":"t","message":{message},"_offset":7,"_received":1{rest}}}"#
    );
    Record::from_json(&text).unwrap()
}

fn in_goal(number: u32, path: &str, rest: &str) -> String {
    format!(r#","context":{{"key":"{number}@{ROOT}{path}","user":"ann"}}{rest}"#)
}

fn shown(look: Look, records: &[Record]) -> String {
    let mut lines = Lines::new(look, TimeZone::UTC, false);
    records.iter().map(|record| lines.show(record)).collect()
}

fn shop() -> Vec<Record> {
    let begin = r#","goal":{"event":"begin","title":"charge card"}"#;
    let end = r#","goal":{"event":"end","title":"charge card","status":"failed","duration":2.441,"count":3}"#;
    let trace = r#","exc_text":"Traceback (most recent call last):\n  File \"/srv/shop/pay/a.py\", line 3, in f\n    g()\n  File \"/srv/shop/pay/psp.py\", line 88, in charge\n    boom()\nPspError: card declined""#;
    vec![
        record(20, "charge card", &in_goal(0, "/2", begin)),
        record(
            30,
            "attempt 1 timed out",
            &in_goal(1, "/2", r#","timeout":2,"cart":{"id":991,"items":[1,2]}"#),
        ),
        record(40, "FAILED charge card", &in_goal(2, "/2", &format!("{end}{trace}"))),
        record(25, "no goal\nsecond line\n\tthird", ""),
    ]
}

#[test]
fn words_with_a_minus_are_filters_where_they_are_no_options() {
    let read = |words: &[&str]| -> Vec<String> {
        let words = words.iter().map(std::ffi::OsString::from);
        distlogd::views::words(words).map(|word| word.into_string().unwrap()).collect()
    };
    let options = [
        "-l", "error", "-lerror", "-l=35", "-n20", "-C2", "-h", "-V", "--json", "--", "-", "-10m", "timeout",
    ];
    assert_eq!(read(&options), options);
    let filters = [
        "-healthcheck",
        "-level:debug",
        "-(a or b)",
        "-\"a b\"",
        "-noise",
        "-Cache",
        "-/x/",
        "-user:*",
        "-éa",
    ];
    assert_eq!(read(&filters), filters.map(|word| format!(" {word}")));
}

#[test]
fn lines_for_a_terminal() {
    assert_eq!(
        shown(WIDE, &shop()),
        "\
13:02:07.118 INFO   web-1/42  shop.pay  7f3a/2    ▸ charge card  user=ann
13:02:07.118 WARN   web-1/42  shop.pay  7f3a/2      attempt 1 timed out  user=ann timeout=2 cart.id=991 cart.items=[1,2]
13:02:07.118 ERROR  web-1/42  shop.pay  7f3a/2    ✗ charge card  2.441 s user=ann
                                                      PspError: card declined  at shop/pay/psp.py:88 charge  (+1 frame, --trace shows it)
13:02:07.118 L25    web-1/42  shop.pay          no goal
                                                    second line
                                                        third
"
    );
}

#[test]
fn lines_for_a_pipe_have_columns_that_can_be_counted() {
    let lines = shown(Look::PLAIN, &shop());
    assert_eq!(
        lines.lines().take(2).collect::<Vec<_>>(),
        [
            "2026-11-22T13:02:07.118+00:00 INFO web-1/42 shop.pay 7f3a/2   ▸ charge card  user=ann",
            "2026-11-22T13:02:07.118+00:00 WARN web-1/42 shop.pay 7f3a/2     attempt 1 timed out  user=ann timeout=2 \
             cart.id=991 cart.items=[1,2]",
        ]
    );
    assert!(lines.contains(" L25 web-1/42 shop.pay - no goal\n    second line\n        third\n"), "{lines}");
}

#[test]
fn narrow_terminals_lose_columns_and_not_the_message() {
    for (width, has_logger, has_process) in [(20, false, false), (60, false, true), (80, true, true)] {
        let lines = shown(Look { width: Some(width), ..WIDE }, &shop()[..1]);
        assert_eq!(
            (lines.contains("shop.pay"), lines.contains("web-1")),
            (has_logger, has_process),
            "{lines}"
        );
        assert!(lines.contains("charge card"), "{lines}");
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    let coloured = shown(Look { colours: true, ..WIDE }, &shop());
    assert!(coloured.contains("\u{1b}["));
    let plain: String = coloured
        .split('\u{1b}')
        .enumerate()
        .map(|(at, part)| if at == 0 { part } else { part.split_once('m').unwrap().1 })
        .collect();
    assert_eq!(plain, shown(WIDE, &shop()));
}

#[test]
fn ids_stay_unique_when_shortened() {
    let mut lines = Lines::new(WIDE, TimeZone::UTC, false);
    assert_eq!(lines.short_id("7f3a2c1e-aaaa/2"), "7f3a/2");
    assert_eq!(lines.short_id("7f3a2c99-bbbb"), "7f3a2c");
    assert_eq!(lines.short_id("7f3a2c1e-aaaa"), "7f3a");
    assert_eq!(lines.short_id("7f"), "7f");
}

/// What the API says about a checkout that fails while two goals are still open.
fn checkout() -> String {
    let goal = |path: &str,
                title: &str,
                status: &str,
                begin: f64,
                duration: &str,
                more: &str,
                children: &str| {
        format!(
            r#"{{"id":"{ROOT}{path}","title":"{title}","status":"{status}","duration":{duration},"processes":["web-1/42","pay-1/43"],"records":14,"missing":[],"children":[{children}],"begin":{},"end":null,"last":{},"process":"web-1/42","logger":"shop","error":null,"link":null{more}}}"#,
            1_795_352_527.118 + begin,
            1_795_352_528.5,
        )
    };
    let bank = goal("/2/3", "ask bank", "failed", 1.0, "0.5", r#","error":"PspError: no""#, "");
    let warning = r#","missing":["4-5@7f3a2c1e-0000-4000-8000-000000000001/2"],"own_records":[{"number":1,"offset":3,"level":30,"created":1795352527.618,"message":"attempt 1\nmore","logger":"l","process":"p","part":"inner"},{"number":0,"offset":2,"level":20,"created":1,"message":"begin","part":"begin"}]"#;
    let children = [
        goal("/1", "reserve stock", "succeeded", 0.0, "0.04", "", ""),
        goal("/2", "charge card", "failed", 0.1, "1.9", warning, &bank),
        goal("/3", "send receipt", "running", 1.5, "0.5", "", ""),
        format!(
            r#"{{"id":"{ROOT}/4","title":"","status":"awaited","duration":null,"processes":[],"records":0,"missing":[],"children":[]}}"#
        ),
    ];
    goal("", "checkout cart 991", "failed", 0.0, "2", "", &children.join(","))
}

fn drawn(look: Look, json: &str, only_failed: bool, depth: Option<usize>) -> String {
    let now = 1_795_352_529_500_000_000;
    Picture { look, zone: &TimeZone::UTC, now, only_failed, depth }.draw(&Goal::read(Raw::trusted(json)))
}

#[test]
fn a_tree_for_a_terminal() {
    assert_eq!(
        drawn(WIDE, &checkout(), false, None),
        "\
7f3a2c1e · checkout cart 991 · FAILED after 2.000 s, 2 goals still open · 2 processes, 14 records (2 missing) · 13:02:07.118 +00:00
✗ checkout cart 991             web-1/42   2.000 s  ▕████████████████████████▏
├─ ✓ reserve stock              web-1/42     40 ms  ▕▌                       ▏
├─ ✗ charge card                web-1/42   1.900 s  ▕ ███████████████████████▏
│  ├─ WARN  attempt 1                      +500 ms  ▕      ·                 ▏
│  ├─ ✗ ask bank  PspError: no  web-1/42    500 ms  ▕            ██████      ▏
│  └─ ? records 4-5 of 7f3a/2 never arrived
├─ ⟳ send receipt               web-1/42  500 ms …  ▕                  █████▸▏   last record 1.000 s ago
└─ … 7f3a/4 handed to another process, nothing received yet
"
    );
}

#[test]
fn a_tree_for_a_pipe_in_ascii() {
    assert_eq!(
        drawn(Look { ascii: true, ..Look::PLAIN }, &checkout(), true, None),
        "\
7f3a2c1e - checkout cart 991 - FAILED after 2.000 s, 2 goals still open - 2 processes, 14 records (2 missing) - 13:02:07.118 +00:00
x checkout cart 991  web-1/42  2.000 s
`- x charge card  web-1/42  1.900 s
   |- WARN  attempt 1  +500 ms
   |- x ask bank  PspError: no  web-1/42  500 ms
   `- ? records 4-5 of 7f3a/2 never arrived
"
    );
}

#[test]
fn a_tree_is_folded_at_a_depth() {
    let folded = drawn(Look::PLAIN, &checkout(), false, Some(1));
    assert!(
        folded.contains("├─ ✗ charge card  web-1/42  1.900 s\n│  └─ + 1 goal, 1 failed\n├─ ⟳"),
        "{folded}"
    );
}

#[test]
fn tasks_as_a_table() {
    let task = format!(
        r#"{{"id":"{ROOT}","title":"checkout\u001b[2J","status":"failed","duration":2.493,"records":14,"missing":2,"begin":{BEGAN}}}"#
    );
    assert_eq!(
        tasks::table(&[&task], &WIDE, &TimeZone::UTC),
        "\
ID        STATUS    DURATION  RECORDS  MISSING  BEGAN         TITLE
7f3a2c1e  ✗ failed   2.493 s       14        2  13:02:07.118  checkout\\x1b[2J
"
    );
    let piped = tasks::table(&[&task], &Look::PLAIN, &TimeZone::UTC);
    assert!(
        piped.contains(&format!("{ROOT}  failed  2.493s  14  2  2026-11-22T13:02:07.118+00:00  checkout")),
        "{piped}"
    );
    assert_eq!(tasks::table(&[], &WIDE, &TimeZone::UTC), "");
}

/// Whether a terminal would obey it, or show nothing where it stands.
fn is_dangerous(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{2028}' | '\u{2029}'
            | '\u{61c}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn hostile() -> impl Strategy<Value = String> {
    let letter = prop_oneof![
        any::<char>(),
        prop::char::range('\0', '\u{9f}'),
        prop::char::range('\u{2000}', '\u{206f}'),
        Just('\u{1b}'),
        Just('\n'),
        Just('\u{202e}'),
        Just('\u{e0041}'),
    ];
    prop::collection::vec(letter, 0..40).prop_map(|letters| letters.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn nothing_a_terminal_obeys_gets_through_escape(text in hostile()) {
        prop_assert!(!escape(&text).chars().any(is_dangerous), "{:?}", escape(&text));
    }

    #[test]
    fn nothing_a_terminal_obeys_gets_into_a_line(
        texts in prop::collection::vec(hostile(), 8),
        width in prop::option::of(20_usize..150),
        level in -5_i64..70,
    ) {
        let mut builder = RecordBuilder::default();
        for (name, text) in ["name", "message", "levelname", "processName", "hostname", "exc_text"].iter().zip(&texts) {
            builder.str(name, text);
        }
        builder.int("levelno", level);
        let name = distlog::json::quoted(&texts[6]);
        builder.str(name.trim_matches('"'), &texts[7]);
        let nested = format!("{{{name}:{}}}", distlog::json::quoted(&texts[7]));
        builder.raw("nested", Raw::trusted(&nested));
        let lines = shown(Look { width, ..Look::PLAIN }, &[builder.finish()]);
        prop_assert!(!lines.chars().any(|letter| letter != '\n' && is_dangerous(letter)), "{lines:?}");
        let forged = lines.lines().skip(1).find(|line| !line.starts_with("    "));
        prop_assert!(forged.is_none(), "a further line must be indented: {forged:?}");
    }

    #[test]
    fn nothing_a_terminal_obeys_gets_into_a_tree(texts in prop::collection::vec(hostile(), 5), width in prop::option::of(20_usize..150)) {
        let quoted: Vec<String> = texts.iter().map(|text| distlog::json::quoted(text)).collect();
        let json = format!(
            r#"{{"id":{0},"title":{1},"status":{2},"duration":1,"processes":[{3}],"records":1,"missing":[{4}],"begin":1,"process":{3},"error":{4},
            "children":[],"own_records":[{{"number":1,"level":30,"created":1,"message":{0},"part":"inner"}}]}}"#,
            quoted[0], quoted[1], quoted[2], quoted[3], quoted[4]
        );
        let json = json.replace("\n            ", "");
        let picture = drawn(Look { width, ..WIDE }, &json, false, None);
        prop_assert!(!picture.chars().any(|letter| letter != '\n' && is_dangerous(letter)), "{picture:?}");
        let table = tasks::table(&[&json], &Look { width, ..WIDE }, &TimeZone::UTC);
        prop_assert!(!table.chars().any(|letter| letter != '\n' && is_dangerous(letter)), "{table:?}");
    }
}
