//! `snapshot`: what a set of questions needs of the present stop is read, as a
//! job, and all that is known of the stop is written as a record that has only
//! this stop (`--replay` shows it).
//!
//! Whoever opens the record asks everything anew: who the guest is, its modules,
//! its log. So these are read here although the program knows them: what a
//! program remembers from earlier stops is not in its knowledge of this one.

use super::{
    answer::{Answer, Failure},
    jobs::Work,
    request::{Level, Listing, Request},
    run::Session,
    subject::Chosen,
};
use crate::base::{
    addr::Addr,
    memory::{PAGE, Piece, Span},
    text,
};
use crate::kernel::{cpus, modules as guest, proof, slide, version};
use crate::link::record::Recorder;
use crate::rsp::{
    command::{Command, MAX_READ},
    frame::{encode, hex},
    reply::Reply,
};
use crate::target::reads::plan_reads;
use serde::Serialize;
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

/// Frames of a stack whose variables are read.
const FRAMES: usize = 8;

/// The same, with `--full`.
const MORE_FRAMES: usize = 32;

/// Lines of the kernel's log, unless it is `--full`.
const LINES: usize = 300;

/// How much is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// CPUs with their stacks, the variables there, modules.
    Quick,
    /// Tasks with their stacks and the end of the kernel's log as well.
    #[default]
    Normal,
    /// The whole log, command lines, all of every module as well.
    Full,
}

impl Depth {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Depth::Quick => "quick",
            Depth::Normal => "normal",
            Depth::Full => "full",
        }
    }
}

/// A snapshot that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotAsk {
    /// The file to make.
    pub file: PathBuf,
    /// How much is read.
    pub depth: Depth,
    /// Whether a file that is there is replaced.
    pub over: bool,
}

/// A snapshot that was made.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotAnswer {
    /// The file.
    pub file: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// How much was read: `quick`, `normal`, `full`.
    pub depth: &'static str,
    /// Bytes of the guest's memory that it has.
    pub memory: u64,
    /// Whether everything was read; not when it was interrupted.
    pub complete: bool,
    /// What could not be read, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
}

/// A part of the work.
#[derive(Debug)]
enum Step {
    Identity,
    Modules,
    Cpus,
    /// A CPU's stack, with the variables of so many frames.
    Cpu(u32, usize),
    Ask(Box<Request>),
    /// Work of its own kind.
    Work(Box<Work>),
}

/// A snapshot that is being made.
#[derive(Debug)]
pub struct Saving {
    ask: SnapshotAsk,
    steps: VecDeque<Step>,
    all: usize,
    /// What was shown before.
    chosen: Option<Box<Chosen>>,
    selected: usize,
    begun: bool,
    troubles: Vec<String>,
}

impl Saving {
    /// Of a request.
    pub(super) fn new(ask: SnapshotAsk) -> Saving {
        let work = |work: Work| Step::Work(Box::new(work));
        let mut steps = VecDeque::from([Step::Identity, Step::Modules, Step::Cpus]);
        if ask.depth != Depth::Quick {
            steps.push_back(work(Work::tasks(ask.depth == Depth::Full)));
            steps.push_back(work(Work::stacks()));
            let lines = if ask.depth == Depth::Full { usize::MAX } else { LINES };
            steps.push_back(work(Work::dmesg(lines)));
        }
        let all = steps.len();
        Saving { ask, steps, all, chosen: None, selected: 0, begun: false, troubles: Vec::new() }
    }

    /// How much is done, in steps of all.
    pub(super) fn done(&self) -> (usize, usize) {
        (self.all.saturating_sub(self.steps.len()), self.all)
    }

    /// The work of its own kind that is under way.
    pub(super) fn inner(&self) -> Option<&Work> {
        match self.steps.front() {
            Some(Step::Work(work)) => Some(work),
            _ => None,
        }
    }
}

impl Session {
    /// One piece; false when nothing is left.
    pub(super) async fn saving_piece(&mut self, saving: &mut Saving) -> Result<bool, Failure> {
        if !saving.begun {
            saving.begun = true;
            self.begin_saving(saving)?;
        }
        let Some(mut step) = saving.steps.pop_front() else { return Ok(false) };
        let read = match &mut step {
            Step::Identity => self.save_identity().await,
            Step::Modules => self.save_modules(saving).await,
            Step::Cpus => self.save_cpus(saving).await,
            Step::Cpu(cpu, frames) => self.save_cpu(*cpu, *frames).await,
            Step::Ask(request) => self.answer((**request).clone()).await.map(|_| ()),
            Step::Work(work) => match Box::pin(self.work_piece(work)).await {
                Ok(true) => {
                    saving.steps.push_front(step);
                    return Ok(true);
                }
                other => other.map(|_| ()),
            },
        };
        match read {
            Ok(()) => {}
            Err(failure) if !self.wire.is_open() => return Err(failure),
            // The rest may be there all the same.
            Err(failure) => saving.troubles.push(failure.to_string()),
        }
        Ok(!saving.steps.is_empty())
    }

