//! The session's one loop, and the state that everything hangs on.

use super::{
    answer::{Answer, Failure, StopAnswer},
    breakpoints::Points,
    code::Code,
    find_vmlinux::Finder,
    jobs::Job,
    listing::Listed,
    load::{Loaded, Loader},
    modules::{Module, Watch, files::Trees, given::Given},
    options::Options,
    panes::Panes,
    print::Scratch,
    repair::Early,
    request::{Ask, Handle, Leave, Level, Request, Update},
    settings::Settings,
    snapshot::Snapshot,
    step::Journey,
    view::{CodeBook, Cost, LinkView, State, StopView, SymbolsView, TargetView, View},
    wire::{Wire, WireEvent},
};
use crate::arch::{Arch, Registers, x86_64::X86_64};
use crate::base::memory::Sparse;
use crate::kernel::modules::Mark;
use crate::link::record::Recorder;
use crate::rsp::{command::Command, thread::ThreadId};
use crate::source::Sources;
use crate::symbols::placed::Symbols;
use crate::target::console::Watcher;
use futures_util::FutureExt;
use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// A running guest is shown as running only after this long, so that a step
/// does not flicker.
const FLICKER: Duration = Duration::from_millis(120);

/// How long the guest may take to answer when we give up on ourselves.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// The face's ends of a session.
pub struct Started {
    /// For requests.
    pub handle: Handle,
    /// For news.
    pub updates: mpsc::UnboundedReceiver<Update>,
    /// For questions about code that need no guest.
    pub book: Arc<dyn CodeBook>,
    /// The session's thread; it ends after [`Leave`].
    pub thread: std::thread::JoinHandle<()>,
}

/// Starts a session on its own thread, so that no face ever waits for it.
pub fn start(options: Options) -> std::io::Result<Started> {
    let (handle, asks) = Handle::new();
    let (updates, news) = mpsc::unbounded_channel();
    let code = Arc::new(Code::new(Sources::new(super::code::source_settings(
        &options,
        options.vmlinux.as_deref(),
    ))));
    let book: Arc<dyn CodeBook> = Arc::clone(&code) as Arc<dyn CodeBook>;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("session".into()).spawn(move || {
        runtime.block_on(async move {
            let (mut session, loads) = Session::new(options, code, updates);
            let run = AssertUnwindSafe(session.run(asks, loads)).catch_unwind().await;
            session.end(run.is_err()).await;
        });
    })?;
    Ok(Started { handle, updates: news, book, thread })
}

/// Who waits for the guest to stop.
type Waiter = oneshot::Sender<Result<Answer, Failure>>;

/// The debugger.
pub struct Session {
    pub(super) options: Options,
    pub(super) wire: Wire,
    pub(super) code: Arc<Code>,
    updates: mpsc::UnboundedSender<Update>,
    pub(super) loader: Loader,
    pub(super) state: State,
    pub(super) target: TargetView,
    pub(super) symbols_view: SymbolsView,
    /// What is known of the current stop; `None` while the guest runs.
    pub(super) snapshot: Option<Snapshot>,
    /// The current stop as shown, or the last one while the guest runs.
    pub(super) stop: Option<StopView>,
    pub(super) panes: Panes,
    /// Work that takes long, done between requests.
    pub(super) job: Option<Job>,
    pub(super) points: Points,
    pub(super) settings: Settings,
    /// Values that were printed, and the like.
    pub(super) scratch: Scratch,
    /// What `list` showed last.
    pub(super) listed: Option<Listed>,
    pub(super) modules: Vec<Module>,
    /// Section addresses that the user has.
    pub(super) given: Vec<Given>,
    /// Where .ko files are on this machine.
    pub(super) trees: Trees,
    /// The search for a vmlinux that was not given.
    pub(super) finder: Finder,
    /// The mark of the guest's module list when it was last read.
    pub(super) module_mark: Option<Mark>,
    /// What was said of damage to that list.
    pub(super) module_troubles: BTreeSet<String>,
    /// Where the guest is caught as modules come and go.
    pub(super) watch: Watch,
    /// The resume that is under way.
    pub(super) journey: Option<Journey>,
    /// Tasks whose instruction step was overtaken by another task's stop, and
    /// which will stop once more for it.
    pub(super) owed_steps: BTreeSet<ThreadId>,
    /// Whether something like a stop came damaged.
    pub(super) damaged_stop: bool,
    /// Breakpoints planted at boot.
    pub(super) early: Early,
    /// Code that a step of lines has read already.
    pub(super) code_of_step: Sparse,
    /// How many inlined functions begin at the pc of the stop and are not shown
    /// as entered.
    pub(super) hidden: usize,
    /// Whether the last step only changed what is shown.
    pub(super) stays_put: bool,
    /// Whether we asked the guest to stop.
    pub(super) breaking_in: bool,
    pub(super) waiters: Vec<Waiter>,
    /// Requests with a time limit of their own.
    waits: Vec<(Instant, Duration, Waiter)>,
    /// Whether there was a link that broke.
    pub(super) link_was_lost: bool,
    /// When to try the link again.
    pub(super) retry_at: Option<Instant>,
    /// When a break-in should have worked.
    pub(super) nudge_at: Option<Instant>,
    /// Reads what the guest prints.
    pub(super) watcher: Watcher,
    /// The record of the line, while there is no link.
    pub(super) recorder: Option<Recorder>,
    /// How many stops there were.
    pub(super) generation: u64,
    pub(super) previous: Option<Registers>,
    /// The task of the last stop, by pid, and its name.
    pub(super) last_task: Option<(i64, String)>,
    pub(super) cost_base: Cost,
    /// Whether the guest's identity was established on this link.
    pub(super) identified: bool,
    dirty: bool,
    quiet_until: Option<Instant>,
    revision: u64,
}

