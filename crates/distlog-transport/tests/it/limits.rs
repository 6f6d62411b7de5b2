//! The sender's bounds: full queues, time limits, no daemon at all.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use distlog_transport::{Door, Gap, Limits, Listener, Pushed, Sender, SenderOptions};

use crate::peer::wait_for;

/// A port nobody listens on.
fn nobody() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("tcp://127.0.0.1:{port}")
}

#[test]
fn a_full_queue_drops_the_newest_and_counts_it() {
    let options = SenderOptions { endpoint: nobody(), queue_records: 80, ..SenderOptions::default() };
    let sender = Sender::new(options).unwrap();
    let pushed = |level| sender.push(*b"PLJ", b"{}", level);
    assert_eq!((0..100).filter(|_| pushed(20) == Pushed::Queued).count(), 70, "the last eighth is reserved");
    assert_eq!((0..100).filter(|_| pushed(30) == Pushed::Queued).count(), 10, "for WARNING and above");
    let stats = sender.stats();
    assert_eq!((stats.queued, stats.dropped_full), (80, 120));
}

#[test]
fn the_bound_in_bytes_holds() {
    let options = SenderOptions { endpoint: nobody(), queue_bytes: 80_000, ..SenderOptions::default() };
    let sender = Sender::new(options).unwrap();
    let body = [b'x'; 1_000];
    while sender.push(*b"PLJ", &body, 50) == Pushed::Queued {}
    assert_eq!(sender.stats().queued_bytes, 78 * 1_014);
}

#[test]
fn what_the_daemon_would_not_take_is_not_sent() {
    let sender = Sender::new(SenderOptions { endpoint: nobody(), ..SenderOptions::default() }).unwrap();
    assert_eq!(sender.push(*b"PLJ", &vec![b'x'; (1 << 20) - 3], 20), Pushed::Queued);
    assert_eq!(sender.push(*b"PLJ", &vec![b'x'; (1 << 20) - 2], 50), Pushed::Dropped);
    assert_eq!(sender.stats().dropped_oversized, 1);
}

#[test]
fn without_a_daemon_flush_and_close_keep_their_time() {
    // The second one answers to nothing, the third accepts and says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoints =
        [nobody(), "tcp://192.0.2.1:9".to_owned(), format!("tcp://{}", mute.local_addr().unwrap())];
    for endpoint in endpoints {
        let sender = Sender::new(SenderOptions { endpoint, ..SenderOptions::default() }).unwrap();
        assert!(sender.flush(Duration::ZERO), "nothing was pushed");
        sender.push(*b"PLJ", b"{}", 20);
        let start = Instant::now();
        assert!(!sender.flush(Duration::from_millis(300)));
        assert!(!sender.close(Duration::from_millis(300)));
        assert!(start.elapsed() >= Duration::from_millis(600));
        assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
        assert_eq!(sender.push(*b"PLJ", b"{}", 20), Pushed::Dropped);
        wait_for("the rest to be given up", || sender.stats().dropped_closed == 2);
        assert_eq!((sender.stats().queued, sender.stats().sent), (0, 0));
    }
}

#[test]
fn a_push_never_waits_for_the_network() {
    let sender = Sender::new(SenderOptions { endpoint: nobody(), ..SenderOptions::default() }).unwrap();
    let body = [b'x'; 600];
    let start = Instant::now();
    for _ in 0..200_000 {
        sender.push(*b"PLJ", &body, 20);
    }
    let each = start.elapsed() / 200_000;
    assert!(each < Duration::from_micros(20), "a push took {each:?}");
    assert!(sender.stats().queued_bytes <= 8 << 20);
}

#[tokio::test]
async fn a_gap_is_told_in_its_place() {
    let endpoint = nobody();
    let tell = |gap: &Gap| (*b"PLJ", format!("gap of {} ({})", gap.records, gap.important).into_bytes());
    let options = SenderOptions {
        endpoint: endpoint.clone(),
        queue_records: 80,
        gap: Some(Arc::new(tell)),
        ..SenderOptions::default()
    };
    let sender = Sender::new(options).unwrap();
    for number in 0..100 {
        sender.push(*b"PLJ", number.to_string().as_bytes(), if number == 99 { 40 } else { 20 });
    }
    let mut listener = Listener::bind(&endpoint, Door::Pull, Limits::default()).await.unwrap();
    assert!(sender.flush(Duration::from_secs(5)));
    let mut bodies = Vec::new();
    while bodies.len() < 72 {
        let batch = listener.next_batch_within(100, Duration::from_secs(5)).await.unwrap();
        assert!(!batch.is_empty(), "{} came", bodies.len());
        bodies.extend(batch.iter().map(|message| String::from_utf8(message[1].as_ref().to_vec()).unwrap()));
    }
    assert_eq!(bodies[69..], ["69", "99", "gap of 29 (0)"]);
    assert!(sender.close(Duration::from_secs(5)));
}

#[tokio::test]
async fn closing_tells_a_gap_before_it_ends() {
    let endpoint = nobody();
    let tell = |gap: &Gap| (*b"PLJ", format!("gap of {}", gap.records).into_bytes());
    let options = SenderOptions {
        endpoint: endpoint.clone(),
        queue_records: 8,
        gap: Some(Arc::new(tell)),
        ..SenderOptions::default()
    };
    let sender = Sender::new(options).unwrap();
    for _ in 0..10 {
        sender.push(*b"PLJ", b"{}", 20);
    }
    let mut listener = Listener::bind(&endpoint, Door::Pull, Limits::default()).await.unwrap();
    assert!(tokio::task::spawn_blocking(move || sender.close(Duration::from_secs(5))).await.unwrap());
    let mut last = Vec::new();
    while last != b"gap of 3" {
        let batch = listener.next_batch_within(100, Duration::from_secs(5)).await.unwrap();
        last = batch.last().expect("the gap's record")[1].as_ref().to_vec();
    }
}

/// Accept one sender, as a PULL socket that has said READY.
fn accept(listener: &UnixListener) -> UnixStream {
    let (mut stream, _) = listener.accept().unwrap();
    let mut said = [0; 64 + 28];
    stream.read_exact(&mut said[..64]).unwrap();
    stream.write_all(&said[..64]).unwrap();
    stream.read_exact(&mut said[64..]).unwrap();
    stream.write_all(b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PULL").unwrap();
    stream
}

#[test]
fn a_message_over_which_connections_break_does_not_hold_up_the_others() {
    let path = std::env::temp_dir().join(format!("distlog-refuses-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let endpoint = format!("ipc://{}", path.display());
    let sender = Sender::new(SenderOptions { endpoint, ..SenderOptions::default() }).unwrap();
    // A Unix socket holds a fifth of this, so that every connection breaks in its middle.
    sender.push(*b"PLJ", &vec![b'x'; 1 << 19], 20);
    sender.push(*b"PLJ", &vec![b'x'; 1 << 19], 20);
    sender.push(*b"PLJ", b"after", 20);
    for _ in 0..6 {
        let stream = accept(&listener);
        std::thread::sleep(Duration::from_millis(50));
        drop(stream);
    }
    let mut rest = accept(&listener);
    let mut message = [0; 7 + 5];
    rest.read_exact(&mut message).unwrap();
    assert_eq!(&message, b"\x01\x03PLJ\x00\x05after");
    assert!(sender.flush(Duration::from_secs(5)));
    let stats = sender.stats();
    assert_eq!((stats.sent, stats.dropped_refused, stats.dropped_closed, stats.reconnects), (1, 2, 0, 6));
    std::fs::remove_file(&path).unwrap();
}
