//! The session against a daemon that loses connections, restarts and repeats itself: everything once and in order.

use proptest::prelude::*;

use super::*;
use crate::acked::{Request, push_record};

/// What can happen between the two.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The program logs so many records.
    Log(u8),
    /// The next message of the producer arrives.
    Arrive,
    /// The next answer arrives.
    Answer,
    /// The connection is lost with all that is on it.
    Lose,
    /// The daemon forgets who is connected.
    Restart,
    /// Somebody else takes the id.
    Take,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..20_u8).prop_map(Step::Log),
        6 => Just(Step::Arrive),
        5 => Just(Step::Answer),
        1 => Just(Step::Lose),
        1 => Just(Step::Restart),
        1 => Just(Step::Take),
    ];
    prop::collection::vec(step, 0..120)
}

/// Both ends and the two directions between them.
struct Bed {
    session: Session,
    logged: u32,
    names: u8,
    to_daemon: VecDeque<Vec<Vec<u8>>>,
    to_producer: VecDeque<Vec<Vec<u8>>>,
    /// What the daemon expects of each id, and whether it knows its connection.
    expected: std::collections::HashMap<[u8; 16], (u64, bool)>,
    stored: Vec<u32>,
    released: usize,
}

impl Bed {
    fn new() -> Self {
        let mut bed = Self {
            session: Session::new([0; 16]),
            logged: 0,
            names: 0,
            to_daemon: VecDeque::new(),
            to_producer: VecDeque::new(),
            expected: std::collections::HashMap::new(),
            stored: Vec::new(),
            released: 0,
        };
        bed.connect();
        bed
    }

    fn connect(&mut self) {
        self.to_daemon.clear();
        self.to_producer.clear();
        self.expected.values_mut().for_each(|(_, known)| *known = false);
        let hello = self.session.hello();
        self.to_daemon.push_back(vec![hello.to_bytes().to_vec()]);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Log(count) if self.session.has_room() => {
                let mut chunk = Chunk::default();
                for _ in 0..count {
                    push_record(&mut chunk.bytes, *b"PLJ", &self.logged.to_be_bytes());
                    self.logged += 1;
                    chunk.records += 1;
                }
                self.session.add(chunk);
            }
            Step::Log(_) => {}
            Step::Arrive => self.arrive(),
            Step::Answer => self.answer(),
            Step::Lose => self.connect(),
            Step::Restart => self.expected.values_mut().for_each(|(_, known)| *known = false),
            Step::Take => self.tell(Kind::Taken, self.session.producer, 0),
        }
        while let Some((header, body)) = self.session.take_due() {
            self.to_daemon.push_back(vec![header.to_bytes().to_vec(), body.to_vec()]);
        }
    }

    fn tell(&mut self, kind: Kind, producer: [u8; 16], number: u64) {
        let header = Header { kind, producer, epoch: 0, number, count: 0 };
        self.to_producer.push_back(vec![header.to_bytes().to_vec()]);
    }

    /// The daemon of `docs/protocol.md`, in short.
    fn arrive(&mut self) {
        let Some(frames) = self.to_daemon.pop_front() else { return };
        let request = Request::read(&frames).unwrap();
        let Header { kind, producer, number, .. } = request.header;
        if kind == Kind::Hello {
            let (next, _) = self.expected.get(&producer).copied().unwrap_or((number, true));
            assert!(number <= next, "numbers {next} to {number} are lost");
            self.expected.insert(producer, (next, true));
            self.tell(Kind::Ack, producer, next);
            return;
        }
        let (next, known) = self.expected.get(&producer).copied().unwrap_or_default();
        if !known || number > next {
            self.tell(Kind::Again, producer, next);
            return;
        }
        for [_, body] in request.records().0.into_iter().skip((next - number) as usize) {
            self.stored.push(u32::from_be_bytes(body.try_into().unwrap()));
        }
        let next = next.max(request.end());
        self.expected.insert(producer, (next, true));
        self.tell(Kind::Ack, producer, next);
    }

    fn answer(&mut self) {
        let Some(frames) = self.to_producer.pop_front() else { return };
        let producer = Header::read(&frames[0]).unwrap().producer;
        if producer != self.session.producer {
            // An answer to the id before: the real thing gives the connection up.
            assert!(self.session.hear(&frames, |_| ()).is_err());
            return self.connect();
        }
        let mut released = 0;
        let heard = self.session.hear(&frames, |chunk| released += chunk.records).unwrap();
        self.released += released;
        if heard == Heard::Taken {
            self.names += 1;
            self.session.rename([self.names; 16]);
        }
        if heard != Heard::Fine {
            let hello = self.session.hello();
            self.to_daemon.push_back(vec![hello.to_bytes().to_vec()]);
        }
    }
}

proptest! {
    #[test]
    fn everything_is_stored_in_order_and_released_once(steps in steps()) {
        let takes = steps.iter().any(|step| matches!(step, Step::Take));
        let mut bed = Bed::new();
        for step in steps {
            bed.step(step);
            prop_assert!(bed.released <= bed.stored.len());
        }
        for _ in 0..2000 {
            bed.step(Step::Arrive);
            bed.step(Step::Answer);
        }
        prop_assert!(!bed.session.is_waiting());
        prop_assert_eq!(bed.released, bed.logged as usize);
        if takes {
            // Under a new id the daemon cannot know what it has: at least once, and in order each time.
            bed.stored.sort_unstable();
            bed.stored.dedup();
        }
        prop_assert_eq!(bed.stored, (0..bed.logged).collect::<Vec<_>>());
    }

    #[test]
    fn no_answer_breaks_it(answers in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..3), 0..20)) {
        let mut session = Session::new([1; 16]);
        session.hello();
        for frames in answers {
            drop(session.hear(&frames, |_| ()));
        }
    }
}

#[test]
fn an_answer_for_what_was_never_sent_releases_nothing() {
    let mut session = Session::new([1; 16]);
    session.hello();
    let ack = |number, producer| {
        vec![Header { kind: Kind::Ack, producer, epoch: 0, number, count: 0 }.to_bytes().to_vec()]
    };
    assert_eq!(session.hear(&ack(0, [1; 16]), |_| ()), Ok(Heard::Fine));
    session.add(Chunk { bytes: vec![0; 7], records: 1 });
    assert!(session.take_due().is_some());
    assert!(session.hear(&ack(2, [1; 16]), |_| panic!("released")).is_err());
    assert!(session.hear(&ack(1, [2; 16]), |_| panic!("released")).is_err());
    let mut released = 0;
    session.hear(&ack(1, [1; 16]), |chunk| released += chunk.records).unwrap();
    session.hear(&ack(1, [1; 16]), |_| panic!("twice")).unwrap();
    assert_eq!((released, session.is_waiting()), (1, false));
}
