//! What can be done at a crash: go over the instruction, let the kernel deal
//! with it, restart the machine; and whether crashes stop this guest at all.

use super::{
    answer::{Answer, Failure},
    catches::Caught,
    control::SIGTRAP,
    crash_view::{CrashView, Way},
    request::{Level, Request},
    run::Session,
    view::State,
};
use crate::arch::{insn, operand};
use crate::base::addr::Addr;
use crate::kernel::{breaks, crash::Kind, crash_trap};
use crate::rsp::command::Command;
use crate::target::knock::Knock;
use std::time::{Duration, Instant};

/// How long the kernel may take to print its report, on a machine without a
/// CPU of its own.
const REPORT_PATIENCE: Duration = Duration::from_secs(120);

/// What is under way with crashes.
#[derive(Debug, Default)]
pub struct Crashes {
    /// What a catch caught last.
    pub caught: Caught,
    /// The stop at which catches were given their places last.
    pub catches_at: Option<u64>,
    /// The exception that is being handed to the kernel.
    pub handed: Option<Handed>,
    /// What the guest's `panic_timeout` was before it was changed.
    pub timeout_was: Option<i32>,
}

/// An exception that was handed to the kernel, which will stop once more when
/// it has printed its report.
#[derive(Clone, Copy, Debug)]
pub struct Handed {
    /// Where it happened.
    pub pc: Addr,
}

impl Session {
    /// What can be done at a crash.
    pub(super) fn ways(&self, crash: &CrashView, kind: Option<Kind>) -> Vec<Way> {
        let mut ways = Vec::new();
        let mut add = |key, command, does: String| ways.push(Way { key, command, does });
        if crash.repeats {
            match kind {
                // What comes after BUG() was never meant to run.
                Some(Kind::Bug | Kind::StackOverflow | Kind::DoubleFault) => {}
                Some(Kind::NullCall | Kind::BadCall) => {
                    add('s', "skip", "go back to the caller, as if the call had returned".into())
                }
                _ => add('s', "skip", "go over the instruction without executing it".into()),
            }
            if !matches!(kind, Some(Kind::StackOverflow | Kind::DoubleFault)) {
                let register = crash.operand.as_deref().and_then(first_register);
                let example = register.unwrap_or("rip");
                add('v', "set var", format!("change a register or memory: set var ${example} = …"));
            }
            let pid = crash.pid.map_or(String::new(), |pid| format!(" pid {pid}"));
            add(
                'p',
                "pass",
                match crash.notes.is_empty() {
                    true => format!("let the kernel deal with it: it kills{pid}"),
                    false => "let the kernel deal with it: it panics".into(),
                },
            );
            add('c', "continue", "execute it again, after a change".into());
        } else {
            let does = match crash.event {
                "panic" => "let the panic go on: the kernel halts or reboots",
                "oops" | "bug" => "let the kernel report it and deal with it",
                _ => "let the guest go on",
            };
            add('c', "continue", does.into());
        }
        if !matches!(crash.event, "warn" | "hung") {
            add('b', "reboot", "restart the machine at once".into());
        }
        ways
    }

    /// Why the guest must not just run on from here. Asked once more it may.
    pub(super) fn repeats(&mut self, request: &Request) -> Option<Failure> {
        // A jump is away from where it failed.
        if matches!(request, Request::Jump { .. }) {
            return None;
        }
        self.need_stopped().ok()?;
        let snapshot = self.snapshot.as_mut()?;
        let Some(crash) = &mut snapshot.crash else {
            return None;
        };
        if crash.answered || !crash.view.repeats {
            return None;
        }
        crash.answered = true;
        let ways: Vec<_> = crash.view.ways.iter().filter(|way| way.command != "continue").collect();
        let ways: Vec<_> = ways.iter().map(|way| way.command).collect();
        Some(Failure::Repeats(format!(
            "the guest would run into the same exception again ({}); use {}; asked once more, it \
             runs all the same",
            crash.view.headline,
            ways.join(", ")
        )))
    }

