//! The protocol byte by byte: what is said, what is understood, and that no answer breaks the reader.

use super::*;

fn ready_from(kind: &[u8]) -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type\x00\x00\x00".to_vec();
    body.push(kind.len() as u8);
    body.extend_from_slice(kind);
    command_frame(&body)
}

fn command_frame(body: &[u8]) -> Vec<u8> {
    let mut frame = vec![COMMAND, body.len() as u8];
    frame.extend_from_slice(body);
    frame
}

fn ping(ttl: u16, context: &[u8]) -> Vec<u8> {
    let mut body = b"\x04PING".to_vec();
    body.extend_from_slice(&ttl.to_be_bytes());
    body.extend_from_slice(context);
    command_frame(&body)
}

fn violation(bytes: &[u8]) -> String {
    Incoming::default().feed(bytes).expect_err("a violation").0
}

#[test]
fn greeting_is_null_3_1() {
    assert_eq!(&GREETING[..16], b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL");
    assert_eq!(GREETING[16..], [0; 48]);
    assert_eq!(check_greeting(&GREETING), Ok(()));
}

#[test]
fn greetings_of_others_are_named() {
    let mut peer = GREETING;
    peer[10] = 1;
    assert_eq!(check_greeting(&peer).unwrap_err().0, "the peer speaks ZMTP 1, not 3");
    peer = GREETING;
    peer[12..17].copy_from_slice(b"CURVE");
    assert_eq!(check_greeting(&peer).unwrap_err().0, "the peer wants the mechanism CURVE, not NULL");
    let mut http = [b' '; 64];
    http[..12].copy_from_slice(b"HTTP/1.1 400");
    assert_eq!(check_greeting(&http).unwrap_err().0, "the peer does not speak ZMTP");
}

#[test]
fn message_lengths_are_read_back() {
    for length in [0, 1, 254, 255, 256, 65_535, 65_536, 1 << 20] {
        let mut out = Vec::new();
        encode(&mut out, *b"PLJ", &vec![7; length]);
        assert_eq!(out.len(), encoded_length(length));
        let whole = out.len();
        encode(&mut out, *b"PLJ", b"next");
        assert_eq!(message_length(&out), Some(whole));
        for cut in [0, 1, 5, 6, 7, 13, whole - 1] {
            assert_eq!(message_length(&out[..cut.min(whole - 1)]), None, "{length} cut at {cut}");
        }
    }
}

#[test]
fn a_body_of_one_byte_length_uses_the_short_form() {
    let mut out = Vec::new();
    encode(&mut out, *b"TLP", b"abc");
    assert_eq!(out, b"\x01\x03TLP\x00\x03abc");
}

#[test]
fn ready_must_come_from_a_pull() {
    assert_eq!(Incoming::default().feed(&ready_from(b"PULL")), Ok(vec![Said::Ready]));
    assert_eq!(violation(&ready_from(b"SUB")), "the peer's socket is SUB, not PULL");
    assert_eq!(violation(&command_frame(b"\x05READY\x0bSocket")), "the peer sent a broken READY");
    assert_eq!(violation(&command_frame(b"\x05READY\x01x\xff\xff\xff\xffy")), "the peer sent a broken READY");
    assert_eq!(violation(&command_frame(b"\x05ERROR\x07go\x1baway")), "the peer refused: go\\u{1b}away");
}

#[test]
fn pings_are_heard_in_any_cut() {
    let mut bytes = ready_from(b"PULL");
    bytes.extend(ping(300, b"ctx"));
    bytes.extend(command_frame(b"\x09SUBSCRIBEall"));
    bytes.extend(b"\x00\x02hi");
    bytes.extend(ping(0, b""));
    let expected = [
        Said::Ready,
        Said::Ping { context: b"ctx".to_vec(), silence: Duration::from_secs(30) },
        Said::Ping { context: Vec::new(), silence: Duration::ZERO },
    ];
    for size in 1..bytes.len() {
        let mut incoming = Incoming::default();
        let said: Vec<Said> = bytes.chunks(size).flat_map(|part| incoming.feed(part).unwrap()).collect();
        assert_eq!(said, expected, "in parts of {size}");
        assert!(incoming.pending.is_empty());
    }
}

#[test]
fn pong_returns_the_context_and_no_more_than_it_may() {
    let mut out = Vec::new();
    pong(&mut out, b"ctx");
    assert_eq!(out, b"\x04\x08\x04PONGctx");
    out.clear();
    pong(&mut out, &[9; 300]);
    assert_eq!(out.len(), 2 + 5 + CONTEXT_BYTES);
}

#[test]
fn a_peer_cannot_make_us_gather() {
    for claim in [65_537_u64, 1 << 40, 1 << 62, u64::MAX] {
        let mut bytes = vec![LONG];
        bytes.extend_from_slice(&claim.to_be_bytes());
        assert_eq!(violation(&bytes), format!("the peer sent a frame of {claim} bytes"));
    }
    assert_eq!(violation(b"GET / HTTP/1.1"), "the peer sent a frame with unknown flags");
    assert_eq!(violation(&command_frame(b"\x09PING")), "the peer sent a broken command");
    assert_eq!(violation(&command_frame(b"")), "the peer sent a broken command");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let mut incoming = Incoming::default();
        drop(incoming.feed(&bytes));
    }
}
