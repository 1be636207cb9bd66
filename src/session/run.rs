//! The session's one loop, and the state that everything hangs on.

use super::{
    answer::{Answer, Failure, StopAnswer},
    break_in::{self, BreakIn},
    breakpoints::Points,
    code::Code,
    condition::Needs,
    conduct::AtHit,
    console::{Heard, LISTENERS, Listeners},
    crash_ways::Crashes,
    dmesg::Dmesg,
    find_vmlinux::Finder,
    jobs::Job,
    journal::Journals,
    kept::Kept,
    listing::Listed,
    load::{Loaded, Loader},
    modules::{Module, Watch, files::Trees, given::Given},
    options::Options,
    panes::Panes,
    print::Scratch,
    repair::Repairs,
    replay::Replay,
    request::{Ask, Handle, Leave, Level, Request, Update},
    restored::Saved,
    settings::Settings,
    silence::Silences,
    snapshot::Snapshot,
    step::Journey,
    view::{CodeBook, Cost, State, StopView, SymbolsView, TargetView},
    wire::{Wire, WireEvent},
};
use crate::arch::{Arch, Registers, x86_64::X86_64};
use crate::base::{addr::Addr, memory::Sparse};
use crate::kernel::modules::Mark;
use crate::link::record::Recorder;
use crate::rsp::reply::StopReply;
use crate::rsp::{command::Command, thread::ThreadId};
use crate::source::Sources;
use crate::symbols::placed::Symbols;
use crate::target::console::Watcher;
use futures_util::FutureExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{broadcast, mpsc, oneshot};

/// How long the guest may take to answer when we give up on ourselves.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// The face's ends of a session.
pub struct Started {
    /// For requests.
    pub handle: Handle,
    /// For news.
    pub updates: mpsc::UnboundedReceiver<Update>,
    /// What the guest prints and does, for listeners beside the face, until they
    /// have it.
    pub heard: Option<[broadcast::Receiver<Heard>; LISTENERS]>,
    /// For questions about code that need no guest.
    pub book: Arc<dyn CodeBook>,
    /// The session's thread; it ends after [`Leave`].
    pub thread: Arc<std::thread::JoinHandle<()>>,
}

/// Starts a session on its own thread, so that no face ever waits for it.
pub fn start(options: Options) -> std::io::Result<Started> {
    let (handle, asks) = Handle::new();
    let (updates, news) = mpsc::unbounded_channel();
    let (listeners, heard) = Listeners::new();
    let code = Arc::new(Code::new(Sources::new(super::code::source_settings(
        &options,
        options.vmlinux.as_deref(),
    ))));
    let book: Arc<dyn CodeBook> = Arc::clone(&code) as Arc<dyn CodeBook>;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("session".into()).spawn(move || {
        runtime.block_on(async move {
            let (mut session, loads) = Session::new(options, code, updates, listeners);
            let run = AssertUnwindSafe(session.run(asks, loads)).catch_unwind().await;
            session.end(run.is_err()).await;
        });
    })?;
    Ok(Started { handle, updates: news, heard: Some(heard), book, thread: Arc::new(thread) })
}

/// Who waits for the guest to stop.
pub(super) type Waiter = oneshot::Sender<Result<Answer, Failure>>;