    fn begin_saving(&mut self, saving: &mut Saving) -> Result<(), Failure> {
        let SnapshotAsk { file, over, depth } = &saving.ask;
        if !over && file.exists() {
            return Err(Failure::Other(format!(
                "{} is there already; snapshot -f replaces it",
                file.display()
            )));
        }
        // Not only at the end, when it has all been read.
        let part = part_of(file);
        let tried = Recorder::create(&part).and_then(|_| std::fs::remove_file(&part));
        tried.map_err(|error| Failure::Other(format!("{}: {error}", file.display())))?;
        let snapshot = self.snapshot.as_ref().ok_or(Failure::Running)?;
        saving.chosen = snapshot.chosen.clone().map(Box::new);
        saving.selected = self.stop.as_ref().map_or(0, |stop| stop.selected);
        self.forget_dmesg();
        self.tell_cost_of_saving(*depth);
        Ok(())
    }

    /// Says what it will cost, by what such guests took: 60 tasks, two CPUs.
    fn tell_cost_of_saving(&self, depth: Depth) {
        let (packets, bytes) = match depth {
            Depth::Quick => (300, 60_000),
            Depth::Normal => (900, 250_000),
            Depth::Full => (1800, 500_000),
        };
        let time = self.estimate(packets, bytes);
        let time = time.map_or(String::new(), |time| format!(", {:.0} s", time.as_secs_f64()));
        self.say(
            Level::Info,
            format!(
                "snapshot ({}): for some 60 tasks about {packets} reads, {}{time}; interrupt ends it and saves what is known",
                depth.word(),
                text::bytes(bytes)
            ),
        );
    }

    /// What tells a program that comes anew which kernel this is.
    async fn save_identity(&mut self) -> Result<(), Failure> {
        let pc = self.pc().ok();
        let symbols = self.code.symbols();
        // Nothing is changed by it: the answers are the ones already known.
        let for_slide = symbols.clone();
        let _ = self.compute(move |_, memory| slide::find(&for_slide, memory, pc)).await?;
        let _ = self.compute(move |_, memory| proof::prove(&symbols, memory)).await?;
        if self.target.matches.is_guests() {
            let _ = self.compute(version::release).await?;
            let _ = self.compute(cpus::online).await?;
            let _ = self.compute(cpus::active).await?;
            let _ = self.compute(cpus::current).await?;
        }
        let _ = self.wire.ask(Command::CurrentThread).await;
        Ok(())
    }

    async fn save_modules(&mut self, saving: &mut Saving) -> Result<(), Failure> {
        let known = self.guest_symbols();
        let _ = self.compute(|symbols, memory| guest::mark(symbols, memory).ok()).await?;
        let _ = self.compute(|symbols, memory| guest::ends(symbols, memory).ok()).await?;
        if let Ok(layouts) = guest::Layouts::new(&known) {
            let _ =
                self.compute(move |symbols, memory| guest::list(symbols, memory, &layouts)).await?;
        }
        self.answer(Request::Modules).await?;
        let names: Vec<String> =
            self.modules.iter().map(|module| module.found.name.clone()).collect();
        for name in names.into_iter().rev() {
            saving.steps.push_front(Step::Ask(Box::new(Request::Module(name))));
            saving.all += 1;
        }
        Ok(())
    }

    async fn save_cpus(&mut self, saving: &mut Saving) -> Result<(), Failure> {
        let frames = if saving.ask.depth == Depth::Full { MORE_FRAMES } else { FRAMES };
        for cpu in self.read_cpus().await? {
            let frames = if cpu.current { frames } else { frames / 4 };
            saving.steps.push_front(Step::Cpu(cpu.cpu, frames));
            saving.all += 1;
        }
        Ok(())
    }

    /// A stack with what is beside it on a screen.
    async fn save_cpu(&mut self, cpu: u32, frames: usize) -> Result<(), Failure> {
        self.choose_cpu(Some(cpu)).await?;
        let Answer::Frames { frames: stack, .. } = self.answer(Request::Backtrace(None)).await?
        else {
            return Ok(());
        };
        for level in 0..stack.len().min(frames) {
            self.answer(Request::Frame(level)).await?;
            let _ = self.answer(Request::Arguments).await;
            let _ = self.answer(Request::Locals).await;
            if level < 2 {
                let _ = self.answer(Request::Disassemble(Default::default())).await;
                let _ = self.answer(Request::List(Listing::On)).await;
            }
        }
        // What a pane of memory begins with.
        let sp = self.stop.as_ref().and_then(|stop| stop.registers.sp());
        if let Some(sp) = sp {
            let page_end = sp.0 | (PAGE - 1);
            let len = (page_end - sp.0 + 1).min(512);
            self.fetch(vec![Span::new(sp, len)]).await?;
        }
        self.answer(Request::Frame(0)).await.map(|_| ())
    }

