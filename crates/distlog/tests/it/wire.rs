//! Messages → records: n in, n out, whatever the bytes.

use distlog::{Fields, Raw, wire};
use proptest::prelude::*;

const NOW: i64 = 1_700_000_000_000_000_001;

/// What becomes of a message, in short: the record, or the reason code.
fn decode(frames: &[&[u8]]) -> String {
    let decoded = wire::decode(frames, NOW);
    match decoded.rejected {
        None => decoded.record.as_json().to_owned(),
        Some(reason) => {
            let told = decoded
                .record
                .get("_rejected")
                .and_then(|r| r.walk("reason"))
                .and_then(Raw::into_str)
                .unwrap();
            assert_eq!(told, reason);
            assert!(wire::REASONS.contains(&reason));
            reason.to_owned()
        }
    }
}

#[test]
fn the_topic_says_what_the_body_is() {
    assert_eq!(decode(&[b"PLJ", b"{\"msg\":1}"]), "{\"msg\":1}");
    assert_eq!(decode(&[b"TLJ", b"{\"msg\":1}"]), "{\"msg\":1,\"_system\":\"T\"}");
    assert_eq!(decode(&[b"SLJ", b"{}"]), "{\"_system\":\"S\"}");
    assert_eq!(decode(&[b"PLP", b"}."]), "{}");
}

#[test]
fn what_cannot_be_read_has_a_reason() {
    for (frames, reason) in [
        (vec![], "frames"),
        (vec![b"PLJ".as_slice()], "frames"),
        (vec![b"PLJ", b"{}", b""], "frames"),
        (vec![b"", b"{}"], "topic"),
        (vec![b"XLJ", b"{}"], "topic"),
        (vec![b"PXJ", b"{}"], "topic"),
        (vec![b"PLX", b"{}"], "topic"),
        (vec![b"plj", b"{}"], "topic"),
        (vec![b"PLJJ", b"{}"], "topic"),
        (vec![b"PLJ", b""], "json"),
        (vec![b"PLJ", b"[]"], "json"),
        (vec![b"PLJ", b"{\"a\":\"\xff\"}"], "utf8"),
        (vec![b"PLP", b"{}"], "pickle"),
        (vec![b"PLP", b""], "pickle"),
        (vec![b"PLP", b"]."], "pickle"),
    ] {
        assert_eq!(decode(&frames), reason, "{frames:?}");
    }
    let fields: String = (0..2000).map(|at| format!("\"{at}\":0,")).collect();
    assert_eq!(decode(&[b"PLJ", format!("{{{fields}\"x\":0}}").as_bytes()]), "limit");
    let deep = format!("{{\"a\":NaN,\"b\":{}", "[".repeat(100_000));
    assert_eq!(decode(&[b"PLJ", deep.as_bytes()]), "limit");
    assert_eq!(decode(&[b"PLP", &b"(".repeat(2_000_000)]), "limit");
}

#[test]
fn the_largest_record_reads_again_with_what_the_daemon_adds() {
    let fields: Vec<String> = (0..1000).map(|at| format!("\"{at}\":0")).collect();
    let body = format!("{{{}}}", fields.join(","));
    let decoded = wire::decode(&[b"TLJ".as_slice(), body.as_bytes()], NOW);
    assert_eq!((decoded.rejected, decoded.record.len()), (None, 1001));
    assert_eq!(distlog::json::record(decoded.record.as_json()), Ok(decoded.record));
}

#[test]
fn an_unreadable_message_is_kept_with_its_bytes() {
    let long = [7_u8; 5000];
    let decoded = wire::decode(&[b"P".as_slice(), b"\xff\xfe", b"abc", &long, b"fifth"], NOW);
    let mut sevens = "BwcH".repeat(4096 / 3);
    sevens.push_str("Bw==");
    assert_eq!(
        decoded.record.as_json(),
        format!(
            "{{\"name\":\"distlogd\",\"levelno\":40,\"levelname\":\"ERROR\",\"created\":1700000000.000000001,\
             \"message\":\"unreadable message: frames\",\"_rejected\":{{\"reason\":\"frames\",\
             \"detail\":\"a message has 2 frames, this one has 5\",\
             \"frames\":[\"UA==\",\"//4=\",\"YWJj\",\"{sevens}\"],\"sizes\":[1,2,3,5000]}}}}"
        )
    );
    assert_eq!(decoded.record.created(), Some(NOW));
    for time in [0, -1, i64::MIN, i64::MAX] {
        assert_eq!(wire::decode::<&[u8]>(&[], time).record.created(), Some(time));
    }
}

