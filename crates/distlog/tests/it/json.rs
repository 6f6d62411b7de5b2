//! JSON ↔ record: what is accepted, what it becomes, and that nothing panics.

use distlog::record::{JsonKind, RecordBuilder};
use distlog::{Error, Fields, Raw, Record, json};
use proptest::prelude::*;
use serde_json::Value;

/// How JSON from outside reads: the record's text, or the reason against it.
fn read(text: &str) -> String {
    read_bytes(text.as_bytes())
}

fn read_bytes(bytes: &[u8]) -> String {
    match json::from_bytes(bytes) {
        Ok(record) => record.as_json().to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn standard_json_is_kept_letter_for_letter() {
    let text = r#"{"msg":"a \"b\" \u00e4 \ud83d\ude00 ä","args":[1, 2.50,{"x" : null}],"levelno":20,"ok":true,"big":1e999}"#;
    assert_eq!(read(text), text);
    assert_eq!(read("{}"), "{}");
    assert_eq!(read(" \t{ } \r\n"), "{}");
}

#[test]
fn white_space_around_fields_goes_and_stays_inside_values() {
    assert_eq!(read("{ \"a\" : 1 ,\n\t\"b\": [ 1, 2 ] }\n"), "{\"a\":1,\"b\":[ 1, 2 ]}");
    assert_eq!(read("{\"a\":1}\n"), "{\"a\":1}");
}

#[test]
fn of_equal_names_the_last_counts() {
    assert_eq!(read(r#"{"level":1,"x":0,"level":2,"\u006cevel":3}"#), r#"{"x":0,"level":3}"#);
    let record = Record::from_json(r#"{"user":{"id":1,"id":2}}"#).unwrap();
    assert_eq!(record.get("user").unwrap().walk("id").unwrap().as_i64(), Some(2));
    let many: Vec<String> = (0..900).map(|at| format!("\"n{}\":{at}", at % 450)).collect();
    let record = Record::from_json(&format!("{{{}}}", many.join(","))).unwrap();
    assert_eq!((record.len(), record.get("n7").and_then(Raw::as_i64)), (450, Some(457)));
}

#[test]
fn names_are_found_however_they_were_escaped() {
    let record = Record::from_json(r#"{"gr\u00f6\u00dfe":1,"a\"b":2,"tab\u0009":3,"sl\/ash":4}"#).unwrap();
    assert_eq!(record.as_json(), r#"{"größe":1,"a\"b":2,"tab\t":3,"sl/ash":4}"#);
    for (name, value) in [("größe", 1), ("a\"b", 2), ("tab\t", 3), ("sl/ash", 4)] {
        assert_eq!(record.get(name).and_then(Raw::as_i64), Some(value), "{name}");
    }
}

#[test]
fn what_python_writes_beyond_the_standard() {
    assert_eq!(
        read(r#"{"a": NaN, "b": [Infinity, -Infinity], "c": "NaN"}"#),
        r#"{"a":"NaN","b":["Infinity", "-Infinity"],"c":"NaN"}"#
    );
    assert_eq!(
        read(r#"{"file":"a\udc80b\ud83d\ude00\ud83dx"}"#),
        r#"{"file":"a\\udc80b\ud83d\ude00\\ud83dx"}"#
    );
    assert_eq!(read(r#"{"\udc80":1,"\\udc80x":2}"#), r#"{"\\udc80":1,"\\udc80x":2}"#);
    assert_eq!(read("\u{feff}{\"a\":1}"), "{\"a\":1}");
    let digits = "9".repeat(4300);
    assert_eq!(read(&format!("{{\"n\":{digits}}}")), format!("{{\"n\":{digits}}}"));
    let digits = "-1".to_owned() + &digits;
    assert_eq!(read(&format!("{{\"n\":[1,{digits}]}}")), format!("{{\"n\":[1,\"{digits}\"]}}"));
}

#[test]
fn what_is_refused_and_why() {
    for (text, why) in [
        ("", "bad JSON at byte 0: a record is a JSON object"),
        ("[1]", "bad JSON at byte 0: a record is a JSON object"),
        ("{\"a\":1} x", "bad JSON at byte 8: text after the object"),
        ("{\"a\":1}\0", "bad JSON at byte 7: text after the object"),
        ("{\"a\":\"\0\"}", "bad JSON at byte 6: a control character in a string"),
        ("{\"a\":\"\n\"}", "bad JSON at byte 6: a control character in a string"),
        ("{\"a\":\"\\x\"}", "bad JSON at byte 6: an unknown escape"),
        ("{\"a\":\"\\u12g4\"}", "bad JSON at byte 6: four hex digits belong after \\u"),
        ("{\"a\":01}", "bad JSON at byte 6: a comma or a closing brace belongs here"),
        ("{\"a\":1.}", "bad JSON at byte 7: a digit belongs here"),
        ("{\"a\":-}", "bad JSON at byte 6: a digit belongs here"),
        ("{\"a\":+1}", "bad JSON at byte 5: a value belongs here"),
        ("{\"a\":nul}", "bad JSON at byte 5: a value belongs here"),
        ("{\"a\":1,}", "bad JSON at byte 7: a string belongs here"),
        ("{\"a\":[1,]}", "bad JSON at byte 8: a value belongs here"),
        ("{\"a\":[1}", "bad JSON at byte 7: a comma or a closing bracket belongs here"),
        ("{\"a\":{\"b\"}}", "bad JSON at byte 9: a colon belongs here"),
        ("{\"a\":\"b", "bad JSON at byte 7: the string does not end"),
        ("{'a':1}", "bad JSON at byte 1: a string belongs here"),
        ("{\"a\":NaNs}", "bad JSON at byte 5: a value belongs here"),
    ] {
        assert_eq!(read(text), why, "{text:?}");
    }
    assert_eq!(read_bytes(b"{\"a\":\"\xff\"}"), "byte 6 is not UTF-8");
    assert_eq!(read_bytes(b"{\x00\"\x00a\x00\"\x00"), "bad JSON at byte 1: a string belongs here");
    assert_eq!(read_bytes(b"\xff\xfe{\x00"), "byte 0 is not UTF-8");
}

#[test]
fn nesting_and_fields_are_bounded() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(read(&nested(63)), nested(63));
    assert_eq!(read(&nested(64)), "over the limit: nested too deep");
    assert_eq!(read(&nested(100_000)), "over the limit: nested too deep");
    assert_eq!(read(&format!("{{\"a\":{}", "[".repeat(1_000_000))), "over the limit: nested too deep");
    assert_eq!(read(&"{\"a\":".repeat(100_000)), "over the limit: nested too deep");
    let fields = |count: usize| {
        let fields: Vec<String> = (0..count).map(|at| format!("\"{at}\":0")).collect();
        format!("{{{}}}", fields.join(","))
    };
    assert_eq!(read(&fields(1000)), fields(1000));
    assert_eq!(read(&fields(1001)), "over the limit: too many fields");
}

#[test]
fn seconds_are_exact_to_the_nanosecond() {
    for (text, nanoseconds) in [
        ("0", Some(0)),
        ("1700000000.123456789", Some(1_700_000_000_123_456_789)),
        ("1700000000.1234567899", Some(1_700_000_000_123_456_789)),
        ("-1.5", Some(-1_500_000_000)),
        ("17e8", Some(1_700_000_000_000_000_000)),
        ("1.7E+9", Some(1_700_000_000_000_000_000)),
        ("1234567e-6", Some(1_234_567_000)),
        ("0.000000001", Some(1)),
        ("1e-10", Some(0)),
        ("1e-99999999999999999999", Some(0)),
        ("0e99999999999999999999", Some(0)),
        ("9223372036.854775807", Some(i64::MAX)),
        ("9223372036.854775808", None),
        ("-9223372036.854775808", Some(i64::MIN)),
        ("1e300", None),
        ("1e99999999999999999999", None),
        ("\"yesterday\"", None),
        ("\"1\"", None),
        ("null", None),
        ("NaN", None),
        ("", None),
        ("-", None),
        ("1e", None),
        (".5", None),
    ] {
        assert_eq!(json::decimal_to_ns(text), nanoseconds, "{text}");
    }
    assert_eq!(json::decimal_to_ns(&"0".repeat(100_000)), Some(0));
    assert_eq!(json::decimal_to_ns(&"9".repeat(100_000)), None);
}

#[test]
fn standard_fields_of_the_wrong_kind_are_kept_and_read_as_absent() {
    let record =
        Record::from_json(r#"{"created":"yesterday","levelno":"high","msg":7,"context":3}"#).unwrap();
    assert_eq!(record.len(), 4);
    assert_eq!((record.created(), record.level(), record.message(), record.key()), (None, None, None, None));
}

#[test]
fn values_can_be_walked_through_white_space() {
    let record =
        Record::from_json("{\"a\":{ \"b\" : [ 1 , { \"c\\u0064\" : \"x]}\" } ] ,\n\"e\" : -1.5e3 }}")
            .unwrap();
    let value = record.get("a").unwrap();
    assert_eq!(
        value.members().map(|(name, value)| format!("{name}={}", value.text())).collect::<Vec<_>>(),
        ["b=[ 1 , { \"c\\u0064\" : \"x]}\" } ]", "e=-1.5e3"]
    );
    assert_eq!(value.walk("e").unwrap().as_f64(), Some(-1500.0));
    let inner = value.walk("b").unwrap().members().nth(1).unwrap().1;
    assert_eq!(inner.walk("cd").unwrap().into_str().unwrap(), "x]}");
    assert_eq!(value.walk("b.c"), None);
}

#[test]
fn every_escape_reads_back() {
    assert_eq!(
        json::unquoted(r#""\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00é""#).unwrap(),
        "\"\\/\u{8}\u{c}\n\r\tä😀é"
    );
    assert_eq!(
        json::quoted("\"\\/\u{8}\u{c}\n\r\t\u{1f}\u{7f}ä"),
        "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\u{7f}ä\""
    );
    assert_eq!(json::unquoted("12"), None);
    assert_eq!(json::unquoted("\""), None);
}

#[test]
fn a_builder_keeps_the_record_whole() {
    let mut builder = RecordBuilder::default();
    builder.str("msg", "a\n").int("levelno", 20).raw("msg", Raw::trusted("[1]"));
    assert_eq!(builder.finish().as_json(), r#"{"levelno":20,"msg":[1]}"#);
    assert_eq!(RecordBuilder::default().finish().as_json(), "{}");
}

#[test]
fn the_process_has_its_name_or_its_host() {
    let label = |text: &str| distlog::record::process_label(&Record::from_json(text).unwrap());
    assert_eq!(
        label(r#"{"processName":"worker-1","process":7,"hostname":"a"}"#).as_deref(),
        Some("worker-1/7")
    );
    assert_eq!(label(r#"{"processName":"MainProcess","process":7,"hostname":"a"}"#).as_deref(), Some("a/7"));
    assert_eq!(label(r#"{"process":7}"#).as_deref(), Some("7"));
    assert_eq!(label(r#"{"process":"x"}"#), None);
}

/// Any JSON value of moderate size.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

pub(crate) fn objects() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(any::<String>(), values(), 0..12)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

proptest! {
    /// What goes in comes out, compact or with white space, and reading it again changes nothing.
    #[test]
    fn decode_of_encode_is_the_record(object in objects()) {
        let pretty = json::record(&serde_json::to_string_pretty(&object).unwrap()).unwrap();
        let compact = json::from_bytes(object.to_string().as_bytes()).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Value>(pretty.as_json()).unwrap(), &object);
        prop_assert_eq!(compact.as_json(), object.to_string());
        for record in [pretty, compact] {
            prop_assert_eq!(&json::record(record.as_json()).unwrap(), &record);
            prop_assert_eq!(record.len(), object.as_object().unwrap().len());
            for (name, value) in object.as_object().unwrap() {
                let found = record.get(name).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Value>(found.text()).unwrap(), value);
                let text = found.into_str();
                prop_assert_eq!(text.as_deref(), value.as_str());
                prop_assert_eq!(found.members().count(), value.as_object().map_or(0, |o| o.len()) + value.as_array().map_or(0, Vec::len));
                if let Value::Object(members) = value {
                    for (name, value) in members.iter().filter(|(name, _)| !name.contains('.')) {
                        let found = found.walk(name).unwrap();
                        prop_assert_eq!(&serde_json::from_str::<Value>(found.text()).unwrap(), value);
                    }
                }
            }
        }
    }

    /// On damaged text the scan agrees with serde_json, except for numbers it calls too large.
    #[test]
    fn damaged_json_is_judged_as_serde_json_judges(object in objects(), at in any::<prop::sample::Index>(), with in "[\\x00-\\x7f]{0,2}", cut in 0..3_usize) {
        let mut text = object.to_string();
        let from = (0..=at.index(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let to = (from + cut..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text.replace_range(from..to, &with);
        let judge = serde_json::from_str::<serde_json::Map<String, Value>>(&text);
        match (json::record(&text), judge) {
            (Ok(record), Ok(map)) => prop_assert_eq!(serde_json::from_str::<Value>(record.as_json()).unwrap(), Value::Object(map)),
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("out of range"), "{} {}", text, error),
            (Err(error), Ok(_)) => prop_assert!(false, "{} {}", text, error),
            (Err(Error::Json { at, .. }), Err(_)) => prop_assert!(at <= text.len()),
            (Err(error), Err(_)) => prop_assert!(false, "{}", error),
        }
    }

    /// Whatever the text, looking into it ends and does not panic.
    #[test]
    fn rubbish_can_be_looked_into(text in "[\\[\\]{}\",:\\\\a1 é]{0,40}") {
        let value = Raw::trusted(&text);
        let members = value.members().take(100).count();
        prop_assert!(members < 100);
        let _ = (value.walk("a.b"), value.into_str(), value.seconds_to_ns(), value.as_f64(), value.kind() == JsonKind::Null);
        let _ = json::from_bytes(text.as_bytes());
    }

    #[test]
    fn any_text_survives_quoting(text in any::<String>()) {
        let quoted = json::quoted(&text);
        let unquoted = json::unquoted(&quoted);
        prop_assert_eq!(unquoted.as_deref(), Some(text.as_str()));
        prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
    }
}