    /// Something was changed that may make the instruction work.
    pub(super) fn crash_is_answered(&mut self) {
        if let Some(crash) = self.snapshot.as_mut().and_then(|snapshot| snapshot.crash.as_mut()) {
            crash.answered = true;
        }
    }

    /// Whether the guest is elsewhere than where the exception was.
    pub(super) fn has_moved(&self) -> bool {
        let crash = self.snapshot.as_ref().and_then(|snapshot| snapshot.crash.as_ref());
        crash.is_some_and(|crash| self.pc().ok() != crash.view.pc)
    }

    /// `skip`.
    pub(super) async fn skip(&mut self) -> Result<Answer, Failure> {
        self.need_stopped()?;
        self.need_own_subject()?;
        let crash = self.snapshot.as_ref().and_then(|snapshot| snapshot.crash.clone());
        let Some(crash) = crash.filter(|crash| crash.view.repeats) else {
            return Err(Failure::Other(
                "no instruction failed here; 'set var $rip = ADDRESS' goes elsewhere".into(),
            ));
        };
        if self.has_moved() {
            return Err(Failure::Other("that was done already; continue runs on".into()));
        }
        let pc = self.pc()?;
        match crash.kind {
            Some(Kind::Bug) => Err(Failure::Other(
                "the compiler takes BUG() for the end: what comes after it is other code; use \
                 pass, or 'set var $rip = ADDRESS' where the function can go on"
                    .into(),
            )),
            Some(Kind::StackOverflow | Kind::DoubleFault) => Err(Failure::Other(
                "the next instruction would find the stack full as well; the kernel panics when \
                 it goes on"
                    .into(),
            )),
            Some(Kind::NullCall | Kind::BadCall) => self.return_to_caller().await,
            _ => self.skip_instruction(pc).await,
        }
    }

    async fn skip_instruction(&mut self, pc: Addr) -> Result<Answer, Failure> {
        let insn = self.compute(move |_, memory| insn::instruction(memory, pc)).await?;
        let Ok(Some(insn)) = insn else {
            return Err(Failure::Other(format!("there is no instruction at {pc} to go over")));
        };
        let symbols = self.guest_symbols();
        let mut lost = Vec::new();
        let registers = self.snapshot.as_ref().map(|snapshot| snapshot.registers.clone());
        for name in operand::registers_written(&insn.bytes) {
            let value = registers.as_ref().and_then(|registers| registers.by_name(&name));
            let value = value.map_or(String::new(), |value| format!(" {value:#x}"));
            lost.push(format!("{name} keeps its value{value}"));
        }
        let uses = operand::memory_uses(pc.0, &insn.bytes, &|_| None);
        if uses.iter().any(|used| used.access.writes()) {
            lost.push("nothing is written to memory".into());
        }
        let shown = insn::decode(pc, &insn.bytes, 1, self.settings.flavor, &|at| {
            symbols.describe_reference(at)
        });
        let text = shown.into_iter().next().map_or(insn.text.clone(), |insn| insn.text);
        let next = insn.next();
        self.go_to(next).await?;
        let place = symbols.describe(next).unwrap_or_else(|| next.to_string());
        let lost = if lost.is_empty() { "nothing of it is done".into() } else { lost.join(", ") };
        Ok(Answer::Text { text: format!("skipped: {text}\n{lost}\ncontinue goes on at {place}") })
    }