/// The debugger.
pub struct Session {
    pub(super) options: Options,
    pub(super) wire: Wire,
    pub(super) code: Arc<Code>,
    updates: mpsc::UnboundedSender<Update>,
    pub(super) listeners: Listeners,
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
    /// What is under way with crashes of the guest.
    pub(super) crashes: Crashes,
    /// The kernel's log as far as it was read.
    pub(super) dmesg: Dmesg,
    /// The resume that is under way.
    pub(super) journey: Option<Journey>,
    /// Tasks whose instruction step was overtaken by another task's stop, and
    /// which will stop once more for it.
    pub(super) owed_steps: BTreeSet<ThreadId>,
    /// The task whose pc was put back last, and where, when the stop was at a
    /// breakpoint that is no more.
    pub(super) rewound: Option<(Option<ThreadId>, Addr)>,
    /// Whether something like a stop came damaged.
    pub(super) damaged_stop: bool,
    /// A stop was no stop, or nobody answered at it; who listens is being found
    /// out.
    pub(super) doubted: bool,
    /// Breakpoints that the kernel can't take out by itself.
    pub(super) repairs: Repairs,
    /// Code that a step of lines has read already.
    pub(super) code_of_step: Sparse,
    /// Instructions at a step's sites, as they are without the breakpoint.
    pub(super) site_codes: BTreeMap<Addr, Vec<u8>>,
    /// How many inlined functions begin at the pc of the stop and are not shown
    /// as entered.
    pub(super) hidden: usize,
    /// What the breakpoints that were hit leave to be done at this stop.
    pub(super) at_hit: AtHit,
    /// The breakpoint that control passed last, how often it did, and when.
    pub(super) passing: Option<(u32, u64, Instant)>,
    /// Which registers conditions need.
    pub(super) needs: Needs,
    /// When the session began.
    pub(super) began: Instant,
    /// Breakpoints as they are kept on disk.
    pub(super) saved: Saved,
    /// Whether the last step only changed what is shown.
    pub(super) stays_put: bool,
    /// Whether we asked the guest to stop.
    pub(super) breaking_in: bool,
    /// How that goes.
    pub(super) break_in: BreakIn,
    pub(super) waiters: Vec<Waiter>,
    /// Requests with a time limit of their own.
    waits: Vec<(Instant, Duration, Waiter)>,
    /// Whether there was a link that broke.
    pub(super) link_was_lost: bool,
    pub(super) silences: Silences,
    pub(super) noise_told: bool,
    /// When to try the link again.
    pub(super) retry_at: Option<Instant>,
    /// When a break-in goes on.
    pub(super) nudge_at: Option<Instant>,
    /// What the guest said of going down, until it is known whether it did.
    pub(super) said_exit: Option<&'static str>,
    /// Reads what the guest prints.
    pub(super) watcher: Watcher,
    /// Which sites are in the guest, on disk.
    pub(super) journals: Journals,
    /// What is kept of the target on disk.
    pub(super) kept: Option<Kept>,
    /// The record of the line, while there is no link.
    pub(super) recorder: Option<Recorder>,
    /// The record that takes the guest's place.
    pub(super) replay: Option<Replay>,
    /// How many stops there were.
    pub(super) generation: u64,
    pub(super) previous: Option<Registers>,
    /// The task of the last stop, by pid, and its name.
    pub(super) last_task: Option<(i64, String)>,
    pub(super) cost_base: Cost,
    /// Whether the guest's identity was established on this link.
    pub(super) identified: bool,
    pub(super) dirty: bool,
    pub(super) quiet_until: Option<Instant>,
    pub(super) revision: u64,
}

