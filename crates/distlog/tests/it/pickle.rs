//! Pickles → records: Python's own, broken ones, and those made to hurt.

use std::time::Duration;

use distlog::{Error, Fields, Record, json, pickle, wire};
use proptest::prelude::*;
use serde_json::Value;

pub(crate) const PROTOCOLS: [&[u8]; 6] = [
    include_bytes!("../../../../testdata/pickle/protocol-0.pickles"),
    include_bytes!("../../../../testdata/pickle/protocol-1.pickles"),
    include_bytes!("../../../../testdata/pickle/protocol-2.pickles"),
    include_bytes!("../../../../testdata/pickle/protocol-3.pickles"),
    include_bytes!("../../../../testdata/pickle/protocol-4.pickles"),
    include_bytes!("../../../../testdata/pickle/protocol-5.pickles"),
];
const EXPECTED: &str = include_str!("../../../../testdata/pickle/expected.jsonl");

/// Name and body of each pickle in a file; its form is told in `testdata/pickle/make.py`.
pub(crate) fn pickles(mut file: &[u8]) -> Vec<(&str, &[u8])> {
    let mut found = Vec::new();
    while let Some((length, rest)) = file.split_first() {
        let (name, rest) = rest.split_at(usize::from(*length));
        let (length, rest) = rest.split_first_chunk::<4>().unwrap();
        let (body, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        found.push((std::str::from_utf8(name).unwrap(), body));
        file = rest;
    }
    found
}

/// The record's text, or the reason against it.
fn read(body: &[u8]) -> String {
    match pickle::decode(body, &pickle::Limits::default()) {
        Ok(record) => {
            assert_eq!(json::record(record.as_json()).as_ref(), Ok(&record), "the record is a record");
            record.as_json().to_owned()
        }
        Err(error) => error.to_string(),
    }
}

/// What a dict with that pickled value reads as.
fn read_value(opcodes: &[u8]) -> String {
    let text = read(&[b"}S'v'\n", opcodes, b"s."].concat());
    text.strip_prefix("{\"v\":").and_then(|rest| rest.strip_suffix('}')).unwrap_or(&text).to_owned()
}

fn value_of(record: &Record, name: &str) -> Value {
    serde_json::from_str(record.get(name).unwrap().text()).unwrap()
}

#[test]
fn every_pickle_of_python_reads_as_expected() {
    let expected: Vec<Value> = EXPECTED.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut wrong = Vec::new();
    for (protocol, file) in PROTOCOLS.iter().enumerate() {
        for (name, body) in pickles(file) {
            let record = pickle::decode(body, &pickle::Limits::default())
                .unwrap_or_else(|e| panic!("{name} {protocol}: {e}"));
            let fits =
                |line: &&Value| line["name"] == name && line.get("protocol").is_none_or(|p| *p == protocol);
            let expected = &expected.iter().rfind(fits).unwrap()["value"];
            let found = value_of(&record, "value");
            if found != *expected {
                wrong.push(format!("{name}, protocol {protocol}: {found} is not {expected}"));
            }
            assert_eq!(json::record(record.as_json()).as_ref(), Ok(&record));
            assert_eq!(record.created(), Some(1_700_000_000_123_456_700), "{name}");
            assert_eq!((record.level(), record.len()), (Some(30), 23), "{name}");
            assert_eq!(record.key().unwrap().number, 3);
            assert_eq!(value_of(&record, "args"), serde_json::json!(["A-17", 3]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_socket_handlers_body_reads_with_and_without_its_length() {
    let (_, body) = pickles(PROTOCOLS[1])[0];
    let framed = [&(body.len() as u32).to_be_bytes(), body].concat();
    assert_eq!(read(&framed), read(body));
    assert!(read(body).starts_with("{\"name\":\"shop.orders\""));
}

#[test]
fn nothing_is_executed() {
    for (opcodes, value) in [
        (b"cos\nsystem\n(S'id'\ntR".as_slice(), r#"{"$class":"os.system","$args":["id"]}"#),
        (b"cposix\nsystem\n(S'id'\ntR", r#"{"$class":"posix.system","$args":["id"]}"#),
        (b"c__builtin__\neval\n(S'1'\ntR", r#"{"$class":"builtins.eval","$args":["1"]}"#),
        (b"\x8c\x08builtins\x8c\x04exec\x93\x8c\x01x\x85R", r#"{"$class":"builtins.exec","$args":["x"]}"#),
        (b"(S'id'\nios\nsystem\n", r#"{"$class":"os.system","$args":["id"]}"#),
        (b"(cos\nsystem\nS'id'\no", r#"{"$class":"os.system","$args":["id"]}"#),
        (b"cos\nsystem\n\x8c\x02id\x85\x81", r#"{"$class":"os.system","$args":["id"]}"#),
        (b"cos\nsystem\n)}\x8c\x03cmd\x8c\x02ids\x92", r#"{"$class":"os.system","$kwargs":{"cmd":"id"}}"#),
        (b"csubprocess\nPopen\n(S'id'\nI-1\ntR", r#"{"$class":"subprocess.Popen","$args":["id",-1]}"#),
        (b"c__builtin__\ngetattr\n(cos\nsystem\nS'x'\ntR", r#""os.system.x""#),
        (b"c__builtin__\ngetattr\n(cos\nx\nS'y'\ntR(S'id'\ntR", r#"{"$class":"os.x.y","$args":["id"]}"#),
        (b"ccopyreg\n__newobj__\n(cos\nsystem\nS'id'\ntR", r#"{"$class":"os.system","$args":["id"]}"#),
        (b"cos\nsystem\n)R}S'a'\nK\x01sb", r#"{"$class":"os.system","$state":{"a":1}}"#),
        (b"cos\nsystem\n", r#"{"$class":"os.system"}"#),
        (b"S'id'\n(S'a'\ntR", r#"{"$class":"id","$args":["a"]}"#),
        (b"Pid\n", "\"<opaque>\""),
        (b"K\x01Q", "\"<opaque>\""),
        (b"\x82\x01", "\"<opaque>\""),
        (b"\x97\x98", "\"<opaque>\""),
    ] {
        assert_eq!(read_value(opcodes), value, "{}", opcodes.escape_ascii());
    }
}

#[test]
fn older_forms_read_too() {
    for (opcodes, value) in [
        (b"S'a\\n\\x41\\'\\\\'\n".as_slice(), r#""a\nA'\\""#),
        (b"S\"\\xff\"\n", r#"{"$bytes":"/w=="}"#),
        (b"U\x02ab", "\"ab\""),
        (b"T\x02\0\0\0ab", "\"ab\""),
        (b"V\\u00e4\\U0001f600\xe4\\x\n", r#""ä😀ä\\x""#),
        (b"I01\n", "true"),
        (b"I12\n", "12"),
        (b"L-5L\n", "-5"),
        (b"L18446744073709551616L\n", "\"18446744073709551616\""),
        (b"F1.5\n", "1.5"),
        (b"Fnan\n", "\"NaN\""),
        (b"(K\x01K\x02d", "{\"1\":2}"),
        (b"(lp1\nK\x01ag1\n0", "[1]"),
        (b"K\x01(K\x02K\x031", "1"),
        (b"\x8a\x02\0\x80", "-32768"),
        (b"\x8a\0", "0"),
        (b"\x8b\x09\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0", "18446744073709551615"),
        (b"X\x04\0\0\0a\xed\xb2\x80", r#""a\\udc80""#),
        (b"X\x02\0\0\0a\xff", r#""a\\xff""#),
        (b"\x8d\x01\0\0\0\0\0\0\0a", "\"a\""),
        (b"c__builtin__\nset\n((lK\x01atR", "[1]"),
        (b"cdecimal\nDecimal\n(U\x031.5tR", "\"1.5\""),
        (b"cuuid\nUUID\n)\x81}U\x03intK\x07sb", "\"00000000-0000-0000-0000-000000000007\""),
        (b"cpytz\n_p\n(S'Europe/Berlin'\nI3600\nI0\nS'CET'\ntR", "\"Europe/Berlin\""),
        (
            b"cdatetime\ndatetime\n(S'\\x07\\xe8\\x02\\x1d\\x17;:\\x00\\x00\\x07'\ntR",
            "\"2024-02-29T23:59:58.000007\"",
        ),
        (b"cdatetime\ndatetime\n(S'short'\ntR", r#"{"$class":"datetime.datetime","$args":["short"]}"#),
    ] {
        assert_eq!(read_value(opcodes), value, "{}", opcodes.escape_ascii());
    }
}

#[test]
fn what_is_no_record_is_refused() {
    for (body, why) in [
        (b"".as_slice(), "bad pickle at byte 0: the pickle is cut short"),
        (b"}", "bad pickle at byte 1: the pickle is cut short"),
        (b".", "bad pickle at byte 0: nothing on the stack"),
        (b"].", "bad pickle at byte 0: a record is a dict"),
        (b"N.", "bad pickle at byte 0: a record is a dict"),
        (b"\x80\x06}.", "bad pickle at byte 0: an unknown protocol"),
        (b"}\xff.", "bad pickle at byte 1: an unknown opcode"),
        (b"}g5\n.", "bad pickle at byte 1: nothing in the memo there"),
        (b"}(0a.", "bad pickle at byte 3: nothing on the stack"),
        (b"(a.", "bad pickle at byte 1: nothing on the stack"),
        (b"}K\x01K\x02(s.", "bad pickle at byte 6: nothing on the stack"),
        (b"}t.", "bad pickle at byte 1: no mark"),
        (b"K\x01K\x02a.", "bad pickle at byte 4: only lists are appended to"),
        (b"]K\x01K\x02s.", "bad pickle at byte 5: only dicts have items"),
        (b"K\x01K\x02\x93.", "bad pickle at byte 4: a class is named by two strings"),
        (b"Iten\n.", "bad pickle at byte 0: no number"),
        (b"Sten\n.", "bad pickle at byte 0: a string without quotes"),
        (b"T\xff\xff\xff\xff.", "bad pickle at byte 0: a negative length"),
    ] {
        assert_eq!(read(body), why, "{}", body.escape_ascii());
    }
}

/// A pickle made to hurt, and the start of what it reads as.
fn bombs() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let field = |opcodes: Vec<u8>| [b"}S'v'\n".to_vec(), opcodes, b"s.".to_vec()].concat();
    let times = |part: &[u8], count| part.repeat(count);
    let around = |open: &[u8], count: usize, close: &[u8]| {
        [open.repeat(count), b"N".to_vec(), close.repeat(count)].concat()
    };
    let laughs = (1..=12).fold(b"](NNNNNNNNNNeq\0".to_vec(), |mut out, at: u8| {
        out.extend(b"0](");
        out.extend([b'h', at - 1].repeat(10));
        out.extend([b'e', b'q', at]);
        out
    });
    let wide_tuple = |count| [b"(".to_vec(), b"N".repeat(count), b"tq\x010".to_vec()].concat();
    let long_name = [b"X\x20\xa1\x07\0".to_vec(), b"m".repeat(500_000), b"q\x010".to_vec()].concat();
    vec![
        ("a million marks", times(b"(", 1 << 20), "bad pickle at byte 1048576: the pickle is cut short"),
        (
            "the list that is appended to itself",
            field([b"]".to_vec(), times(b"2a", 30)].concat()),
            "{\"v\":[\"<cycle>\"",
        ),
        ("memo laughs", field(laughs), "{\"v\":[[[[[[[[[[[[[null,null"),
        ("deep lists", field(around(b"]", 100_000, b"a")), "{\"v\":[[[[["),
        ("deep tuples", field(around(b"", 1, &times(b"\x85", 190_000))), "{\"v\":[[[[["),
        ("deep dicts", field(around(b"}K\x01", 60_000, b"s")), "{\"v\":{\"1\":{\"1\""),
        (
            "deep objects",
            field(around(b"cos\nsystem\n", 60_000, b"\x85R")),
            "{\"v\":{\"$class\":\"os.system\",\"$args\":[{",
        ),
        (
            "deep classes",
            field([b"cos\nx\n".to_vec(), times(b")R", 60_000)].concat()),
            "{\"v\":{\"$class\":{\"$class\":",
        ),
        ("deep keys", field(around(b"}", 60_000, b"Ns")), "{\"v\":{"),
        (
            "tuples as keys in each other",
            field([b"N".to_vec(), times(b"\x85q\x010}h\x01Ns", 20_000)].concat()),
            "{\"v\":{",
        ),
        (
            "a shared tuple as arguments",
            field(
                [wide_tuple(100_000), b"(".to_vec(), times(b"cos\nsystem\nh\x01R", 50_000), b"l".to_vec()]
                    .concat(),
            ),
            "{\"v\":[{\"$class\":\"os.system\",\"$args\":[null",
        ),
        (
            "a shared list as sets",
            field(
                [
                    wide_tuple(100_000),
                    b"c__builtin__\nset\nq\x020(".to_vec(),
                    times(b"h\x02h\x01\x85R", 33_000),
                    b"l".to_vec(),
                ]
                .concat(),
            ),
            "{\"v\":[[null,null",
        ),
        (
            "a shared tuple as paths",
            field(
                [
                    b"(".to_vec(),
                    times(b"U\0", 50_000),
                    b"tq\x010cpathlib\nPath\nq\x020(".to_vec(),
                    times(b"h\x02h\x01R", 90_000),
                    b"l".to_vec(),
                ]
                .concat(),
            ),
            "{\"v\":[{\"$class\":\"pathlib.Path\"",
        ),
        (
            "a shared dict as states",
            field([b"}q\x010(".to_vec(), times(b"cuuid\nUUID\n)Rh\x01b", 50_000), b"l".to_vec()].concat()),
            "{\"v\":[{\"$class\":\"uuid.UUID\"",
        ),
        (
            "long shared names",
            field(
                [long_name.clone(), b"(".to_vec(), times(b"h\x01h\x01\x93", 90_000), b"l".to_vec()].concat(),
            ),
            "{\"v\":[{\"$class\":\"mmm",
        ),
        (
            "long shared texts",
            field([long_name.clone(), b"(".to_vec(), times(b"h\x01", 150_000), b"l".to_vec()].concat()),
            "{\"v\":[\"mmm",
        ),
        (
            "long shared keys",
            field([long_name, b"}q\x02(".to_vec(), times(b"h\x01\x85N", 60_000), b"u".to_vec()].concat()),
            "{\"v\":{\"[\\\"mmm",
        ),
        (
            "long shared zeros",
            field(
                [
                    b"\x8b\x20\xa1\x07\0".to_vec(),
                    times(b"\0", 500_000),
                    b"q\x010(".to_vec(),
                    times(b"h\x01", 200_000),
                    b"l".to_vec(),
                ]
                .concat(),
            ),
            "{\"v\":[0,0,0",
        ),
        (
            "long shared escapes",
            field(
                [
                    b"V".to_vec(),
                    times(b"\\u0041", 80_000),
                    b"\nq\x010}(".to_vec(),
                    times(b"h\x01\x85N", 60_000),
                    b"u".to_vec(),
                ]
                .concat(),
            ),
            "{\"v\":{\"[\\\"AAA",
        ),
        (
            "a megabyte of digits",
            field([b"L".to_vec(), times(b"9", 1_000_000), b"L\n".to_vec()].concat()),
            "{\"v\":\"9999",
        ),
        (
            "a megabyte of number",
            field([b"\x8b\x40\x42\x0f\0".to_vec(), times(b"\x7f", 1_000_000)].concat()),
            "{\"v\":\"0x7f7f",
        ),
        (
            "a megabyte of control characters",
            field([b"X\x40\x42\x0f\0".to_vec(), times(b"\x01", 1_000_000)].concat()),
            "{\"v\":\"\\u0001",
        ),
        (
            "a million empty tuples",
            times(b")", 1 << 20),
            "bad pickle at byte 1048576: the pickle is cut short",
        ),
        (
            "a million copies",
            field([b"]".to_vec(), times(b"2", 1_000_000)].concat()),
            "bad pickle at byte 1000007: only dicts",
        ),
        ("ten million bytes", vec![b'N'; 10_000_000], "over the limit: the pickle has too many values"),
        (
            "bytes of 2^62",
            b"\x8e\0\0\0\0\0\0\0\x40abc.".to_vec(),
            "bad pickle at byte 0: the pickle is cut short",
        ),
        (
            "bytearray of 2^64",
            b"\x96\xff\xff\xff\xff\xff\xff\xff\xffabc.".to_vec(),
            "bad pickle at byte 0: the pickle is cut short",
        ),
        ("text of 2^32", b"X\xff\xff\xff\xffabc.".to_vec(), "bad pickle at byte 0: the pickle is cut short"),
        (
            "number of 2^31",
            b"\x8b\xff\xff\xff\x7fabc.".to_vec(),
            "bad pickle at byte 0: the pickle is cut short",
        ),
        ("frame of 2^64", b"\x95\xff\xff\xff\xff\xff\xff\xff\xff}.".to_vec(), "{}"),
        (
            "memo at 2^32",
            b"}r\xff\xff\xff\xff.".to_vec(),
            "bad pickle at byte 1: a memo number beyond the pickle",
        ),
        (
            "memo at 10^30",
            b"}p1000000000000000000000000000000\n.".to_vec(),
            "bad pickle at byte 1: no number",
        ),
        (
            "two thousand fields",
            [
                b"}(".to_vec(),
                (0..2000_u32).flat_map(|at| [b"J", at.to_le_bytes().as_slice(), b"N"].concat()).collect(),
                b"u.".to_vec(),
            ]
            .concat(),
            "{\"0\":null",
        ),
    ]
}

/// What this thread has cost so far: other programs on the machine do not count.
fn processor_time() -> Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = spent.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or(Duration::ZERO, Duration::from_nanos)
}

/// Reads a bomb and holds it to its time and size. Returns what it read as, or the reason against it.
fn defuse(name: &str, body: &[u8], limits: &pickle::Limits, patience: Duration) -> String {
    let began = processor_time();
    let result = pickle::decode(body, limits);
    let took = processor_time().saturating_sub(began);
    let text = match &result {
        Ok(record) => record.as_json().to_owned(),
        Err(error) => error.to_string(),
    };
    let patience = if cfg!(debug_assertions) { patience * 30 } else { patience };
    assert!(took < patience, "{name} took {took:?}");
    assert!(text.len() < 100_000 + 16 * body.len(), "{name} made {} bytes", text.len());
    if let Ok(record) = result {
        assert_eq!(json::record(&text), Ok(record), "{name}");
    }
    text
}

/// With higher limits than anybody has, so that each bomb is read to its end and not refused.
#[test]
fn bombs_that_are_let_in_do_no_harm() {
    let mut limits = pickle::Limits::default();
    (limits.input, limits.nodes) = (16 << 20, 2_000_000);
    for (name, body, start) in bombs() {
        let text = defuse(name, &body, &limits, Duration::from_millis(300));
        assert!(text.starts_with(start), "{name}: {}", text.chars().take(200).collect::<String>());
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "the figure holds for release builds")]
fn a_bomb_takes_at_most_100_milliseconds() {
    for (name, body, _) in bombs() {
        defuse(name, &body, &pickle::Limits::default(), Duration::from_millis(100));
    }
}

#[test]
fn limits_cut_and_refuse() {
    let limited = |body: &[u8], set: fn(&mut pickle::Limits)| {
        let mut limits = pickle::Limits::default();
        set(&mut limits);
        pickle::decode(body, &limits).map(|record| record.as_json().to_owned())
    };
    let body = b"}(U\x01aU\x05helloU\x01b](K\x01K\x02](K\x03eeU\x01c}U\x01xK\x01su.";
    let whole = r#"{"a":"hello","b":[1,2,[3]],"c":{"x":1}}"#;
    assert_eq!(limited(body, |_| ()).as_deref(), Ok(whole));
    assert_eq!(
        limited(body, |limits| limits.depth = 2).unwrap(),
        r#"{"a":"hello","b":[1,2,"<too deep>"],"c":{"x":1}}"#
    );
    assert_eq!(limited(body, |limits| limits.output = 9).unwrap(), r#"{"a":"hel<cut>","<cut>":"<cut>"}"#);
    assert_eq!(
        limited(body, |limits| limits.output = 20).unwrap(),
        r#"{"a":"hello","b":[1,"<cut>"],"<cut>":"<cut>"}"#
    );
    assert_eq!(
        limited(body, |limits| limits.nodes = 3),
        Err(Error::Limit { reason: "the pickle has too many values" })
    );
    assert_eq!(
        limited(body, |limits| limits.input = 3),
        Err(Error::Limit { reason: "the pickle has too many bytes" })
    );
}

/// Wire messages never get lost, so each damaged pickle is a record or the record that tells of it.
fn one_record(body: &[u8]) {
    let decoded = wire::decode(&[b"PLP".as_slice(), body], 0);
    assert_eq!(json::record(decoded.record.as_json()).as_ref(), Ok(&decoded.record));
    assert_eq!(decoded.record.get("_rejected").is_some(), decoded.rejected.is_some());
}

#[test]
fn a_pickle_cut_anywhere_makes_one_record() {
    for file in PROTOCOLS {
        for (name, body) in pickles(file).into_iter().filter(|(_, body)| body.len() < 1000) {
            for end in 0..body.len() {
                let result = pickle::decode(&body[..end], &pickle::Limits::default());
                assert!(result.is_err(), "{name} cut at {end}");
            }
            one_record(&body[..body.len() / 2]);
        }
    }
}

#[test]
fn a_pickle_with_any_bit_flipped_makes_one_record() {
    for (protocol, name) in [
        (0, "uuid"),
        (2, "ordered dict"),
        (3, "datetime zone"),
        (4, "numpy others"),
        (5, "exception of its own"),
    ] {
        let (_, body) = *pickles(PROTOCOLS[protocol]).iter().find(|(has, _)| *has == name).unwrap();
        for bit in 0..body.len() * 8 {
            let mut damaged = body.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            one_record(&damaged);
        }
    }
}

proptest! {
    /// Opcodes in any order: mostly wrong, never harmful.
    #[test]
    fn any_opcodes_make_one_record(body in prop::collection::vec(prop::sample::select(
        b"().0123]}tlde\x85\x86\x87asubRoi\x81\x93\x8f\x90\x91Nq\x01h\x01K\x02\x94cS'a'\n\x80\x04".to_vec()), 0..80)) {
        one_record(&body);
        one_record(&[b"}S'v'\n".as_slice(), &body, b"s."].concat());
    }

    /// Two golden pickles cut and put together anywhere.
    #[test]
    fn spliced_pickles_make_one_record(first in any::<prop::sample::Index>(), second in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(), start in any::<prop::sample::Index>()) {
        let all: Vec<(&str, &[u8])> = PROTOCOLS.into_iter().flat_map(pickles).collect();
        let (first, second) = (all[first.index(all.len())].1, all[second.index(all.len())].1);
        one_record(&[&first[..end.index(first.len())], &second[start.index(second.len())..]].concat());
    }
}