    /// Goes back from where there is no code. The stub writes no stack pointer,
    /// so the return address is taken off the stack by a `ret` of the kernel's.
    async fn return_to_caller(&mut self) -> Result<Answer, Failure> {
        let sp = self.register(self.arch().sp).await?;
        let found = self
            .compute(move |symbols, memory| {
                let back = memory.u64(Addr(sp));
                let before = back.map(|back| memory.bytes(Addr(back).back(8), 8));
                let ret = breaks::a_return(symbols, memory);
                (back, before, ret)
            })
            .await?;
        let (Ok(back), Ok(Ok(before)), Ok(Some(ret))) = found else {
            return Err(Failure::Other(
                "the return address on the stack can't be read; use pass".into(),
            ));
        };
        let back = Addr(back);
        if insn::call_ending_at(back, &before).is_none() {
            return Err(Failure::Other(format!(
                "what is on the stack, {back}, is no return address of a call; use pass"
            )));
        }
        self.go_to(ret).await?;
        let symbols = self.guest_symbols();
        let place = symbols.describe(back).unwrap_or_else(|| back.to_string());
        let value = self.register_named("rax");
        Ok(Answer::Text {
            text: format!(
                "the call is taken for returned: continue goes on at {place}, by the return \
                 instruction at {}\nwhat it returned is in rax{value}; change it with \
                 'set var $rax = VALUE'",
                symbols.describe(ret).unwrap_or_else(|| ret.to_string())
            ),
        })
    }

    fn register_named(&self, name: &str) -> String {
        let registers = self.snapshot.as_ref().map(|snapshot| &snapshot.registers);
        let value = registers.and_then(|registers| registers.by_name(name));
        value.map_or(String::new(), |value| format!(": {value:#x}"))
    }

    async fn go_to(&mut self, pc: Addr) -> Result<(), Failure> {
        let name = self.arch().def(self.arch().pc).name;
        self.write_register(name, pc.0).await?;
        self.changed_guest();
        Ok(())
    }

    /// `reboot`.
    pub(super) async fn reboot(&mut self, confirmed: bool) -> Result<Answer, Failure> {
        self.need_stopped()?;
        if !confirmed {
            return Ok(Answer::Confirm {
                effect: "restart the machine at once: nothing is written to its disks first".into(),
                allow: None,
            });
        }
        match self.wire.ask(Command::Restart).await {
            Ok(_) => {}
            Err(error) => return Err(self.lost(error)),
        }
        self.wire.client().assume_running();
        self.was_restarted();
        Ok(Answer::Done {})
    }

    /// Hands the exception that stopped the guest to the kernel.
    pub(super) async fn pass_exception(&mut self) -> Result<(), Failure> {
        self.need_stopped()?;
        self.know_registers().await?;
        let Some(signal) = self.snapshot.as_ref().map(|stop| stop.signal) else {
            return Err(Failure::Running);
        };
        if signal == SIGTRAP {
            return Err(Failure::Other(
                "no exception of the kernel's stopped it; use continue".into(),
            ));
        }
        self.cost_base = self.wire.cost();
        let stops_again = !self.is_reported(signal).await?;
        self.crashes.handed = stops_again.then_some(Handed { pc: self.pc()? });
        self.hand_over().await?;
        if matches!(self.state, State::Running { .. }) && !self.points.wishes.is_empty() {
            self.say(
                Level::Info,
                "the kernel goes on; kgdb dropped the breakpoints, they are planted again at the next stop"
                    .into(),
            );
        }
        Ok(())
    }

    /// Whether the kernel has printed its report; else it stops once more when
    /// it has.
    async fn is_reported(&mut self, signal: u8) -> Result<bool, Failure> {
        let told = self.compute(crash_trap::is_reported).await?;
        // Without symbols: only a page fault is told after the report.
        Ok(told.unwrap_or(signal == 11))
    }

    async fn hand_over(&mut self) -> Result<(), Failure> {
        self.retire_hardware().await?;
        if let Err(error) = self.wire.ask(Command::PassException).await {
            return Err(self.lost(error));
        }
        self.points.table_emptied();
        self.clear_journal();
        self.forget_stop("continue");
        // That was a detach too (gdbstub.c, gdb_cmd_exception_pass): the stub
        // announces no stop any more until somebody speaks to it.
        self.wire.client().assume_unknown();
        let timing = self.wire.client().timing();
        Box::pin(self.find_out(Knock::new(Instant::now(), timing))).await;
        if let State::Running { what, .. } = &mut self.state {
            *what = "continue".into();
            self.touch();
        }
        Ok(())
    }