impl Session {
    fn new(
        options: Options,
        code: Arc<Code>,
        updates: mpsc::UnboundedSender<Update>,
    ) -> (Session, mpsc::UnboundedReceiver<Loaded>) {
        let (loader, loads) = Loader::new();
        let connect = options.connect.as_ref().map(ToString::to_string).unwrap_or_default();
        let trees = Trees::new(options.eager);
        let session = Session {
            target: TargetView {
                connect,
                vmlinux: options.vmlinux.clone(),
                ..TargetView::default()
            },
            options,
            wire: Wire::new(),
            code,
            updates,
            loader,
            state: State::Offline,
            symbols_view: SymbolsView::None,
            snapshot: None,
            stop: None,
            panes: Panes::default(),
            job: None,
            points: Points::default(),
            settings: Settings::default(),
            scratch: Scratch::default(),
            listed: None,
            modules: Vec::new(),
            given: Vec::new(),
            trees,
            finder: Finder::Idle,
            module_mark: None,
            module_troubles: BTreeSet::new(),
            watch: Watch::default(),
            journey: None,
            owed_steps: BTreeSet::new(),
            damaged_stop: false,
            early: Early::default(),
            code_of_step: Sparse::new(),
            hidden: 0,
            stays_put: false,
            breaking_in: false,
            waiters: Vec::new(),
            waits: Vec::new(),
            link_was_lost: false,
            retry_at: None,
            nudge_at: None,
            watcher: Watcher::default(),
            recorder: None,
            generation: 0,
            previous: None,
            last_task: None,
            cost_base: Cost::default(),
            identified: false,
            dirty: true,
            quiet_until: None,
            revision: 0,
        };
        (session, loads)
    }

    async fn run(
        &mut self,
        mut asks: mpsc::UnboundedReceiver<Ask>,
        mut loads: mpsc::UnboundedReceiver<Loaded>,
    ) {
        self.load_vmlinux();
        self.take_sections_of_options().await;
        if self.options.connect.is_some() {
            self.retry_at = Some(Instant::now());
            self.state = State::Connecting { why: String::new() };
        }
        loop {
            self.publish_if_dirty();
            let due = self.due();
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            let stopped = self.state.is_stopped();
            let more = self.panes.has_work() && stopped;
            let module = stopped && self.module_in_the_way().is_some();
            let modules = stopped && self.has_modules_to_place();
            tokio::select! {
                biased;
                ask = asks.recv() => match ask {
                    Some(ask) => if self.handle(ask).await.is_break() { break },
                    // Every face is gone without a word: leave the guest running.
                    None => {
                        if let Err(failure) = self.leave(Leave::Detach).await {
                            tracing::error!(%failure, "leaving the guest");
                        }
                        break;
                    }
                },
                Some(loaded) = loads.recv() => self.on_loaded(loaded).await,
                event = self.wire.event() => self.on_event(event).await,
                () = timer => self.on_timer().await,
                () = std::future::ready(()), if self.job.is_some() => self.job_round().await,
                () = std::future::ready(()), if module => self.module_round().await,
                () = std::future::ready(()), if more => self.pane_round().await,
                () = std::future::ready(()), if modules => self.module_round().await,
            }
        }
    }

