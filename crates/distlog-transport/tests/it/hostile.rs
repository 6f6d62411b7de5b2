//! Strangers at the door: whatever they send, the daemon lives, stays small and serves the honest.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::peer::{Peer, wait_for};

const MIB: u64 = 1 << 20;

const GREETING: [u8; 64] = *b"\xff\0\0\0\0\0\0\0\0\x7f\x03\0NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const READY: &[u8] = b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH";

fn connect(peer: &Peer) -> TcpStream {
    let stream = TcpStream::connect(peer.endpoint.trim_start_matches("tcp://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// A connection whose handshake is through.
fn greeted(peer: &Peer) -> TcpStream {
    let mut stream = connect(peer);
    stream.write_all(&GREETING).unwrap();
    stream.write_all(READY).unwrap();
    let mut answer = [0; 64 + 28];
    stream.read_exact(&mut answer).unwrap();
    stream
}

/// Whether the other side ends the connection.
fn is_cut(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// A stream of bytes that looks random and is the same each time.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(length)
    .collect()
}

#[test]
fn garbage_of_a_thousand_connections_reaches_nobody() {
    let mut peer = Peer::start("tcp://127.0.0.1:0");
    peer.serves(100);
    let before = peer.memory();
    for number in 0..1_000 {
        let mut stream = connect(&peer);
        let mut bytes = match number % 4 {
            0 => Vec::new(),
            1 => GREETING.to_vec(),
            2 => [GREETING.as_slice(), READY].concat(),
            _ => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        };
        // A first byte no frame may have, so that what follows READY is garbage for certain.
        bytes.push(0xf8);
        bytes.extend(noise(number, 200));
        // The other side may have ended it by then.
        stream.write_all(&bytes).ok();
    }
    wait_for("the failures to be counted", || peer.counts()[1] + peer.counts()[3] >= 700);
    assert_eq!(peer.counts()[0], 100, "no garbage is a message");
    peer.serves(100);
    assert!(peer.memory() < before + 32 * MIB, "grew from {before} to {}", peer.memory());
}

#[test]
fn claimed_lengths_cost_nothing_and_end_the_connection() {
    let mut peer = Peer::start("tcp://127.0.0.1:0");
    let before = peer.memory();
    for claim in [(1 << 20) + 1_000, 1 << 30, 1 << 40, 1 << 62, (1 << 63) - 1, u64::MAX] {
        for flags in [2_u8, 3] {
            let mut stream = greeted(&peer);
            stream.write_all(&[flags]).unwrap();
            stream.write_all(&claim.to_be_bytes()).unwrap();
            stream.write_all(b"and so on").unwrap();
            assert!(is_cut(&mut stream), "{claim} with flags {flags}");
        }
    }
    for claim in [1_u64 << 40, 1 << 62, u64::MAX] {
        let mut stream = connect(&peer);
        stream.write_all(&GREETING).unwrap();
        stream.write_all(&[6]).unwrap();
        stream.write_all(&claim.to_be_bytes()).unwrap();
        assert!(is_cut(&mut stream), "{claim} before READY");
    }
    peer.serves(10);
    assert!(peer.memory() < before + 16 * MIB, "grew from {before} to {}", peer.memory());
}

#[test]
fn endless_multiparts_are_cut() {
    let mut peer = Peer::start("tcp://127.0.0.1:0");
    let before = peer.memory();
    let empty = [1, 0].repeat(32 * 1024);
    let full = [[1, 250].as_slice(), &[b'x'; 250]].concat().repeat(256);
    for frames in [empty, full] {
        let mut stream = greeted(&peer);
        let mut sent = 0;
        while sent < 64 * MIB && stream.write_all(&frames).is_ok() {
            sent += frames.len() as u64;
        }
        assert!(sent < 32 * MIB, "cut after {sent} bytes");
    }
    assert!(peer.memory() < before + 24 * MIB, "grew from {before} to {}", peer.memory());
    wait_for("both to be counted", || peer.counts()[2] + peer.counts()[3] == 2);
    assert_eq!(peer.counts()[2], 2, "as too large: {:?}", peer.counts());
    peer.serves(10);
    assert_eq!(peer.counts()[0], 10, "no half message is a message");
}

#[test]
fn silent_and_half_greeted_connections_hold_nobody_up() {
    let mut peer = Peer::start("tcp://127.0.0.1:0");
    let mut strangers: Vec<TcpStream> = (0..500).map(|_| connect(&peer)).collect();
    for stranger in strangers.iter_mut().step_by(2) {
        stranger.write_all(&GREETING[..20]).unwrap();
    }
    let start = std::time::Instant::now();
    peer.serves(100);
    assert!(start.elapsed() < Duration::from_secs(2), "an honest client waited {:?}", start.elapsed());
    for stranger in strangers.iter_mut().step_by(50) {
        assert!(is_cut(stranger), "after the time for a handshake");
    }
}

#[test]
fn a_thousand_short_visits_are_all_heard() {
    let mut peer = Peer::start("tcp://127.0.0.1:0");
    for number in 0..1_000 {
        let mut stream = greeted(&peer);
        let body = number.to_string();
        let message = [b"\x01\x03PLJ\x00".as_slice(), &[body.len() as u8], body.as_bytes()].concat();
        stream.write_all(&message).unwrap();
    }
    peer.await_messages(1_000);
    assert!(peer.alive());
}

#[test]
fn odd_numbers_of_frames_are_delivered_as_they_are() {
    let mut peer = Peer::start("tcp://127.0.0.1:0");
    let mut stream = greeted(&peer);
    stream.write_all(b"\x00\x00").unwrap();
    stream.write_all(b"\x01\x01a\x01\x01b\x00\x01c").unwrap();
    stream.write_all(&[[1, 0].repeat(5_000), vec![0, 0]].concat()).unwrap();
    peer.await_messages(3);
}
