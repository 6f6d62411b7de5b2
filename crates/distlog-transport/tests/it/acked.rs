//! Batches and answers: what is written reads the same, and a batch never stands for more numbers than it says.

use distlog_transport::acked::{HEADER, Header, Kind, MAX_COUNT, Request, push_record};
use proptest::prelude::*;

const KINDS: [Kind; 7] =
    [Kind::Hello, Kind::Batch, Kind::Gap, Kind::Ack, Kind::Again, Kind::Taken, Kind::Refused];

fn header() -> impl Strategy<Value = Header> {
    (proptest::sample::select(&KINDS[..]), any::<[u8; 16]>(), any::<u64>(), any::<u64>(), any::<u32>())
        .prop_map(|(kind, producer, epoch, number, count)| Header { kind, producer, epoch, number, count })
}

fn batch(count: u32, number: u64) -> Header {
    Header { kind: Kind::Batch, producer: [7; 16], epoch: 1, number, count }
}

proptest! {
    #[test]
    fn a_header_reads_as_it_was_written(header in header()) {
        prop_assert_eq!(Header::read(&header.to_bytes()), Ok(header));
    }

    #[test]
    fn records_of_a_batch_read_as_they_were_written(records in prop::collection::vec((any::<[u8; 3]>(), prop::collection::vec(any::<u8>(), 0..50)), 0..20)) {
        let mut body = Vec::new();
        for (topic, record) in &records {
            push_record(&mut body, *topic, record);
        }
        let frames = [batch(records.len() as u32, 5).to_bytes().to_vec(), body];
        let request = Request::read(&frames).unwrap();
        let (read, rest) = request.records();
        prop_assert_eq!(request.end(), 5 + records.len() as u64);
        prop_assert!(rest.is_empty());
        prop_assert_eq!(read.len(), records.len());
        for ([topic, body], (its_topic, its_body)) in read.into_iter().zip(&records) {
            prop_assert_eq!((topic, body), (&its_topic[..], &its_body[..]));
        }
    }

    #[test]
    fn any_bytes_give_at_most_the_records_that_the_header_says(
        count in 0..40_u32, body in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..400),
    ) {
        let frames = [batch(count, 0).to_bytes().to_vec(), body.clone()];
        let request = Request::read(&frames).unwrap();
        let (records, rest) = request.records();
        prop_assert!(records.len() <= count as usize);
        let read: usize = records.iter().map(|[topic, record]| topic.len() + 4 + record.len()).sum();
        prop_assert_eq!(read + rest.len(), body.len());
    }

    #[test]
    fn any_frames_are_read_or_refused(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4)) {
        if let Ok(request) = Request::read(&frames) {
            prop_assert!(frames[0].len() == HEADER && frames.len() <= 2);
            drop(request.records());
        }
    }
}

#[test]
fn what_is_no_request_is_refused_in_words() {
    let with = |change: fn(&mut Header)| {
        let mut header = batch(1, 0);
        change(&mut header);
        header.to_bytes().to_vec()
    };
    let cases: [(Vec<Vec<u8>>, &str); 9] = [
        (vec![], "one or two frames"),
        (vec![b"DL2B".to_vec()], "begins with DL1"),
        (vec![b"DL1B".to_vec()], "40 bytes"),
        (vec![with(|_| ())], "two frames"),
        (vec![with(|header| header.kind = Kind::Hello), vec![]], "one frame"),
        (vec![with(|header| header.kind = Kind::Ack)], "is a kind"),
        (vec![[b"DL1?".to_vec(), vec![0; 36]].concat()], "is a kind"),
        (vec![with(|header| header.count = MAX_COUNT + 1), vec![]], "8192"),
        (vec![with(|header| header.number = u64::MAX), vec![]], "2^64"),
    ];
    for (frames, said) in cases {
        let refused = Request::read(&frames).unwrap_err();
        assert!(refused.contains(said), "{refused} does not say {said}");
    }
}

#[test]
fn a_gap_is_one_record_for_many_numbers() {
    let mut body = Vec::new();
    push_record(&mut body, *b"PLJ", b"{}");
    let header = Header { kind: Kind::Gap, count: 1_000_000, ..batch(0, 10) };
    let frames = [header.to_bytes().to_vec(), body];
    let request = Request::read(&frames).unwrap();
    assert_eq!((request.expected(), request.end()), (1, 1_000_010));
    assert_eq!(request.records().0, vec![[&b"PLJ"[..], b"{}"]]);
}