    /// The last act. After a failure of ours the guest is let go, if it still
    /// answers: it must not stay stopped because of a mistake in here.
    async fn end(&mut self, panicked: bool) {
        let mut why = None;
        if panicked {
            let detach = self.wire.ask(Command::Detach);
            let detached = tokio::time::timeout(LAST_PATIENCE, detach).await;
            let how = match detached {
                Ok(Ok(_)) => "the guest was let go and runs on",
                _ => "the guest could not be let go; connect again to do that",
            };
            why = Some(format!("kgdb-tui failed inside, please report it; {how}"));
        }
        self.wire.close();
        self.loader.cancel();
        let _ = self.updates.send(Update::Ended(why));
    }

    /// The next moment at which something is to be done without a cause.
    fn due(&self) -> Option<Instant> {
        let quiet = self.quiet_until.filter(|_| self.dirty);
        let waits = self.waits.iter().map(|(until, _, _)| *until).min();
        [quiet, waits, self.retry_at, self.nudge_at].into_iter().flatten().min()
    }

    async fn on_timer(&mut self) {
        let now = Instant::now();
        if self.quiet_until.is_some_and(|until| until <= now) {
            self.quiet_until = None;
        }
        for (until, limit, waiter) in std::mem::take(&mut self.waits) {
            if until > now {
                self.waits.push((until, limit, waiter));
                continue;
            }
            // It did stop, and only symbols are still awaited.
            let stop = self.stop.as_ref().filter(|_| self.state.is_stopped());
            let answer = stop.map(|stop| Answer::Stop { stop: StopAnswer::of(stop) });
            let _ = waiter.send(answer.ok_or(Failure::Timeout(limit)));
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.connect().await;
        }
        if self.nudge_at.is_some_and(|at| at <= now) {
            self.nudge_at = None;
            self.break_in_is_silent();
        }
    }

    pub(super) async fn on_event(&mut self, event: WireEvent) {
        match event {
            WireEvent::Stop(stop) => self.on_stop(stop).await,
            WireEvent::Console(text) => self.on_console(text).await,
            WireEvent::Exited(code) => self.on_exit(code),
            WireEvent::Closed(why) => self.link_lost(why),
            WireEvent::ResumeRefused(error) => {
                self.say(Level::Error, format!("the guest did not resume: {error}"));
                self.journey = None;
                self.state = State::Stopped;
                self.fail_waiters(&Failure::Other(error.to_string()));
                self.touch();
            }
            WireEvent::DamagedStop => {
                // A `-` would make the stub repeat it, but on a running kernel's
                // console anybody can print such a thing: the user decides.
                self.damaged_stop = true;
                self.say(
                    Level::Warning,
                    "something like a stop of the guest came damaged; interrupt (F6) asks the stub to repeat it".into(),
                );
            }
        }
    }

