//! A block gives back what was put in, field by field and in order, whatever the values are.

use std::collections::HashMap;
use std::sync::Arc;

use distlog::record::{Raw, RecordBuilder};
use proptest::prelude::*;

use super::codec::Unpacker;
use super::column::Needle;
use super::*;

/// A sealed block as its own source of parts.
struct Memory(HashMap<u8, Vec<u8>>);

impl Parts for Memory {
    fn part(&self, _: u64, part: u8) -> Result<Vec<u8>, Error> {
        let bytes = self.0.get(&part).ok_or(Error::Damaged { reason: "no such part" })?;
        Unpacker::new()?.unpack(bytes)
    }
}

fn entries(records: Vec<Record>) -> Vec<Entry> {
    let entry = |(at, record)| Entry {
        offset: 100 + at as u64,
        received: 7_000 + (at / 3) as i64,
        record: Arc::new(record),
    };
    records.into_iter().enumerate().map(entry).collect()
}

fn seal_and_read(entries: &[Entry], with: impl FnOnce(&Block<'_>, &Sealed)) {
    let sealed = seal(entries, &mut Packer::new(3).unwrap()).unwrap();
    let memory = Memory(sealed.parts.iter().cloned().collect());
    let header = Header::decode(sealed.header.first, &sealed.header.encode()).unwrap();
    with(&Block::new(header, &memory), &sealed);
}

fn check(records: Vec<Record>) {
    let entries = entries(records);
    seal_and_read(&entries, |block, sealed| {
        let assembler = Assembler::new(block).unwrap();
        for (at, entry) in entries.iter().enumerate() {
            let row = block.row(at);
            for (name, value) in entry.record.fields() {
                assert_eq!(row.get(name), Some(value), "{name}");
            }
            assert_eq!(row.get("\nkey"), None);
            assert_eq!(row.get("never sent"), None);
            assert_eq!(row.created(), entry.record.created());
            assert_eq!(row.level(), entry.record.level());
            assert_eq!(row.message(), entry.record.message());
            assert_eq!(row.key(), entry.record.key());
            assert_eq!(block.times()[at], entry.time());
            assert_eq!(assembler.entry(at).unwrap(), *entry);
            if let Some(key) = entry.record.key() {
                assert!(sealed.roots.contains(&key.goal.root()));
            }
        }
        block.fault().unwrap();
    });
}

/// Values that each codec meets in practice, and such as only just miss it.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("\"same\"".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        (0_i64..30).prop_map(|value| (value * 10).to_string()),
        (1_700_000_000_i64..1_700_000_100, 0_u32..1_000_000)
            .prop_map(|(whole, part)| format!("{whole}.{part}")),
        Just("1e400".to_owned()),
        Just("-0".to_owned()),
        Just("1.50".to_owned()),
        ".{0,20}".prop_map(|text| distlog::json::quoted(&text)),
        Just("\"a\\u004b\\n\\\\ \u{212a}\"".to_owned()),
        Just("[1,{\"a\":null}]".to_owned()),
    ]
}

