//! Threads that read files of modules, so that no stop waits for a disk, for
//! unpacking or for debug info longer than a moment.
//!
//! There are few, however many modules a guest has; what a stop needs first is
//! done first. The cores they use are a pool of their own: the session's own
//! questions about symbols must not queue behind a hundred megabytes.

use super::load::Loaded;
use std::{
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Threads at most; each reads another file.
const MOST: usize = 4;

/// What is in the way of a result: something that was said, or a failure of
/// ours.
const FAILED: &str = "reading it failed inside; please report it";

/// What is done first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Opening a file: quick, and tells whether it is the right one.
    Open,
    /// Reading all of its debug info.
    Load,
}

/// News for the session, made of a result that nobody waited for any more.
pub type Late<T> = fn(u64, Result<T, String>) -> Loaded;

type Work = Box<dyn FnOnce() + Send>;

/// The threads, and what they are to do.
pub struct Threads {
    shared: Arc<Shared>,
    news: mpsc::UnboundedSender<Loaded>,
    /// Whoever works holds it.
    cancel: Arc<AtomicBool>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    cores: OnceLock<Option<rayon::ThreadPool>>,
}

#[derive(Default)]
struct Queue {
    open: VecDeque<Work>,
    load: VecDeque<Work>,
    running: usize,
}

impl Threads {
    /// None started yet; `cancel` ends them.
    pub fn new(news: mpsc::UnboundedSender<Loaded>, cancel: Arc<AtomicBool>) -> Threads {
        Threads { shared: Arc::default(), news, cancel }
    }

    /// Does `work` on a thread and waits for it for `patience` at most. `None`
    /// when that was too short: `late` makes news of the result then, for
    /// `ticket`. A failure inside is a result too.
    pub async fn soon<T: Send + 'static>(
        &self,
        urgency: Urgency,
        patience: Duration,
        ticket: u64,
        work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
        late: Late<T>,
    ) -> Option<Result<T, String>> {
        let (reply, mut result) = oneshot::channel();
        let (news, cancel) = (self.news.clone(), Arc::clone(&self.cancel));
        self.queue(
            urgency,
            Box::new(move || {
                let done = panic::catch_unwind(AssertUnwindSafe(|| work(&cancel)));
                let done = done.map_err(|_| FAILED.to_owned());
                if let Err(done) = reply.send(done) {
                    // At the end of the session nobody hears it.
                    let _ = news.send(late(ticket, done));
                }
            }),
        );
        match tokio::time::timeout(patience, &mut result).await {
            Ok(done) => Some(done.unwrap_or_else(|_| Err(FAILED.to_owned()))),
            Err(_) => {
                // What is sent from now on is late; what was sent already is here.
                result.close();
                result.try_recv().ok()
            }
        }
    }

    /// Does `work` on a thread and waits for it; `None` when it fails.
    pub async fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, result) = oneshot::channel();
        // Whoever asked may be gone.
        self.start(Urgency::Open, move || drop(reply.send(work())));
        result.await.ok()
    }

    /// Does `work` on a thread some time.
    pub fn start(&self, urgency: Urgency, work: impl FnOnce() + Send + 'static) {
        let caught = move || {
            let _ = panic::catch_unwind(AssertUnwindSafe(work));
        };
        self.queue(urgency, Box::new(caught));
    }

    /// Puts work into the queue, and starts a thread for it when there are few.
    fn queue(&self, urgency: Urgency, work: Work) {
        let mut queue = self.shared.queue();
        match urgency {
            Urgency::Open => queue.open.push_back(work),
            Urgency::Load => queue.load.push_back(work),
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if queue.running >= cores.min(MOST) {
            return;
        }
        queue.running += 1;
        drop(queue);
        let (shared, cancel) = (Arc::clone(&self.shared), Arc::clone(&self.cancel));
        let thread = std::thread::Builder::new().name("modules".into());
        if thread.spawn(move || shared.work(&cancel)).is_err() {
            // Slow, but right: a result that never comes would be waited for.
            self.shared.work(&self.cancel);
        }
    }

    /// Where work on all cores is done; without a pool, where it is called.
    pub fn cores(&self) -> Cores {
        Cores(Arc::clone(&self.shared))
    }
}

/// The cores that read debug info of modules.
pub struct Cores(Arc<Shared>);

