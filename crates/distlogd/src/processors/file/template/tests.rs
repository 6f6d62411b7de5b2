//! Whatever a record says, its path stays below the root and keeps the shape of its template.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn entry(json: &str) -> Entry {
    Entry {
        offset: 0,
        received: 1_700_000_000_000_000_000,
        record: Arc::new(Record::from_json(json).unwrap()),
    }
}

fn rendered(path: &str, json: &str) -> String {
    split(Path::new("/root"), path).unwrap().1.render(&entry(json), true)
}

#[test]
fn values_become_names() {
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(500));
    for (path, json, expected) in [
        ("{logger}.jsonl", r#"{"name":"app.db"}"#, "app.db.jsonl"),
        ("{logger}.jsonl", r#"{"name":"../../etc/x"}"#, "%2E.%2F..%2Fetc%2Fx.jsonl"),
        ("{logger}.jsonl", r#"{"name":"a\u0000b\nc\u202e"}"#, "a%00b%0Ac%E2%80%AE.jsonl"),
        ("{logger}.jsonl", r#"{"name":""}"#, "_.jsonl"),
        ("{logger}.jsonl", r#"{}"#, "_.jsonl"),
        ("{logger}.jsonl", r#"{"name":[1]}"#, "_.jsonl"),
        ("{logger}", r#"{"name":"_overflow"}"#, "%5Foverflow"),
        ("{logger}", r#"{"name":"a%2Fb"}"#, "a%252Fb"),
        ("{user.id}/{n}.log", r#"{"user":{"id":7},"n":true}"#, "7/true.log"),
        ("{level}-{host}-{message}", r#"{"levelname":"INFO","hostname":"h","msg":"m"}"#, "INFO-h-m"),
        ("{{{logger}}}", r#"{"name":"x"}"#, "{x}"),
        ("{time}/{time:%H}.log", "{}", "2023-11-14/22.log"),
        ("{logger}", &long, &format!("{}~22310915", "x".repeat(91))),
    ] {
        assert_eq!(rendered(path, json), expected, "{path} {json}");
    }
}

#[test]
fn the_fixed_part_is_the_root() {
    for (path, root, rest) in [
        ("a/b/{logger}.log", "/start/a/b/", "{logger}.log"),
        ("errors.log", "/start/", "errors.log"),
        ("/var/log/x/{a}/{b}", "/var/log/x/", "{a}/{b}"),
        ("../x/{a}", "/start/../x/", "{a}"),
    ] {
        let (folder, template) = split(Path::new("/start"), path).unwrap();
        assert_eq!((folder, template), (PathBuf::from(root), parse(rest).unwrap()), "{path}");
    }
}

#[test]
fn mistakes_are_named() {
    for (path, part) in [
        ("a/", "names a directory"),
        ("{logger", "not closed"),
        ("logger}", "closes nothing"),
        ("{}", "no placeholder"),
        ("{a b}", "no placeholder"),
        ("{logger:%Y}", "only {time:…}"),
        ("{time:%}", "no time format"),
        ("{a}/../x", "`..`"),
        ("{a}//x", "empty name"),
    ] {
        let error = split(Path::new("/"), path).unwrap_err();
        assert!(error.contains(part), "{path}: {error}");
    }
}

proptest! {
    #[test]
    fn no_value_leads_out_or_changes_the_shape(first in any::<String>(), second in "[./\\\\%\u{0}_overflow~]{0,12}") {
        let json = serde_json::json!({"name": first, "b": second}).to_string();
        let path = rendered("{logger}/x{b}/{b}", &json);
        let names: Vec<&str> = path.split('/').collect();
        prop_assert_eq!(names.len(), 3);
        for name in names {
            prop_assert!(!name.is_empty() && name != "." && name != ".." && name.len() <= 255, "{}", path);
            prop_assert!(!name.chars().any(misleads), "{}", path);
        }
    }

    #[test]
    fn different_values_have_different_names(first in ".{1,150}", second in ".{1,150}") {
        prop_assert_eq!(encode(&first) == encode(&second), first == second);
    }
}