#[test]
fn nobody_can_pass_for_the_daemon() {
    let body = br#"{"_offset":1,"__offset":2,"_received_at":3,"_rejected":4,"_system":"S","\u005foffset2":5,"_offs":6,"offset":7}"#;
    assert_eq!(
        decode(&[b"PLJ", body]),
        r#"{"__offset":1,"___offset":2,"__received_at":3,"__rejected":4,"__system":"S","__offset2":5,"_offs":6,"offset":7}"#
    );
    assert_eq!(decode(&[b"SLJ", br#"{"_system":"P"}"#]), r#"{"__system":"P","_system":"S"}"#);
}

/// Messages of 2017: their form is told in `testdata/wire/make.py`.
const MESSAGES: [(&str, &[u8]); 4] = [
    ("json", include_bytes!("../../../../testdata/wire/2017-json.message")),
    ("json, odd values, staging", include_bytes!("../../../../testdata/wire/2017-json-odd.message")),
    ("pickle", include_bytes!("../../../../testdata/wire/2017-pickle.message")),
    ("pickle, odd values, test", include_bytes!("../../../../testdata/wire/2017-pickle-odd.message")),
];

fn frames(mut message: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = message.split_first_chunk::<2>() {
        let (frame, rest) = rest.split_at(usize::from(u16::from_le_bytes(*length)));
        frames.push(frame.to_vec());
        message = rest;
    }
    frames
}

#[test]
fn messages_of_2017_read_as_ever() {
    for (name, message) in MESSAGES {
        let decoded = wire::decode(&frames(message), NOW);
        assert_eq!(decoded.rejected, None, "{name}");
        let record = decoded.record;
        let odd = name.contains("odd");
        assert_eq!(record.len(), if odd { 27 } else { 24 }, "{name}");
        assert_eq!(record.message().as_deref(), Some("order A-17 failed für Ärger"), "{name}");
        assert_eq!((record.level(), record.created()), (Some(40), Some(1_500_000_000_123_456_700)), "{name}");
        assert_eq!(record.key().map(|key| key.number), Some(3), "{name}");
        assert_eq!(record.get("lineno").and_then(Raw::as_i64), Some(42), "{name}");
        let text = |name| record.get(name).and_then(Raw::into_str);
        assert_eq!(text("ratio").as_deref(), odd.then_some("NaN"), "{name}");
        assert_eq!(text("file").as_deref(), odd.then_some("a\\udc80"), "{name}");
    }
}

#[test]
fn a_message_cut_anywhere_or_with_any_bit_flipped_makes_one_record() {
    for (name, message) in MESSAGES {
        let whole = frames(message);
        for end in 0..whole[1].len() {
            let cut = [whole[0].clone(), whole[1][..end].to_vec()];
            assert!(wire::decode(&cut, NOW).rejected.is_some(), "{name} cut at {end}");
            one_record(&cut).unwrap();
        }
        for bit in 0..whole[1].len() * 8 {
            let mut flipped = whole.clone();
            flipped[1][bit / 8] ^= 1 << (bit % 8);
            one_record(&flipped).unwrap();
        }
    }
}

/// Every message makes one record that reads again, whether it could be read or not.
fn one_record(frames: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let decoded = wire::decode(frames, NOW);
    let again = distlog::json::record(decoded.record.as_json());
    prop_assert_eq!(again.as_ref(), Ok(&decoded.record));
    prop_assert_eq!(decoded.record.get("_rejected").is_some(), decoded.rejected.is_some());
    Ok(())
}

proptest! {
    #[test]
    fn any_frames_make_one_record(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..6)) {
        one_record(&frames)?;
    }

    #[test]
    fn any_body_makes_one_record(topic in "[TSP]L[JP]", body in prop::collection::vec(any::<u8>(), 0..200)) {
        one_record(&[topic.into_bytes(), body])?;
    }

    #[test]
    fn any_object_makes_its_record(system in "[TSP]", object in crate::json::objects()) {
        let frames = [format!("{system}LJ").into_bytes(), object.to_string().into_bytes()];
        prop_assert_eq!(wire::decode(&frames, NOW).rejected, None);
        one_record(&frames)?;
    }
}
