//! The daemon from start to end: what is opened in which order, what the signals do, what is closed in which order.
//!
//! Start: configuration, store, sockets (a port in use ends it here, before anything moves), processors, then the doors
//! open and the ready line is said. Stop, along the data's way: the doors close, what is on its way is committed,
//! processors read what is there (for at most [`DRAIN`]) and flush, viewers last.
//!
//! A reload (SIGHUP) swaps rules and processors and nothing else: sockets and store stay. The new file is checked first;
//! if it is broken, nothing changes, and stderr and `/readyz` say so.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use distlog_store::{Options, Store};
use distlog_transport::{Limits, Listener};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::config::{self, Config, Http};
use crate::error::Error;
use crate::health::{CONFIGURATION, Health};
use crate::processors::Kind;
use crate::producers::Producers;
use crate::report::say;
use crate::runner::{self, FLUSH, Handle, Job, Shared, Stop};
use crate::stats::Stats;
use crate::writer::{Batch, CurrentRules, QUEUE_BYTES, Writer};
use crate::{api, receiver};

/// How long processors may go on reading after the last record has come.
const DRAIN: Duration = Duration::from_secs(4);
/// How long a reload waits for the present batches.
const LEAVE: Duration = Duration::from_secs(2);
/// How long viewers may take to notice the end.
const VIEWERS: Duration = Duration::from_secs(1);

/// Messages of one connection that wait to be taken: with the largest ones, this is what a connection can cost.
const QUEUE_MESSAGES: u32 = 128;

/// What to run.
pub(crate) struct Start {
    /// The configuration; what is built in if `None`.
    pub file: Option<PathBuf>,
    /// The data directory.
    pub data: PathBuf,
    /// The kinds of processors there are.
    pub kinds: Vec<Kind>,
}

/// Runs the daemon until a signal ends it.
pub(crate) fn run(start: Start) -> Result<(), Error> {
    let config = config::load(start.file.as_deref(), &start.kinds)?;
    let store = open_store(&start.data, &config.store)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime =
        runtime.map_err(|error| Error::Other(format!("distlogd: cannot start its threads: {error}")))?;
    let result = runtime.block_on(async {
        let sockets = Sockets::bind(&config).await?;
        let signals = Signals::listen()?;
        Daemon::new(start, config, store)?.serve(sockets, signals).await
    });
    runtime.shutdown_timeout(VIEWERS);
    result
}

fn open_store(data: &Path, wanted: &config::Store) -> Result<Store, Error> {
    let options = Options { keep_age: wanted.age, keep_bytes: wanted.size, ..Options::default() };
    make_private(data).map_err(|error| {
        Error::Other(format!(
            "distlogd: cannot make the data directory {}: {error}. Give another with --data.",
            data.display()
        ))
    })?;
    Store::open(data, options).map_err(|error| {
        let data = data.display();
        Error::Other(match error {
            distlog_store::Error::Locked { pid } => {
                let owner = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
                format!("distlogd: the data directory {data} is in use by {owner}. Stop it, or give another directory with --data.")
            }
            error => format!("distlogd: cannot open the data directory {data}: {error}. Give another with --data."),
        })
    })
}

/// Records are nobody else's business.
fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if directory.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Everything that listens.
struct Sockets {
    /// With their kinds: `pull` or `router`.
    sources: Vec<(&'static str, Listener)>,
    http: Option<(TcpListener, Http)>,
}

impl Sockets {
    async fn bind(config: &Config) -> Result<Self, Error> {
        let limits = Limits { queue: QUEUE_MESSAGES, ..Limits::default() };
        let mut sources = Vec::new();
        for source in &config.sources {
            let bound = Listener::bind(&source.endpoint, source.door, limits.clone()).await;
            let bound = bound.map_err(|error| {
                let (name, kind) = (&source.name, source.kind());
                let advice = "Is another distlogd running? Stop it, or change";
                Error::Other(format!("distlogd: {error}. {advice} `sources: {{{name}: {{{kind}: …}}}}`."))
            })?;
            sources.push((source.kind(), bound));
        }
        let http = match &config.http {
            None => None,
            Some(http) => {
                let bound = TcpListener::bind(plain_address(&http.listen)).await;
                let bound = bound.map_err(|error| {
                    let advice = "Is another distlogd running? Stop it, or change `http: {listen: …}`.";
                    Error::Other(format!("distlogd: cannot listen on {}: {error}. {advice}", http.listen))
                })?;
                Some((bound, http.clone()))
            }
        };
        Ok(Self { sources, http })
    }