    /// The guest stopped at `pc` by an exception: whether that was only the
    /// report of the one that was handed to the kernel. Then it has it again.
    pub(super) async fn passes_again(&mut self, pc: Addr) -> Result<bool, Failure> {
        if self.crashes.handed.is_none_or(|handed| handed.pc != pc) {
            self.crashes.handed = None;
            return Ok(false);
        }
        // Another task may run into the same, before the report of this one.
        if self.compute(crash_trap::is_reported).await? == Ok(false) {
            return Ok(false);
        }
        self.crashes.handed = None;
        self.hand_over().await?;
        Ok(true)
    }

    /// Hands the exception to the kernel and stays until it has it: a guest that
    /// stops for its report with nobody there would stay stopped.
    pub(super) async fn pass_for_good(&mut self) -> Result<(), Failure> {
        self.pass_exception().await?;
        let deadline = tokio::time::Instant::now() + REPORT_PATIENCE;
        while self.crashes.handed.is_some() && self.wire.is_open() {
            match tokio::time::timeout_at(deadline, self.wire.event()).await {
                Ok(event) => Box::pin(self.on_event(event)).await,
                Err(_) => {
                    return Err(Failure::Other(
                        "the kernel has not printed its report of the exception; it may stop once more: connect again then"
                            .into(),
                    ));
                }
            }
        }
        Ok(())
    }

    /// At the first stop on a link: says when crashes would not stop the guest.
    pub(super) async fn look_at_panic_timeout(&mut self) -> Result<(), Failure> {
        if self.guest_symbols().vmlinux().is_none() {
            return Ok(());
        }
        if let Some((_, seconds)) = self.panic_timeout().await?
            && seconds != 0
        {
            self.say(
                Level::Warning,
                format!(
                    "panic_timeout is {seconds}: at an oops or a panic this kernel does not stop in the debugger"
                ),
            );
            self.say(
                Level::Hint,
                "set crash-stops on: writes 0 to panic_timeout until we leave; or catch oops, catch panic"
                    .into(),
            );
        }
        Ok(())
    }

    /// `set crash-stops on|off`.
    pub(super) async fn set_crash_stops(&mut self, on: bool) -> Result<(), Failure> {
        self.need_stopped()?;
        self.need_symbols()?;
        let Some((at, now)) = self.panic_timeout().await? else {
            return Err(Failure::Other("this kernel has no panic_timeout".into()));
        };
        let value = match (on, self.crashes.timeout_was) {
            (true, _) if now == 0 => return Ok(()),
            (true, _) => 0,
            (false, Some(before)) => before,
            (false, None) => {
                return Err(Failure::Other(format!(
                    "panic_timeout was not changed; it is {now}: set var panic_timeout = SECONDS changes it"
                )));
            }
        };
        self.crashes.timeout_was = on.then_some(now);
        self.crashes.catches_at = None;
        self.write_memory(at, &value.to_le_bytes()).await?;
        self.reconcile().await
    }

    /// Before we leave: `panic_timeout` is what it was.
    pub(super) async fn restore_panic_timeout(&mut self) {
        if self.crashes.timeout_was.is_some()
            && let Err(failure) = self.set_crash_stops(false).await
        {
            self.say(Level::Warning, format!("panic_timeout stays 0: {failure}"));
        }
    }

    /// What `show crash-stops` tells.
    pub(super) fn crash_stops(&self) -> &'static str {
        match self.crashes.timeout_was {
            Some(_) => "on (panic_timeout was set to 0)",
            None => "as the guest has it (on, while its panic_timeout is 0)",
        }
    }
}

/// The first register in `0x38(%rax) with rax = 0x0`.
fn first_register(operand: &str) -> Option<&str> {
    let after = operand.split_once(" with ")?.1;
    Some(after.split_once(" = ")?.0)
}
