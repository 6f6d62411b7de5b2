//! Acknowledged delivery: batches of numbered records, and the answers to them.
//!
//! A producer (one run of a process) numbers its records without gaps, from 0 on. It sends them in batches over a DEALER
//! socket; the daemon answers on a ROUTER socket. Every message, in both directions, begins with a frame of 40 bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 0–2 | `DL1`: this protocol, version 1 |
//! | 3 | kind: a letter, see [`Kind`] |
//! | 4–19 | producer: 16 random bytes |
//! | 20–27 | epoch, u64: 0, and one more each time another process takes the producer's records over |
//! | 28–35 | number, u64: of the first record; in an answer, of the record that is expected next |
//! | 36–39 | count, u32: how many numbers the message is about; 0 where that means nothing |
//!
//! All integers are big-endian. `B` and `G` have a second frame, the records one after the other, each as:
//!
//! | bytes | what |
//! |---|---|
//! | 3 | topic, as in a message of a PUSH client |
//! | 4 | length of the body, u32 |
//! | length | body |
//!
//! The header says all that acknowledging needs, so that no body is decoded for it. Invariant: whatever the bytes are, a
//! batch stands for exactly `count` numbers ([`Batch::records`] never gives more), so that producer and daemon
//! cannot disagree about what comes next.

/// Length of the first frame.
pub const HEADER: usize = 40;
/// Most numbers of one batch.
pub const MAX_COUNT: u32 = 8192;
/// What every first frame begins with.
const MAGIC: [u8; 3] = *b"DL1";
/// Before each record's body: its topic and its length.
const PREFIX: usize = 7;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `H`, to the daemon: I begin here, my lowest number without an answer is `number`. The first message on every connection.
    Hello,
    /// `B`, to the daemon: `count` records.
    Batch,
    /// `G`, to the daemon: one record that tells of `count` numbers which are lost.
    Gap,
    /// `A`, to the producer: all numbers below `number` are stored, and synced to disk.
    Ack,
    /// `N`, to the producer: `number` was expected, or no `H` came before. Say `H`, then send again from there.
    Again,
    /// `T`, to the producer: somebody else goes by this id. Take a new one, and number the records without an answer anew.
    Taken,
    /// `R`, to the producer: refused. A second frame says why. Sending the same again would not help.
    Refused,
}

/// The first frame, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the message says.
    pub kind: Kind,
    /// Whose records these are.
    pub producer: [u8; 16],
    /// Which of the processes that held them in turn.
    pub epoch: u64,
    /// The number of the first record, or the one expected next.
    pub number: u64,
    /// How many numbers the message is about.
    pub count: u32,
}

/// A message to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Its first frame.
    pub header: Header,
    /// Its second, empty for `H`.
    pub body: &'a [u8],
}

/// A record inside a batch, as the two frames that a PUSH client would have sent.
pub type Frames<'a> = [&'a [u8]; 2];

impl Kind {
    const LETTERS: [(Self, u8); 7] = [
        (Self::Hello, b'H'),
        (Self::Batch, b'B'),
        (Self::Gap, b'G'),
        (Self::Ack, b'A'),
        (Self::Again, b'N'),
        (Self::Taken, b'T'),
        (Self::Refused, b'R'),
    ];

    fn letter(self) -> u8 {
        Self::LETTERS.iter().find(|(kind, _)| *kind == self).map_or(b'?', |(_, letter)| *letter)
    }

    fn read(letter: u8) -> Option<Self> {
        Self::LETTERS.iter().find(|(_, known)| *known == letter).map(|(kind, _)| *kind)
    }
}

