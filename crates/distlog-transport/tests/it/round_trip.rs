//! What the sender hands over arrives: in order, once, whatever starts or dies when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use distlog_transport::{Door, Error, Limits, Listener, Message, Pushed, SenderOptions, is_loopback};

use crate::peer::{Peer, sender, wait_for};

/// Receive until `count` messages are there.
async fn receive(listener: &mut Listener, count: usize) -> Vec<Message> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = listener.next_batch_within(4096, Duration::from_secs(10)).await.unwrap();
        assert!(!batch.is_empty(), "{} of {count} messages came", all.len());
        all.extend(batch);
    }
    all
}

fn assert_numbered(messages: &[Message]) {
    for (number, message) in messages.iter().enumerate() {
        let [topic, body] = message.frames() else { panic!("two frames, not {message:?}") };
        assert_eq!(topic.as_ref(), b"PLJ");
        assert_eq!(body.as_ref(), number.to_string().as_bytes());
    }
}

async fn many_in_order(endpoint: &str, count: usize) {
    let mut listener = Listener::bind(endpoint, Door::Pull, Limits::default()).await.unwrap();
    assert!(is_loopback(&listener.local_endpoint()));
    let sender = Arc::new(sender(&listener.local_endpoint()));
    let pusher = Arc::clone(&sender);
    let pushing = std::thread::spawn(move || {
        for number in 0..count {
            while pusher.push(*b"PLJ", number.to_string().as_bytes(), 20) == Pushed::Dropped {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert!(pusher.flush(Duration::from_secs(20)));
        pusher.stats()
    });
    let messages = receive(&mut listener, count).await;
    assert_numbered(&messages);
    let stats = pushing.join().unwrap();
    assert_eq!((stats.sent, stats.queued, stats.queued_bytes, stats.reconnects), (count as u64, 0, 0, 0));
    assert!(stats.connected);
    let counters = listener.counters();
    assert_eq!((counters.messages, counters.accepted, counters.connections), (count as u64, 1, 1));
    assert!(sender.close(Duration::from_secs(1)));
    listener.close().await;
}

#[tokio::test]
async fn a_hundred_thousand_over_tcp() {
    many_in_order("tcp://127.0.0.1:0", 100_000).await;
}

#[tokio::test]
async fn many_over_a_unix_socket() {
    let folder = std::env::temp_dir().join(format!("distlog-transport-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("pull.sock");
    many_in_order(&format!("ipc://{}", path.display()), 20_000).await;
    assert!(!path.exists(), "the listener takes its socket file away");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn many_over_an_abstract_socket() {
    many_in_order(&format!("ipc://@distlog-test-{}", std::process::id()), 1_000).await;
}

#[tokio::test]
async fn bodies_of_every_length_class_arrive_whole() {
    let mut listener = Listener::bind("tcp://127.0.0.1:0", Door::Pull, Limits::default()).await.unwrap();
    let sender = sender(&listener.local_endpoint());
    let lengths = [0, 1, 54, 55, 62, 63, 255, 256, 4_095, 4_096, 65_535, 65_536, 131_072, (1 << 20) - 3];
    for length in lengths {
        assert_eq!(sender.push(*b"TLP", &vec![b'z'; length], 20), Pushed::Queued);
    }
    let messages = receive(&mut listener, lengths.len()).await;
    for (message, length) in messages.iter().zip(lengths) {
        assert_eq!(message[0].as_ref(), b"TLP");
        assert_eq!(message[1].as_ref(), vec![b'z'; length]);
    }
}

#[tokio::test]
async fn nothing_is_lost_when_the_daemon_starts_late() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("tcp://127.0.0.1:{port}");
    let sender = sender(&endpoint);
    for number in 0..1_000 {
        sender.push(*b"PLJ", number.to_string().as_bytes(), 20);
    }
    wait_for("a failure", || sender.stats().failing_since.is_some());
    assert!(!sender.stats().connected);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut listener = Listener::bind(&endpoint, Door::Pull, Limits::default()).await.unwrap();
    assert_numbered(&receive(&mut listener, 1_000).await);
    assert_eq!(sender.stats().failing_since, None);
}

#[test]
fn sending_goes_on_after_the_daemon_was_killed() {
    let mut first = Peer::start("tcp://127.0.0.1:0");
    let endpoint = first.endpoint.clone();
    let sender = sender(&endpoint);
    for number in 0..1_000 {
        sender.push(*b"PLJ", number.to_string().as_bytes(), 20);
    }
    first.await_messages(1_000);
    first.kill();
    // The end is noticed while idle, so that nothing is written into the dead connection.
    wait_for("the lost connection", || !sender.stats().connected);
    for number in 0..1_000 {
        sender.push(*b"PLJ", number.to_string().as_bytes(), 20);
    }
    let mut second = Peer::start(&endpoint);
    second.await_messages(1_000);
    let stats = sender.stats();
    assert_eq!((stats.sent, stats.reconnects), (2_000, 1), "{stats:?}");
}

#[tokio::test]
async fn a_drained_listener_has_lost_nothing() {
    let mut listener = Listener::bind("tcp://127.0.0.1:0", Door::Pull, Limits::default()).await.unwrap();
    let endpoint = listener.local_endpoint();
    let sender = sender(&endpoint);
    for number in 0..5_000 {
        sender.push(*b"PLJ", number.to_string().as_bytes(), 20);
    }
    assert!(sender.close(Duration::from_secs(5)));
    listener.stop_accepting().await;
    let late = std::net::TcpStream::connect(endpoint.trim_start_matches("tcp://"));
    assert!(late.is_err(), "nobody new gets in");
    let mut drained = Vec::new();
    loop {
        let batch = listener.next_batch_within(1_000, Duration::from_millis(200)).await.unwrap();
        if batch.is_empty() {
            break;
        }
        assert!(batch.len() <= 1_000);
        drained.extend(batch);
    }
    assert_eq!(drained.len(), 5_000);
    assert_numbered(&drained);
    listener.close().await;
}

#[tokio::test]
async fn what_cannot_be_bound_is_told_apart() {
    let bind = |endpoint: String| async move {
        Listener::bind(&endpoint, Door::Pull, Limits::default()).await.unwrap_err()
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let taken = std::net::TcpListener::bind(taken).unwrap();
    let port = taken.local_addr().unwrap().port();
    assert!(matches!(bind(format!("tcp://127.0.0.1:{port}")).await, Error::AddressInUse { .. }));
    assert!(matches!(bind("tcp://192.0.2.1:0".into()).await, Error::AddressNotAvailable { .. }));
    assert!(matches!(bind("nonsense".into()).await, Error::BadEndpoint { .. }));
    assert!(matches!(bind("ipc:///nowhere/at/all".into()).await, Error::Io { .. }));
    let file = std::env::temp_dir().join(format!("distlog-a-file-{}", std::process::id()));
    std::fs::write(&file, "keep me").unwrap();
    assert!(matches!(bind(format!("ipc://{}", file.display())).await, Error::BadEndpoint { .. }));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "keep me");
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn a_second_daemon_does_not_take_the_socket_file_from_the_first() {
    let path = std::env::temp_dir().join(format!("distlog-two-{}.sock", std::process::id()));
    let endpoint = format!("ipc://{}", path.display());
    let first = Listener::bind(&endpoint, Door::Pull, Limits::default()).await.unwrap();
    let second = Listener::bind(&endpoint, Door::Pull, Limits::default()).await;
    assert!(matches!(second, Err(Error::AddressInUse { .. })));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    first.close().await;
}

#[tokio::test]
async fn a_silent_daemon_is_left_and_a_backed_up_one_is_not() {
    let limits = Limits {
        heartbeat: Duration::from_millis(300),
        silence: Duration::from_secs(1),
        ..Limits::default()
    };
    let mut listener = Listener::bind("tcp://127.0.0.1:0", Door::Pull, limits).await.unwrap();
    let sender = sender(&listener.local_endpoint());
    let mut pushed = 0;
    // Nobody takes a message for five seconds, over four times what either end calls silence.
    let body = "x".repeat(1_000);
    let stuck = AtomicBool::new(false);
    while !stuck.load(Ordering::Relaxed) {
        match sender.push(*b"PLJ", body.as_bytes(), 20) {
            Pushed::Queued => pushed += 1,
            Pushed::Dropped => stuck.store(true, Ordering::Relaxed),
        }
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(receive(&mut listener, pushed).await.len(), pushed);
    let stats = sender.stats();
    assert_eq!((stats.reconnects, stats.dropped_full), (0, 1), "{stats:?}");
    assert_eq!(listener.counters().broken, 0);
}

#[test]
fn a_sender_needs_somewhere_to_connect_to() {
    for endpoint in ["tcp://*:5010", "tcp://127.0.0.1:0", "udp://127.0.0.1:1"] {
        let options = SenderOptions { endpoint: endpoint.to_owned(), ..SenderOptions::default() };
        assert!(
            matches!(distlog_transport::Sender::new(options), Err(Error::BadEndpoint { .. })),
            "{endpoint}"
        );
    }
}
