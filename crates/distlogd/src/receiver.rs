//! The receiver: sockets → the writer's queue. One task per source.
//!
//! A batch enters the queue only when its bytes fit ([`crate::writer::QUEUE_BYTES`]); until then its task takes nothing
//! from the socket, and the senders feel it. At the stop it closes the door first, then takes what is still
//! on its way here, until nothing came for a moment. Only an acked endpoint need not wait: what has no answer comes again.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use distlog_transport::{Answers, Counters, Listener, Message};
use tokio::sync::{Semaphore, watch};

use crate::report::say;
use crate::stats::Stats;
use crate::writer::{Batch, QUEUE_BYTES};

/// Messages taken from a socket at once, at most.
const MESSAGES: usize = 1024;
/// Bytes taken from a socket at once, roughly: what one batch holds before it is admitted to the queue.
const BATCH_BYTES: usize = 1 << 20;
/// What a message takes besides its bytes, so that empty ones do not come for nothing.
const MESSAGE_OVERHEAD: usize = 128;
/// While nothing comes, the listener's counts are looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// At the stop, silence for so long means that nothing is on its way.
const QUIET: Duration = Duration::from_millis(100);
/// At the stop, senders that never pause are cut off after this.
const DRAIN: Duration = Duration::from_secs(3);

/// Moves messages from the socket to the queue until told to stop. An acked endpoint is given back open, for the last answers.
pub(crate) async fn run(
    mut listener: Listener,
    queue: Sender<Batch>,
    room: Arc<Semaphore>,
    stats: Arc<Stats>,
    mut stop: watch::Receiver<bool>,
) -> Option<Listener> {
    let answers = listener.answers();
    let mut most = 64;
    let mut counted = Counters::default();
    loop {
        let taken = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            taken = listener.next_batch_within(most, LOOK_AGAIN) => taken,
        };
        let Ok(messages) = taken else { break };
        counted = count_cut_off(&listener, &stats, counted);
        if messages.is_empty() {
            continue;
        }
        most = next_most(&messages);
        if !forward(messages, &answers, &queue, &room).await {
            break;
        }
    }
    listener.stop_accepting().await;
    if answers.is_some() {
        return Some(listener);
    }
    let deadline = Instant::now() + DRAIN;
    while Instant::now() < deadline {
        let messages = listener.next_batch_within(most, QUIET).await.unwrap_or_default();
        if messages.is_empty() || !forward(messages, &None, &queue, &room).await {
            break;
        }
    }
    listener.close().await;
    None
}

/// Adds to the ledger who was cut off since the last look. What was cut off can not be stored, so this is all there is of it.
fn count_cut_off(listener: &Listener, stats: &Stats, before: Counters) -> Counters {
    let now = listener.counters();
    let reasons = [
        ("oversized", now.oversized, before.oversized),
        ("handshake", now.handshakes_failed, before.handshakes_failed),
        ("crowded", now.refused, before.refused),
        ("broken", now.broken, before.broken),
    ];
    for (reason, now, before) in reasons {
        if now > before {
            stats.cut_off.add(reason, now - before);
        }
    }
    if now.oversized > before.oversized {
        say(&format!(
            "distlogd: {} message(s) larger than 1 MiB refused at {}; the sender's connection was closed each time",
            now.oversized - before.oversized,
            listener.local_endpoint()
        ));
    }
    now
}

/// How many messages to take next time, if they are as large as these.
fn next_most(messages: &[Message]) -> usize {
    let average = size(messages) / messages.len().max(1);
    (BATCH_BYTES / average.max(1)).clamp(1, MESSAGES)
}

fn size(messages: &[Message]) -> usize {
    messages.iter().flat_map(|message| message.frames()).map(|frame| frame.as_ref().len()).sum()
}

/// Puts a batch into the queue when there is room; `false` if nobody takes it any more.
async fn forward(
    messages: Vec<Message>,
    answers: &Option<Answers>,
    queue: &Sender<Batch>,
    room: &Arc<Semaphore>,
) -> bool {
    let received = crate::now();
    let bytes = size(&messages);
    let held = bytes + messages.len() * MESSAGE_OVERHEAD;
    let permits = u32::try_from(held.min(QUEUE_BYTES)).unwrap_or(u32::MAX);
    let Ok(room) = Arc::clone(room).acquire_many_owned(permits).await else { return false };
    let sent = queue.send(Batch { messages, received, bytes, answers: answers.clone(), _room: room });
    if sent.is_err() {
        say("distlogd: the writer is gone; records on their way are lost");
    }
    sent.is_ok()
}