    /// ` pull=tcp://… router=tcp://… http=http://…`
    fn addresses(&self) -> String {
        let sources =
            self.sources.iter().map(|(kind, source)| format!(" {kind}={}", source.local_endpoint()));
        let http = self
            .http
            .iter()
            .filter_map(|(http, _)| Some(format!(" http=http://{}", http.local_addr().ok()?)));
        sources.chain(http).collect()
    }
}

/// `*` as a host is every address, as a port any free one.
fn plain_address(listen: &str) -> String {
    let (host, port) = listen.rsplit_once(':').unwrap_or((listen, "0"));
    format!("{}:{}", if host == "*" { "0.0.0.0" } else { host }, if port == "*" { "0" } else { port })
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Error> {
        let one = |kind| {
            signal(kind).map_err(|error| Error::Other(format!("distlogd: cannot wait for signals: {error}")))
        };
        Ok(Self {
            terminate: one(SignalKind::terminate())?,
            interrupt: one(SignalKind::interrupt())?,
            hangup: one(SignalKind::hangup())?,
        })
    }

    /// `true` for a reload, `false` for the end.
    async fn reload(&mut self) -> bool {
        tokio::select! {
            _ = self.hangup.recv() => true,
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
        }
    }
}

/// A receiver at work; it gives back what is still needed for answers.
type Receiving = JoinHandle<Option<Listener>>;

/// The parts that live as long as the daemon.
struct Daemon {
    start: Start,
    /// What is said once at the start and not at a reload.
    fixed: (Vec<config::Source>, Option<Http>, config::Store),
    store: Option<Store>,
    rules: CurrentRules,
    writer_stop: Arc<Stop>,
    runners: Vec<Handle>,
    shared: Shared,
}

impl Daemon {
    fn new(start: Start, config: Config, store: Store) -> Result<Self, Error> {
        let stats = Arc::new(Stats::default());
        let reader = store.reader();
        stats.next_offset.set(reader.bounds().end);
        let rules = Arc::new(config.rules.clone());
        let health = Arc::new(Health::default());
        let shared = Shared { reader, cursors: store.cursors(), rules: Arc::clone(&rules), stats, health };
        let fixed = (config.sources.clone(), config.http.clone(), config.store);
        let rules = Arc::new(Mutex::new(rules));
        let mut daemon = Self {
            start,
            fixed,
            store: Some(store),
            rules,
            writer_stop: Arc::default(),
            runners: Vec::new(),
            shared,
        };
        daemon.start_processors(config)?;
        Ok(daemon)
    }

    fn start_processors(&mut self, config: Config) -> Result<(), Error> {
        for (place, one) in config.processors.into_iter().enumerate() {
            let name = one.name.clone();
            let job =
                Job { name: one.name, place, when: one.when, give_up: one.give_up, settings: one.settings };
            let handle = runner::spawn(job, self.shared.clone());
            let failed = |error| {
                Error::Other(format!("distlogd: cannot start a thread for processor `{name}`: {error}"))
            };
            self.runners.push(handle.map_err(failed)?);
        }
        Ok(())
    }

    async fn serve(mut self, sockets: Sockets, mut signals: Signals) -> Result<(), Error> {
        let addresses = sockets.addresses();
        let (stop, stopped) = watch::channel(false);
        let (no_more_viewers, viewers_end) = watch::channel(false);
        let (queue, batches) = channel::<Batch>();
        let writer = self.start_writer(batches)?;
        let viewers = sockets.http.map(|(listener, http)| self.serve_http(listener, http, viewers_end));
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        let receivers: Vec<Receiving> = sockets
            .sources
            .into_iter()
            .map(|(_, source)| {
                let stats = Arc::clone(&self.shared.stats);
                tokio::spawn(receiver::run(source, queue.clone(), Arc::clone(&room), stats, stopped.clone()))
            })
            .collect();
        drop(queue);
        self.shared.health.set_accepting(true);
        say(&format!("distlogd ready{addresses} data={}", self.start.data.display()));
        while signals.reload().await {
            self = self.reload().await?;
        }
        say("distlogd stopping");
        self.shared.health.set_accepting(false);
        stop.send(true).ok();
        self.writer_stop.drain(Instant::now() + DRAIN);
        let answering = wait_for_receivers(receivers, &room).await;
        let complete = wait_for(writer).await;
        for listener in answering {
            listener.close().await;
        }
        self.stop_processors(Instant::now() + DRAIN, false).await;
        no_more_viewers.send(true).ok();
        if let Some(viewers) = viewers {
            tokio::time::timeout(VIEWERS, viewers).await.ok();
        }
        if complete { Ok(()) } else { Err(self.missing()) }
    }