    /// Writes the file, when all is read or the user has had enough.
    pub(super) async fn end_saving(
        &mut self,
        saving: Saving,
        complete: bool,
    ) -> Result<Answer, Failure> {
        let Saving { ask, chosen, selected, mut troubles, begun, .. } = saving;
        if !begun {
            return Err(Failure::Cancelled);
        }
        let registers = match self.wire.ask(Command::ReadRegisters).await {
            Ok(Reply::Registers(bytes)) => bytes,
            Ok(_) => return Err(Failure::Other("the stub sent no registers".into())),
            Err(error) => return Err(self.lost(error)),
        };
        let written = self.write_snapshot(&ask, &registers, complete);
        // As it was on the screen.
        if let Err(failure) = self.choose(chosen.map(|chosen| *chosen)).await {
            troubles.push(failure.to_string());
        } else if selected > 0 {
            let _ = self.select(selected).await;
        }
        let memory =
            written.map_err(|error| Failure::Other(format!("{}: {error}", ask.file.display())))?;
        let size = std::fs::metadata(&ask.file).map_or(0, |file| file.len());
        troubles.sort();
        troubles.dedup();
        Ok(Answer::Snapshot(Box::new(SnapshotAnswer {
            file: ask.file,
            size,
            depth: ask.depth.word(),
            memory,
            complete,
            troubles,
        })))
    }

    /// All that is known of the stop, as if it had been asked for just now.
    /// Gives how many bytes of memory that are.
    fn write_snapshot(
        &mut self,
        ask: &SnapshotAsk,
        registers: &[u8],
        complete: bool,
    ) -> std::io::Result<u64> {
        let part = part_of(&ask.file);
        let mut out = Writing(Recorder::create(&part)?);
        let snapshot = self.snapshot.as_ref();
        let signal = snapshot.map_or(5, |snapshot| snapshot.signal);
        out.0.note(&format!("link {}", self.wire.describe().unwrap_or_default()));
        let whole = if complete { "whole" } else { "interrupted" };
        out.0.note(&format!("snapshot {}, {whole}", ask.depth.word()));
        if let Some(kernel) = self.kernel_note() {
            out.0.note(&kernel);
        }
        out.exchange(b"?", format!("S{signal:02x}").as_bytes());
        out.exchange(b"g", hex(registers).as_bytes());
        let reason = self.stop.as_ref().map(|stop| stop.reason.text()).unwrap_or_default();
        out.0.note(&format!("stop 1: {reason}"));
        for asked in self.wire.kept() {
            out.outputs(&asked.request, &asked.outputs, &asked.reply);
        }
        let mut memory = 0;
        for piece in snapshot.map(|snapshot| snapshot.memory.pieces()).unwrap_or_default() {
            match piece {
                Piece::Bytes(start, bytes) => {
                    memory += bytes.len() as u64;
                    out.memory(start, &bytes);
                }
                Piece::Fault(page) => out.exchange(format!("m{:x},1", page.0).as_bytes(), b"E22"),
            }
        }
        out.0.sync();
        let trouble = out.0.take_trouble();
        drop(out);
        if let Some(why) = trouble {
            let _ = std::fs::remove_file(&part);
            return Err(std::io::Error::other(why));
        }
        std::fs::rename(&part, &ask.file)?;
        Ok(memory)
    }

    /// Which kernel the guest runs, for a record.
    pub(super) fn kernel_note(&self) -> Option<String> {
        let target = &self.target;
        let id = target.build_id.as_deref();
        let release = target.release.as_deref();
        (id.is_some() || release.is_some())
            .then(|| format!("kernel {} build-id {}", release.unwrap_or("?"), id.unwrap_or("?")))
    }
}

/// What a file is called until it is whole.
fn part_of(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // The end of the name says how it is written.
    file.with_file_name(format!(".part-{name}"))
}

/// A record as it is written from what is known.
struct Writing(Recorder);

impl Writing {
    fn exchange(&mut self, request: &[u8], reply: &[u8]) {
        self.outputs(request, &[], reply);
    }

    fn outputs(&mut self, request: &[u8], outputs: &[Vec<u8>], reply: &[u8]) {
        self.0.sent(&encode(request));
        self.0.received(b"+");
        for output in outputs {
            for piece in output.chunks(500) {
                self.0.received(&encode(&[b"O", hex(piece).as_bytes()].concat()));
            }
        }
        self.0.received(&encode(reply));
        self.0.sent(b"+");
    }

    fn memory(&mut self, start: Addr, bytes: &[u8]) {
        for span in plan_reads(&[Span::new(start, bytes.len() as u64)], 0, MAX_READ) {
            let from = span.start.since(start) as usize;
            let piece = &bytes[from..from + span.len as usize];
            debug_assert!(piece.len() <= MAX_READ);
            let request = format!("m{:x},{:x}", span.start.0, span.len);
            self.exchange(request.as_bytes(), hex(piece).as_bytes());
        }
    }
}