impl Header {
    /// The frame's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let parts: [&[u8]; 6] = [
            &MAGIC,
            &[self.kind.letter()],
            &self.producer,
            &self.epoch.to_be_bytes(),
            &self.number.to_be_bytes(),
            &self.count.to_be_bytes(),
        ];
        for (place, byte) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *place = *byte;
        }
        bytes
    }

    /// Reads the frame, or says what is wrong with it in a few words.
    pub fn read(frame: &[u8]) -> Result<Self, &'static str> {
        if !frame.starts_with(&MAGIC) {
            return Err("the first frame begins with DL1");
        }
        let wrong = "the first frame has 40 bytes";
        let frame: &[u8; HEADER] = frame.try_into().map_err(|_| wrong)?;
        let [_, _, _, letter, rest @ ..] = frame;
        let kind = Kind::read(*letter).ok_or("the fourth byte is a kind: H, B or G")?;
        let (producer, rest) = rest.split_first_chunk().ok_or(wrong)?;
        let (epoch, rest) = rest.split_first_chunk().ok_or(wrong)?;
        let (number, rest) = rest.split_first_chunk().ok_or(wrong)?;
        let (count, _) = rest.split_first_chunk().ok_or(wrong)?;
        Ok(Self {
            kind,
            producer: *producer,
            epoch: u64::from_be_bytes(*epoch),
            number: u64::from_be_bytes(*number),
            count: u32::from_be_bytes(*count),
        })
    }
}

impl<'a> Request<'a> {
    /// Reads a message to the daemon, or says what is wrong with it.
    pub fn read<F: AsRef<[u8]>>(frames: &'a [F]) -> Result<Self, &'static str> {
        let [first, rest @ ..] = frames else { return Err("a message has one or two frames") };
        let header = Header::read(first.as_ref())?;
        let body = match (header.kind, rest) {
            (Kind::Hello, []) => &[],
            (Kind::Hello, _) => return Err("H has one frame"),
            (Kind::Batch | Kind::Gap, [body]) => body.as_ref(),
            (Kind::Batch | Kind::Gap, _) => return Err("B and G have two frames"),
            _ => return Err("the fourth byte is a kind: H, B or G"),
        };
        if header.kind == Kind::Batch && header.count > MAX_COUNT {
            return Err("a batch has 8192 records at most");
        }
        if header.number.checked_add(u64::from(header.count)).is_none() {
            return Err("numbers end before 2^64 - 1");
        }
        Ok(Self { header, body })
    }

    /// The number after the last one this message is about.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.header.number.saturating_add(u64::from(self.header.count))
    }

    /// How many records the message should hold.
    #[must_use]
    pub fn expected(&self) -> usize {
        match self.header.kind {
            Kind::Batch => self.header.count as usize,
            Kind::Gap => 1,
            _ => 0,
        }
    }

    /// Its records in order, and what is left of the body when they end: nothing, in an honest batch.
    ///
    /// Never more than [`Self::expected`]; fewer if the body ends too early.
    #[must_use]
    pub fn records(&self) -> (Vec<Frames<'a>>, &'a [u8]) {
        let mut records = Vec::with_capacity(self.expected().min(self.body.len() / PREFIX + 1));
        let mut rest = self.body;
        while records.len() < self.expected()
            && let Some((record, after)) = split_record(rest)
        {
            records.push(record);
            rest = after;
        }
        (records, rest)
    }
}

/// The records of a batch's second frame, as far as it can be read.
pub fn records(mut body: &[u8]) -> impl Iterator<Item = Frames<'_>> {
    std::iter::from_fn(move || {
        let (record, rest) = split_record(body)?;
        body = rest;
        Some(record)
    })
}

/// Adds a record to a batch's second frame. Longer than a message may be, which is far below 4 GiB, it must not be.
pub fn push_record(body: &mut Vec<u8>, topic: [u8; 3], record: &[u8]) {
    body.extend_from_slice(&topic);
    body.extend_from_slice(&(record.len() as u32).to_be_bytes());
    body.extend_from_slice(record);
}

/// Bytes that [`push_record`] adds for a record of this length.
#[must_use]
pub fn record_length(record: usize) -> usize {
    PREFIX + record
}

fn split_record(bytes: &[u8]) -> Option<(Frames<'_>, &[u8])> {
    let (topic, rest) = bytes.split_at_checked(3)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (body, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some(([topic, body], rest))
}