    async fn handle(&mut self, ask: Ask) -> ControlFlow<()> {
        let Ask { request, reply } = ask;
        if self.job.is_some() && request.ends_a_job() {
            self.end_job();
            if request == Request::BreakIn {
                let _ = reply.send(Ok(Answer::Done {}));
                return ControlFlow::Continue(());
            }
        }
        match request {
            Request::Tasks { .. } | Request::Stacks(_) => {
                self.take_job(request, reply);
                ControlFlow::Continue(())
            }
            Request::Leave(how) => {
                let result = self.leave(how).await;
                let left = result.is_ok();
                let _ = reply.send(result.map(|()| Answer::Done {}));
                if left { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            Request::Wait(limit) => {
                let ready = self.state.is_stopped() && !self.symbols_awaited();
                if let Some(stop) = self.stop.as_ref().filter(|_| ready) {
                    let _ = reply.send(Ok(Answer::Stop { stop: StopAnswer::of(stop) }));
                } else {
                    self.waits.push((Instant::now() + limit, limit, reply));
                }
                ControlFlow::Continue(())
            }
            Request::Continue | Request::Step(..) | Request::RunTo(_) | Request::BreakIn => {
                let started = match request {
                    Request::Step(step, count) => self.step(step, count).await,
                    Request::RunTo(location) => self.run_to(&location).await,
                    Request::BreakIn => self.break_in().await,
                    _ => self.go_on().await,
                };
                match started {
                    Ok(()) => {
                        self.waiters.push(reply);
                        if std::mem::take(&mut self.stays_put) {
                            self.answer_waiters();
                            self.touch_now();
                        }
                    }
                    Err(failure) => {
                        let _ = reply.send(Err(failure));
                    }
                }
                ControlFlow::Continue(())
            }
            Request::PassException => {
                let passed = self.pass_exception().await;
                let _ = reply.send(passed.map(|()| Answer::Done {}));
                ControlFlow::Continue(())
            }
            request => {
                let _ = reply.send(self.answer(request).await);
                ControlFlow::Continue(())
            }
        }
    }

    /// Tells everyone who waits for a stop that it is here.
    pub(super) fn answer_waiters(&mut self) {
        let Some(stop) = &self.stop else { return };
        let answer = Answer::Stop { stop: StopAnswer::of(stop) };
        let mut waiters = std::mem::take(&mut self.waiters);
        // `wait` is what a script begins with: what follows may need symbols.
        if !self.symbols_awaited() {
            waiters
                .extend(std::mem::take(&mut self.waits).into_iter().map(|(_, _, waiter)| waiter));
        }
        for waiter in waiters {
            let _ = waiter.send(Ok(answer.clone()));
        }
    }

    /// Tells everyone who waits for a stop that there will be none.
    pub(super) fn fail_waiters(&mut self, failure: &Failure) {
        for waiter in std::mem::take(&mut self.waiters) {
            let _ = waiter.send(Err(failure.clone()));
        }
        for (_, _, waiter) in std::mem::take(&mut self.waits) {
            let _ = waiter.send(Err(failure.clone()));
        }
    }

    /// Something that is shown has changed.
    pub(super) fn touch(&mut self) {
        self.dirty = true;
    }

    /// Like [`Session::touch`], for a state that may be over in a moment.
    pub(super) fn touch_later(&mut self) {
        self.dirty = true;
        // Not later than the first one wants: a step over a call that sleeps
        // resumes over and over when other tasks come by.
        self.quiet_until.get_or_insert_with(|| Instant::now() + FLICKER);
    }

    /// What is shown now must be shown at once.
    pub(super) fn touch_now(&mut self) {
        self.dirty = true;
        self.quiet_until = None;
        self.publish_if_dirty();
    }

    /// The cost of the stop has changed.
    pub(super) fn publish_cost(&mut self) {
        let cost = self.cost_of_stop();
        if let Some(stop) = &mut self.stop {
            stop.cost = cost;
        }
        self.dirty = true;
    }

    fn cost_of_stop(&self) -> Cost {
        let (now, base) = (self.wire.cost(), self.cost_base);
        Cost {
            tx: now.tx - base.tx,
            rx: now.rx - base.rx,
            packets: now.packets - base.packets,
            time: now.time.saturating_sub(base.time),
        }
    }

    /// A sentence for the user.
    pub(super) fn say(&self, level: Level, text: String) {
        let _ = self.updates.send(Update::Message(level, text));
    }

    /// Where messages go.
    pub(super) fn updates(&self) -> mpsc::UnboundedSender<Update> {
        self.updates.clone()
    }

    /// Text of the guest.
    pub(super) fn show_console(&self, text: Vec<u8>) {
        let _ = self.updates.send(Update::Console(text));
    }

    fn publish_if_dirty(&mut self) {
        if !self.dirty || self.quiet_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        self.dirty = false;
        self.revision += 1;
        self.code.know_modules(self.modules.iter().map(|m| m.found.name.clone()).collect());
        let view = View {
            revision: self.revision,
            state: self.state.clone(),
            target: self.target.clone(),
            symbols: self.symbols_view.clone(),
            stop: self.stop.clone().map(Arc::new),
            breakpoints: self.points.views(),
            modules: self.modules.iter().map(Module::view).collect(),
            link: self.link_view(),
            flavor: self.settings.flavor,
            working: self.working(),
        };
        let _ = self.updates.send(Update::View(Arc::new(view)));
    }

    /// The link's figures.
    pub(super) fn link_view(&self) -> LinkView {
        let (resends, bad_checksums) = self.wire.troubles();
        LinkView {
            description: self.wire.describe().unwrap_or_else(|| "not connected".into()),
            total: self.wire.cost(),
            rate: self.wire.rate(),
            resends,
            bad_checksums,
        }
    }

    /// Symbols that may be shown as facts about the guest: none while the
    /// vmlinux is not proven to be the guest's.
    pub(super) fn guest_symbols(&self) -> Symbols {
        use super::view::Match;
        match self.target.matches {
            Match::Match | Match::Trusted => self.code.symbols(),
            Match::Unknown | Match::Mismatch => Symbols::new(),
        }
    }

    /// The guest's architecture.
    pub(super) fn arch(&self) -> &'static Arch {
        &X86_64
    }
}
