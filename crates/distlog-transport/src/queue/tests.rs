//! The queue against a plain list: order, bounds and counts, whatever is pushed and taken.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const NO_TIME: Duration = Duration::ZERO;

fn queue(bytes: usize, records: usize) -> Queue {
    Queue::new(Bounds {
        form: Form::Messages,
        bytes,
        records,
        message: 1 << 20,
        gather: NO_TIME,
        tells_gaps: false,
    })
}

/// Take everything out as the thread would, and give the bodies.
fn drain(queue: &Queue) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Work::Chunk(chunk) = queue.next(NO_TIME) {
        let mut rest = chunk.bytes.as_slice();
        while let Some(length) = zmtp::message_length(rest) {
            let (message, after) = rest.split_at(length);
            // The shortest long message is 14 + 256 bytes, the longest short one 7 + 255.
            let start = if length > 262 { 14 } else { 7 };
            bodies.push(message[start..].to_vec());
            rest = after;
        }
        assert!(rest.is_empty(), "chunks hold whole messages");
        queue.handed_over(chunk.bytes.len(), chunk.records);
        queue.recycle(chunk.bytes);
    }
    bodies
}

#[test]
fn messages_larger_than_a_chunk_pass() {
    let queue = queue(8 << 20, 100);
    let lengths = [10, 300_000, 10, CHUNK, 10, CHUNK - 14];
    for length in lengths {
        assert_eq!(queue.push(*b"PLJ", &vec![1; length], 20).0, Pushed::Queued);
    }
    let came: Vec<usize> = drain(&queue).iter().map(Vec::len).collect();
    assert_eq!(came, lengths);
}

#[test]
fn only_the_first_push_asks_for_a_thread() {
    let queue = queue(1000, 10);
    assert_eq!(queue.push(*b"PLJ", b"1", 20).1, Thread::Missing);
    assert_eq!(queue.push(*b"PLJ", b"2", 20).1, Thread::Running);
    queue.not_started();
    assert_eq!(queue.push(*b"PLJ", b"3", 20).1, Thread::Missing);
}

#[test]
fn a_gap_waits_until_half_of_the_queue_is_free() {
    let queue = queue(1 << 20, 16);
    for _ in 0..20 {
        queue.push(*b"PLJ", b"x", 20);
    }
    assert_eq!(queue.take_gap(), None, "while it is full");
    let Work::Chunk(chunk) = queue.next(NO_TIME) else { panic!("no chunk") };
    queue.handed_over(chunk.bytes.len(), chunk.records);
    assert_eq!(queue.take_gap().map(|gap| (gap.records, gap.important)), Some((6, 0)));
    assert_eq!(queue.take_gap(), None, "told once");
}

#[test]
fn close_gives_up_what_is_left_and_says_so() {
    let queue = queue(1 << 20, 100);
    queue.push(*b"PLJ", b"x", 20);
    assert!(!queue.close(NO_TIME));
    assert_eq!(queue.push(*b"PLJ", b"x", 20).0, Pushed::Dropped);
    let counts = queue.counts();
    assert_eq!((counts.records, counts.bytes, counts.abandoned, counts.dropped_closed), (0, 0, 1, 1));
    assert!(matches!(queue.next(NO_TIME), Work::Stop));
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_in_order(
        lengths in proptest::collection::vec(0_usize..2_000, 0..300),
        bytes in 0_usize..300_000,
        records in 0_usize..300,
        drain_every in 1_usize..100,
    ) {
        let queue = queue(bytes, records);
        let (mut expected, mut came, mut dropped) = (Vec::new(), Vec::new(), 0);
        for (number, length) in lengths.into_iter().enumerate() {
            let mut body = number.to_string().into_bytes();
            body.resize(length.max(body.len()), b' ');
            match queue.push(*b"PLJ", &body, 20).0 {
                Pushed::Queued => expected.push(body),
                Pushed::Dropped => dropped += 1,
            }
            let counts = queue.counts();
            prop_assert!(counts.bytes <= bytes && counts.records <= records);
            prop_assert_eq!(counts.accepted - counts.handed_over, counts.records as u64);
            if number % drain_every == 0 {
                came.extend(drain(&queue));
            }
        }
        came.extend(drain(&queue));
        prop_assert_eq!(came, expected);
        prop_assert_eq!(queue.counts().dropped_full, dropped);
        prop_assert_eq!((queue.counts().bytes, queue.counts().records), (0, 0));
    }
}