impl Cores {
    /// Does something with all of them.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let pool = self.0.cores.get_or_init(|| {
            let builder = rayon::ThreadPoolBuilder::new();
            builder.thread_name(|number| format!("module-{number}")).build().ok()
        });
        match pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until nothing is left.
    fn work(&self, cancel: &Arc<AtomicBool>) {
        loop {
            let next = {
                let mut queue = self.queue();
                if cancel.load(Ordering::Relaxed) {
                    *queue = Queue { running: queue.running, ..Queue::default() };
                }
                let next = queue.open.pop_front().or_else(|| queue.load.pop_front());
                if next.is_none() {
                    queue.running -= 1;
                }
                next
            };
            match next {
                Some(work) => work(),
                None => return,
            }
        }
    }
}

/// How long stops may wait for files, all in all: so much in each second.
#[derive(Debug)]
pub struct Patience {
    most: Duration,
    left: Duration,
    since: Instant,
}

impl Patience {
    /// In a second the screen may be without an answer for so long.
    pub fn of(most: Duration) -> Patience {
        Patience { most, left: most, since: Instant::now() }
    }

    /// How long may be waited now.
    pub fn left(&mut self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            *self = Patience { most: self.most, left: self.most, since: now };
        }
        self.left
    }

    /// So much of it was used.
    pub fn spend(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc as std_mpsc;

    fn threads() -> (Threads, mpsc::UnboundedReceiver<Loaded>) {
        let (news, loads) = mpsc::unbounded_channel();
        (Threads::new(news, Arc::default()), loads)
    }

    fn late(ticket: u64, done: Result<u32, String>) -> Loaded {
        Loaded::Looking(format!("{ticket}: {done:?}"))
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(future)
    }

    #[test]
    fn what_is_quick_is_waited_for_and_what_is_late_is_news() {
        const LONG: Duration = Duration::from_secs(60);
        wait(async {
            let (threads, mut loads) = threads();
            let soon = threads.soon(Urgency::Open, LONG, 1, |_| 42, late).await;
            assert_eq!(soon, Some(Ok(42)));
            let (go, gate) = std_mpsc::channel();
            let blocked = move |_: &AtomicBool| gate.recv().expect("a word");
            let none = threads.soon(Urgency::Load, Duration::ZERO, 2, blocked, late).await;
            assert_eq!(none, None);
            go.send(7).expect("it is waited for");
            let news = loads.recv().await;
            assert!(matches!(&news, Some(Loaded::Looking(text)) if text == "2: Ok(7)"), "{news:?}");
            let failed = threads.soon(Urgency::Load, LONG, 3, |_| panic!("on purpose"), late);
            assert_eq!(failed.await, Some(Err(FAILED.to_owned())));
        });
    }

    #[test]
    fn opening_comes_before_loading_and_nothing_after_the_end() {
        wait(async {
            let (threads, mut loads) = threads();
            let cores = std::thread::available_parallelism().map_or(1, usize::from).min(MOST);
            let mut gates = Vec::new();
            for _ in 0..cores {
                let (go, gate) = std_mpsc::channel();
                let (began, begun) = std_mpsc::channel();
                let blocked = move |_: &AtomicBool| {
                    let _ = began.send(());
                    gate.recv().unwrap_or(0)
                };
                threads.soon(Urgency::Load, Duration::ZERO, 0, blocked, late).await;
                begun.recv().expect("a thread");
                gates.push(go);
            }
            // Every thread is busy. The first that is free opens.
            threads.soon(Urgency::Load, Duration::ZERO, 1, |_| 1, late).await;
            threads.soon(Urgency::Open, Duration::ZERO, 2, |_| 2, late).await;
            let told = |news| match news {
                Some(Loaded::Looking(text)) => text,
                other => panic!("{other:?}"),
            };
            drop(gates.pop());
            assert_eq!(told(loads.recv().await), "0: Ok(0)");
            assert_eq!(told(loads.recv().await), "2: Ok(2)");
            assert_eq!(told(loads.recv().await), "1: Ok(1)");
            threads.cancel.store(true, Ordering::Relaxed);
            let never = threads.soon(Urgency::Open, Duration::from_secs(60), 3, |_| 3, late);
            assert_eq!(never.await, Some(Err(FAILED.to_owned())));
        });
    }

    #[test]
    fn patience_comes_back_with_time() {
        let (began, ms) = (Instant::now(), Duration::from_millis);
        let mut patience = Patience::of(ms(30));
        assert_eq!(patience.left(began), ms(30));
        patience.spend(ms(25));
        assert_eq!(patience.left(began + ms(500)), ms(5));
        patience.spend(ms(25));
        assert_eq!(patience.left(began + ms(900)), ms(0));
        assert_eq!(patience.left(began + ms(2000)), ms(30));
    }
}