    /// The stop came while the disk took nothing.
    fn missing(&self) -> Error {
        let stats = &self.shared.stats;
        let safe = stats.stored.get() + stats.dropped.total();
        let missing = stats.received.get().saturating_sub(safe);
        Error::Other(format!(
            "distlogd: the disk failed to the end, and {missing} records are not in the store"
        ))
    }

    fn start_writer(
        &mut self,
        batches: std::sync::mpsc::Receiver<Batch>,
    ) -> Result<std::thread::JoinHandle<bool>, Error> {
        let failed = || Error::Other("distlogd: cannot start the writer's thread".to_owned());
        let writer = Writer {
            store: self.store.take().ok_or_else(failed)?,
            rules: Arc::clone(&self.rules),
            stats: Arc::clone(&self.shared.stats),
            health: Arc::clone(&self.shared.health),
            stop: Arc::clone(&self.writer_stop),
            producers: Producers::default(),
        };
        let thread =
            std::thread::Builder::new().name("writer".to_owned()).spawn(move || writer.run(&batches));
        thread.map_err(|_| failed())
    }

    fn serve_http(
        &self,
        listener: TcpListener,
        http: Http,
        mut end: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        let state = api::State {
            reader: self.shared.reader.clone(),
            stats: Arc::clone(&self.shared.stats),
            health: Arc::clone(&self.shared.health),
            allowed_hosts: http.hosts,
        };
        tokio::spawn(async move {
            let ended = async move { drop(end.wait_for(|end| *end).await) };
            api::serve(listener, state, ended).await;
        })
    }

    /// Swaps rules and processors, if the file is in order.
    async fn reload(mut self) -> Result<Self, Error> {
        let config = match config::load(self.start.file.as_deref(), &self.start.kinds) {
            Ok(config) => config,
            Err(refused) => {
                say("distlogd: the configuration is broken, so the one before stays in force:");
                for line in refused.to_string().lines() {
                    say(line);
                }
                self.shared.health.report(CONFIGURATION, refused.to_string());
                return Ok(self);
            }
        };
        self.shared.health.well(CONFIGURATION);
        if self.fixed != (config.sources.clone(), config.http.clone(), config.store) {
            say("distlogd: `sources`, `http` and `store` take effect at the next start");
        }
        self.stop_processors(Instant::now() + LEAVE, true).await;
        for (name, _) in self.shared.stats.processors() {
            if !config.processors.iter().any(|processor| processor.name == name) {
                self.shared.stats.forget_processor(&name);
            }
        }
        let rules = Arc::new(config.rules.clone());
        self.shared.rules = Arc::clone(&rules);
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
        let (count, processors) = (config.rules.list().len(), config.processors.len());
        self.start_processors(config)?;
        say(&format!("distlogd reloaded: {count} rules, {processors} processors"));
        Ok(self)
    }

    /// All at once, so that the slowest one alone is waited for.
    async fn stop_processors(&mut self, deadline: Instant, leave: bool) {
        let runners = std::mem::take(&mut self.runners);
        for runner in &runners {
            self.shared.health.well(&format!("processor {}", runner.name));
            if leave { runner.stop().leave(deadline) } else { runner.stop().drain(deadline) }
        }
        let joined = tokio::task::spawn_blocking(move || {
            for runner in runners {
                runner.join(deadline + FLUSH + Duration::from_secs(1));
            }
        });
        joined.await.ok();
    }
}

/// They end by themselves, unless a failing disk lets nothing into the queue: then there is no more room for anything.
/// The acked endpoints come back open: the writer's last answers are still to leave.
async fn wait_for_receivers(receivers: Vec<Receiving>, room: &Semaphore) -> Vec<Listener> {
    let mut answering = Vec::new();
    let deadline = tokio::time::Instant::now() + DRAIN;
    for mut receiver in receivers {
        let ended = match tokio::time::timeout_at(deadline, &mut receiver).await {
            Ok(ended) => ended,
            Err(_) => {
                room.close();
                receiver.await
            }
        };
        answering.extend(ended.ok().flatten());
    }
    answering
}

async fn wait_for(writer: std::thread::JoinHandle<bool>) -> bool {
    let joined = tokio::task::spawn_blocking(move || writer.join().unwrap_or(false));
    joined.await.unwrap_or(false)
}
