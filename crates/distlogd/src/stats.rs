//! What the daemon counts, and the page of it that Prometheus reads.
//!
//! One ledger, which must always add up, so that no loss can hide:
//!
//! - `received = stored + dropped (by rule)`, once the records on their way have arrived;
//!   `rejected` counts the messages that could not be read: they are stored too, as records that say why.
//! - per processor, `read = handled + filtered + failed`; `lag` is how many stored records it has not read yet.
//!
//! Counters are atomics that only grow. They start at zero with the process, as Prometheus expects.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// One number that only grows, or is set.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// Replaces the number: for levels (positions), not for counts.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counters by a label's value: dropped by rule, rejected by reason.
#[derive(Debug, Default)]
pub struct Labelled(Mutex<BTreeMap<String, u64>>);

impl Labelled {
    /// Adds `count` under that label.
    pub fn add(&self, label: &str, count: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(label) {
            Some(so_far) => *so_far += count,
            None => drop(counts.insert(label.to_owned(), count)),
        }
    }

    /// All labels and their numbers, in the labels' order.
    pub fn snapshot(&self) -> Vec<(String, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(label, count)| (label.clone(), *count)).collect()
    }

    /// The sum over all labels.
    pub fn total(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

/// Everything the daemon counts. Shared as `Arc<Stats>`.
#[derive(Debug, Default)]
pub struct Stats {
    /// Records taken from the sources: one a message, or those of a batch that are new.
    pub received: Counter,
    /// Bytes of these messages, all frames.
    pub received_bytes: Counter,
    /// Records committed to the store.
    pub stored: Counter,
    /// Commits to the store.
    pub commits: Counter,
    /// Commits that failed and were done again.
    pub failed_commits: Counter,
    /// Records kept out of the store by a `drop: true` rule, by rule.
    pub dropped: Labelled,
    /// Messages that could not be read, by reason.
    pub rejected: Labelled,
    /// Records that producers sent again and that are in the store already; they are not in the ledger.
    pub repeated: Counter,
    /// Numbers that producers gave to records which never arrived. A record in the store tells of them.
    pub missing: Counter,
    /// Connections the listener ended, by reason; their messages never were in the ledger.
    pub cut_off: Labelled,
    /// The offset the next stored record will get.
    pub next_offset: Counter,
    processors: Mutex<BTreeMap<String, Arc<ProcessorStats>>>,
}

/// What is counted of one processor.
#[derive(Debug, Default)]
pub struct ProcessorStats {
    /// Records read from the store for it.
    pub read: Counter,
    /// Records it took over.
    pub handled: Counter,
    /// Records no rule sent to it, or its own `when` turned away.
    pub filtered: Counter,
    /// Records it refused, or that were given up after retrying.
    pub failed: Counter,
    /// Records that retention removed before it read them.
    pub expired: Counter,
    /// Batches that failed and were tried again.
    pub retries: Counter,
    /// Times its program was started again.
    pub restarts: Counter,
    /// The offset it will read next.
    pub position: Counter,
}

impl Stats {
    /// The counters of that processor; they are made at the first call and stay over a reload.
    pub fn processor(&self, name: &str) -> Arc<ProcessorStats> {
        let mut processors = self.processors.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(processors.entry(name.to_owned()).or_default())
    }

    /// Forgets a processor the configuration no longer has.
    pub fn forget_processor(&self, name: &str) {
        self.processors.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// All processors by name.
    pub fn processors(&self) -> Vec<(String, Arc<ProcessorStats>)> {
        let processors = self.processors.lock().unwrap_or_else(PoisonError::into_inner);
        processors.iter().map(|(name, stats)| (name.clone(), Arc::clone(stats))).collect()
    }

    /// How many stored records the processor has not read yet.
    pub fn lag(&self, processor: &ProcessorStats) -> u64 {
        self.next_offset.get().saturating_sub(processor.position.get())
    }

    /// The whole page for `/metrics`, in Prometheus' text form.
    pub fn render_prometheus(&self) -> String {
        let mut page = String::with_capacity(2048);
        for (name, about, value) in self.plain() {
            family(&mut page, name, "counter", about);
            line(&mut page, name, None, value);
        }
        family(&mut page, "distlog_next_offset", "gauge", "The offset the next stored record will get.");
        line(&mut page, "distlog_next_offset", None, self.next_offset.get());
        labelled(&mut page, "distlog_dropped_total", "Records dropped by a rule.", "rule", &self.dropped);
        labelled(
            &mut page,
            "distlog_rejected_total",
            "Messages that could not be read.",
            "reason",
            &self.rejected,
        );
        let about =
            "Connections ended: oversized message, failed handshake, too many at once, broken protocol.";
        labelled(&mut page, "distlog_cut_off_total", about, "reason", &self.cut_off);
        self.render_processors(&mut page);
        page
    }

    fn plain(&self) -> [(&'static str, &'static str, u64); 7] {
        [
            ("distlog_received_total", "Records received.", self.received.get()),
            ("distlog_received_bytes_total", "Bytes of the messages received.", self.received_bytes.get()),
            ("distlog_stored_total", "Records committed to the store.", self.stored.get()),
            ("distlog_commits_total", "Commits to the store.", self.commits.get()),
            ("distlog_failed_commits_total", "Commits that had to be done again.", self.failed_commits.get()),
            ("distlog_repeated_total", "Records sent again that were stored already.", self.repeated.get()),
            ("distlog_missing_total", "Numbered records that never arrived.", self.missing.get()),
        ]
    }

    fn render_processors(&self, page: &mut String) {
        type Read = fn(&Stats, &ProcessorStats) -> u64;
        const FAMILIES: [(&str, &str, &str, Read); 8] = [
            ("read_total", "counter", "Records read from the store.", |_, one| one.read.get()),
            ("handled_total", "counter", "Records taken over.", |_, one| one.handled.get()),
            ("filtered_total", "counter", "Records not meant for it.", |_, one| one.filtered.get()),
            ("failed_total", "counter", "Records refused or given up.", |_, one| one.failed.get()),
            ("expired_total", "counter", "Records removed before it read them.", |_, one| one.expired.get()),
            ("retries_total", "counter", "Batches tried again.", |_, one| one.retries.get()),
            ("restarts_total", "counter", "Programs started again.", |_, one| one.restarts.get()),
            ("lag", "gauge", "Stored records not read yet.", |stats, one| stats.lag(one)),
        ];
        let processors = self.processors();
        for (name, kind, about, read) in FAMILIES {
            let name = format!("distlog_processor_{name}");
            family(page, &name, kind, about);
            for (processor, stats) in &processors {
                line(page, &name, Some(("processor", processor)), read(self, stats));
            }
        }
    }
}

fn labelled(page: &mut String, name: &str, about: &str, label: &str, counts: &Labelled) {
    family(page, name, "counter", about);
    for (value, count) in counts.snapshot() {
        line(page, name, Some((label, &value)), count);
    }
}

fn family(page: &mut String, name: &str, kind: &str, about: &str) {
    page.push_str(&format!("# HELP {name} {about}\n# TYPE {name} {kind}\n"));
}

fn line(page: &mut String, name: &str, label: Option<(&str, &str)>, value: u64) {
    page.push_str(name);
    if let Some((label, text)) = label {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        page.push_str(&format!("{{{label}=\"{text}\"}}"));
    }
    page.push_str(&format!(" {value}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_label_and_escapes_it() {
        let stats = Stats::default();
        stats.received.add(3);
        stats.dropped.add("a\"b\\\n", 2);
        stats.processor("pager").read.add(5);
        stats.next_offset.set(7);
        let page = stats.render_prometheus();
        assert!(page.contains("distlog_received_total 3\n"), "{page}");
        assert!(page.contains("distlog_dropped_total{rule=\"a\\\"b\\\\\\n\"} 2\n"), "{page}");
        assert!(page.contains("distlog_processor_read_total{processor=\"pager\"} 5\n"), "{page}");
        assert!(page.contains("distlog_processor_lag{processor=\"pager\"} 7\n"), "{page}");
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let stats = Stats::default();
        stats.rejected.add("pickle", 1);
        stats.processor("a");
        for line in stats.render_prometheus().lines() {
            let sample = line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<u64>().is_ok());
            assert!(line.starts_with("# HELP ") || line.starts_with("# TYPE ") || sample, "{line}");
        }
    }
}