fn context() -> impl Strategy<Value = String> {
    prop_oneof![
        (0_u32..50, 0_u8..4, 0_u32..3).prop_map(|(n, root, child)| format!(
            "{{\"key\":\"{n}@00000000-0000-4000-8000-0000000000{root:02}/{child}\",\"job\":1}}"
        )),
        Just("{\"key\":\"1@000000000000400080000000000000AB\"}".to_owned()),
        Just("{\"job\":2,\"key\":\"1@00000000-0000-4000-8000-000000000077\"}".to_owned()),
        Just("{\"key\":\"no \\\" key\"}".to_owned()),
        Just("{\"key\":5}".to_owned()),
        Just("{}".to_owned()),
        Just("1".to_owned()),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let name = prop_oneof![
        Just("created"),
        Just("levelno"),
        Just("name"),
        Just("message"),
        Just("msg"),
        Just("exc_text"),
        Just("goal"),
        Just("args"),
        Just("user"),
        Just("née"),
        Just("a\\\"b"),
        Just(""),
        Just("key"),
    ];
    let fields = prop::collection::vec((name, value()), 0..10);
    (fields, prop::option::of(context())).prop_map(|(fields, context)| {
        let mut builder = RecordBuilder::with_capacity(64);
        let mut seen = Vec::new();
        for (name, value) in &fields {
            if !seen.contains(name) {
                seen.push(*name);
                builder.raw(name, Raw::trusted(value));
            }
            if seen.len() == 2
                && let Some(context) = &context
                && !seen.contains(&"context")
            {
                seen.push("context");
                builder.raw("context", Raw::trusted(context));
            }
        }
        builder.finish()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back(records in prop::collection::vec(record(), 1..60)) {
        check(records);
    }

    #[test]
    fn a_column_finds_what_its_values_contain(
        values in prop::collection::vec(prop_oneof!["[ab]{0,3}", "[aAbB k]{0,9}"], 1..40),
        needle in "[ab k]{1,3}",
    ) {
        let texts: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut bytes = Vec::new();
        column::encode(&mut bytes, &texts);
        let column = Column::decode(&bytes).unwrap();
        prop_assert!(column.searchable);
        let mut found = Vec::new();
        column.find(&Needle::new(&needle).unwrap(), &mut Vec::new(), |at| found.push(at));
        let expected: Vec<usize> =
            (0..values.len()).filter(|at| values[*at].to_lowercase().contains(&needle)).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn what_could_hide_a_letter_is_not_searchable() {
    for (text, searchable) in [
        ("\"plain\"", true),
        ("\"line\\nbreak\"", true),
        ("\"caf\u{e9}\"", true),
        ("\"\\u0041\"", false),
        ("\"\\u212a\"", false),
        ("\"\u{212a}\"", false),
        ("\"\\u20ac\"", true),
    ] {
        let mut bytes = Vec::new();
        column::encode(&mut bytes, &[text, "1", "2"]);
        assert_eq!(Column::decode(&bytes).unwrap().searchable, searchable, "{text}");
    }
}

#[test]
fn more_names_than_a_block_takes_are_stored_whole() {
    let record = |row: usize| {
        let mut builder = RecordBuilder::with_capacity(64);
        builder.int("created", row as i64).int("levelno", 20);
        (0..400).for_each(|field| {
            builder.int(&format!("f{row}_{field}"), field);
        });
        builder.raw("context", Raw::trusted("{\"key\":\"1@00000000-0000-4000-8000-000000000001\"}"));
        builder.finish()
    };
    check((0..6).map(record).collect());
}

#[test]
fn any_flipped_byte_is_a_fault_or_harmless() {
    let record = |row: i64| {
        let mut builder = RecordBuilder::with_capacity(64);
        builder
            .int("created", 1_700_000_000 + row)
            .str("message", &format!("text {row}"))
            .int("levelno", 20)
            .int("x", row % 3);
        builder.finish()
    };
    let entries = entries((0..50).map(record).collect());
    let sealed = seal(&entries, &mut Packer::new(3).unwrap()).unwrap();
    for (at, (number, bytes)) in sealed.parts.iter().enumerate() {
        for place in 0..bytes.len() {
            let mut parts: HashMap<u8, Vec<u8>> = sealed.parts.iter().cloned().collect();
            parts.get_mut(number).unwrap()[place] ^= 0x41;
            let memory = Memory(parts);
            let block = Block::new(sealed.header, &memory);
            let read = Assembler::new(&block)
                .and_then(|all| (0..50).map(|row| all.entry(row)).collect::<Result<Vec<_>, _>>());
            let same = read.is_ok_and(|read| read == entries);
            assert!(
                same || block.fault().is_err() || Assembler::new(&block).is_err(),
                "part {at} byte {place}"
            );
        }
    }
}