impl Session {
    fn new(
        options: Options,
        code: Arc<Code>,
        updates: mpsc::UnboundedSender<Update>,
        listeners: Listeners,
    ) -> (Session, mpsc::UnboundedReceiver<Loaded>) {
        let (loader, loads) = Loader::new();
        let connect = options.connect.as_ref().map(ToString::to_string).unwrap_or_default();
        let trees = Trees::new(options.eager);
        // A record is as it is each time it is opened.
        let kept = options.kept().filter(|_| !options.is_replay());
        let settings = Settings::with(&options.set);
        let mut wire = Wire::new();
        wire.tell(updates.clone());
        let session = Session {
            target: TargetView {
                connect,
                vmlinux: options.vmlinux.clone(),
                ..TargetView::default()
            },
            options,
            wire,
            code,
            updates,
            listeners,
            loader,
            state: State::Offline,
            symbols_view: SymbolsView::None,
            snapshot: None,
            stop: None,
            panes: Panes::default(),
            job: None,
            points: Points::default(),
            settings,
            scratch: Scratch::default(),
            listed: None,
            modules: Vec::new(),
            given: Vec::new(),
            trees,
            finder: Finder::Idle,
            module_mark: None,
            module_troubles: BTreeSet::new(),
            watch: Watch::default(),
            crashes: Crashes::default(),
            dmesg: Dmesg::default(),
            journey: None,
            owed_steps: BTreeSet::new(),
            rewound: None,
            damaged_stop: false,
            doubted: false,
            repairs: Repairs::default(),
            code_of_step: Sparse::new(),
            site_codes: BTreeMap::new(),
            hidden: 0,
            at_hit: AtHit::default(),
            passing: None,
            needs: Needs::default(),
            began: Instant::now(),
            saved: Saved::default(),
            stays_put: false,
            breaking_in: false,
            break_in: BreakIn::default(),
            waiters: Vec::new(),
            waits: Vec::new(),
            link_was_lost: false,
            silences: Silences::default(),
            noise_told: false,
            retry_at: None,
            nudge_at: None,
            said_exit: None,
            watcher: Watcher::default(),
            journals: Journals::default(),
            kept,
            recorder: None,
            replay: None,
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
        self.restore_breakpoints();
        self.load_vmlinux();
        self.take_sections_of_options().await;
        if self.options.connect.is_some() {
            self.retry_at = Some(Instant::now());
            self.state = State::Connecting { why: String::new() };
        }
        loop {
            self.tell_of_noise();
            self.tell_end_of_recording();
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
                // Before the wire: a breakpoint that is passed thousands of times
                // a second must not keep what waits for its time from it.
                () = timer => self.on_timer().await,
                event = self.wire.event() => self.on_event(event).await,
                problem = break_in::ended(&mut self.break_in.command) => {
                    self.break_command_ended(problem).await;
                }
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
        [quiet, waits, self.retry_at, self.nudge_at, self.silences.find_out_at]
            .into_iter()
            .flatten()
            .min()
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
            let answer = stop.map(|stop| Answer::Stop { stop: Box::new(StopAnswer::of(stop)) });
            let _ = waiter.send(answer.ok_or(Failure::Timeout(limit)));
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.connect().await;
        }
        if self.nudge_at.is_some_and(|at| at <= now) {
            self.break_in_on().await;
        }
        if self.silences.find_out_at.is_some_and(|at| at <= now) {
            self.find_out_again().await;
        }
    }

    pub(super) async fn on_event(&mut self, event: WireEvent) {
        self.wire.log().purpose("stop");
        if self.panes.wants.packets {
            self.touch_later();
        }
        match event {
            WireEvent::Stop(stop) => {
                // Only `?` is answered with `S`, and it took everything out: one
                // that was sent when nobody listened, and is answered now.
                if let StopReply::Signal { .. } = stop {
                    self.points.table_emptied();
                } else {
                    self.did_not_exit();
                    if self.points.unsure > 0
                        && let Err(failure) = self.take_out_old_sites().await
                    {
                        return self.say(Level::Error, failure.to_string());
                    }
                }
                self.on_stop(stop).await;
            }
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
            WireEvent::StopLost => self.stop_lost(),
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
        self.wire.log().purpose(request.word());
        self.note_request(&request);
        if self.job.is_some() && request.ends_a_job() {
            self.end_job().await;
            if request == Request::BreakIn {
                let _ = reply.send(Ok(Answer::Done {}));
                return ControlFlow::Continue(());
            }
        }
        match request {
            Request::Tasks { .. }
            | Request::Stacks(_)
            | Request::Dmesg(_)
            | Request::Snapshot(_) => {
                self.take_job(request, reply).await;
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
                    let _ = reply.send(Ok(Answer::Stop { stop: Box::new(StopAnswer::of(stop)) }));
                } else {
                    self.waits.push((Instant::now() + limit, limit, reply));
                }
                ControlFlow::Continue(())
            }
            Request::ReplayTo(goal) => {
                self.end_job().await;
                self.replay_to(goal, reply).await;
                ControlFlow::Continue(())
            }
            Request::BreakIn
            | Request::BreakInByShell
            | Request::CancelBreakIn
            | Request::Plant => {
                self.asked_to_stop(request, reply).await;
                ControlFlow::Continue(())
            }
            Request::Jump { location, sure: false } => {
                let effect = self.jump_effect(&location).await;
                let _ = reply.send(effect.map(|effect| Answer::Confirm { effect, allow: None }));
                ControlFlow::Continue(())
            }
            Request::Continue | Request::Step(..) | Request::RunTo(..) | Request::Jump { .. } => {
                if let Some(failure) = self.repeats(&request) {
                    let _ = reply.send(Err(failure));
                    return ControlFlow::Continue(());
                }
                let started = match request {
                    Request::Step(step, count) => self.step(step, count).await,
                    Request::RunTo(location, towards) => self.run_to(&location, towards).await,
                    Request::Jump { location, .. } => self.jump(&location).await,
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
        self.answer_break_in();
        let Some(stop) = &self.stop else { return };
        let answer = Answer::Stop { stop: Box::new(StopAnswer::of(stop)) };
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
        self.forget_break_in(failure);
        for waiter in std::mem::take(&mut self.waiters) {
            let _ = waiter.send(Err(failure.clone()));
        }
        for (_, _, waiter) in std::mem::take(&mut self.waits) {
            let _ = waiter.send(Err(failure.clone()));
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

    /// Symbols that may be shown as facts about the guest: none while the
    /// vmlinux is not proven to be the guest's.
    pub(super) fn guest_symbols(&self) -> Symbols {
        if self.target.matches.is_guests() { self.code.symbols() } else { Symbols::new() }
    }

    /// The guest's architecture.
    pub(super) fn arch(&self) -> &'static Arch {
        &X86_64
    }
}
