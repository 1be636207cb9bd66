//! Debug registers of the guest: setting and removing what uses them, so that
//! it works on every CPU, and nothing stays when we leave.
//!
//! kgdb does the registers themselves (`Z1` to `Z4`), and each CPU gets them as
//! it leaves the debugger. What it does not do is told in
//! [`hw_breakpoints`]: hits that are dropped, and a DR7 that comes back.

use super::{
    answer::{Answer, Failure},
    control::SIGTRAP,
    repair::{Bounced, Displaced},
    request::Level,
    run::Session,
    settings::HardwareCure,
    slots::Entry,
    wish::Wish,
};
use crate::base::{addr::Addr, memory::Span};
use crate::kernel::{
    KernelError, breaks, cpus,
    hw_breakpoints::{self, SLOTS, Slot},
    percpu,
};
use crate::rsp::command::{Command, Point, PointKind};
use crate::target::registers;

/// The resume flag: the instruction at the pc is executed although a debug
/// register names it (Intel SDM volume 3, 17.3.1.1).
const RESUME_FLAG: u64 = 1 << 16;

/// What one reads instead of "this kernel drops the hits".
const DROPS: &str = "this kernel does not pass hits of debug registers on to kgdb, because it looks whether their perf events are active, and kgdb's never are";

impl Session {
    /// Makes the guest's debug registers agree with what is wanted.
    pub(super) async fn reconcile_hardware(&mut self) -> Result<(), Failure> {
        let wanted = self.points.hardware_wanted();
        let (lift, plant) = self.points.hardware.differences(&wanted);
        for point in lift {
            self.lift_point(point).await?;
        }
        for point in plant {
            self.plant_point(point).await?;
        }
        self.undo_cures().await
    }

    async fn plant_point(&mut self, point: Point) -> Result<(), Failure> {
        if let Some(why) = self.why_no_point(point).await? {
            self.say(Level::Warning, why.clone());
            self.points.hardware_refused(point.addr, &why);
            return Ok(());
        }
        match self.wire.ask(Command::Insert(point)).await {
            Ok(_) => self.points.hardware.planted(point),
            Err(error) if error.errno().is_some() => {
                // kgdb_set_hw_break: none of its own is free, or perf's count of
                // them says so (dbg_reserve_bp_slot).
                let why = format!(
                    "the guest gave no debug register for {} ({error}): perf or a debugger inside the guest has them",
                    point.addr
                );
                self.say(Level::Warning, why.clone());
                self.points.hardware_refused(point.addr, &why);
                return Ok(());
            }
            Err(error) => return Err(self.lost(error)),
        }
        self.know_events(point).await
    }

    async fn lift_point(&mut self, point: Point) -> Result<(), Failure> {
        match self.wire.ask(Command::Remove(point)).await {
            Ok(_) => {}
            // The stub does not have it (any more): that is what is wanted.
            Err(error) if error.errno().is_some() => {
                tracing::warn!(addr = %point.addr, %error, "removing a debug register was refused");
            }
            Err(error) => return Err(self.lost(error)),
        }
        self.points.hardware.lifted(point.addr);
        Ok(())
    }

    /// Why a point is not even tried.
    async fn why_no_point(&mut self, point: Point) -> Result<Option<String>, Failure> {
        if self.guest_symbols().vmlinux().is_none() {
            return Ok(Some(
                "debug registers need to know the kernel, and the vmlinux is not proven".into(),
            ));
        }
        if let Ok(true) = self.drops_hits().await?
            && self.settings.hardware_cure != HardwareCure::On
        {
            return Ok(Some(format!("{DROPS}; 'set hardware-cure on' has it done for them")));
        }
        match point.kind {
            PointKind::Hardware => self.danger_at(point.addr).await,
            _ => Ok(None),
        }
    }

    /// Finds the kernel's events for a point that was just set, and sees to it
    /// that their hits count.
    async fn know_events(&mut self, point: Point) -> Result<(), Failure> {
        let slots = match self.read_slots().await? {
            Ok(slots) => slots,
            Err(why) => {
                tracing::warn!(%why, "the kernel's table of debug registers");
                return Ok(());
            }
        };
        let slot = slots.iter().find(|slot| slot.enabled && slot.addr == point.addr);
        let Some(Slot { events, .. }) = slot.filter(|slot| !slot.events.is_empty()) else {
            // Before kgdb_arch_late nobody passes a hit on.
            self.lift_point(point).await?;
            let why = "so early at boot kgdb has no debug registers; set it again later";
            self.say(Level::Warning, why.into());
            self.points.hardware_refused(point.addr, why);
            return Ok(());
        };
        let events = events.clone();
        let cure = matches!(self.drops_hits().await?, Ok(true));
        if cure && self.points.hardware.cured.is_empty() {
            self.adopt_cures(&slots).await?;
        }
        for (_, event) in &events {
            let event = *event;
            let count = self
                .compute(move |symbols, memory| hw_breakpoints::count(symbols, memory, event))
                .await?;
            if let Ok(count) = count {
                self.points.hardware.counts.insert(event, count);
            }
            if cure {
                self.set_active(event, true).await?;
            }
        }
        self.points.hardware.events.insert(point.addr, events);
        Ok(())
    }

    /// kgdb's table as it is now.
    async fn read_slots(&mut self) -> Result<Result<Vec<Slot>, String>, Failure> {
        let symbols = self.guest_symbols();
        if let Some(table) = symbols.symbol_addr("breakinfo")
            && let Some(symbol) = symbols.symbol_at(table)
        {
            // It was changed at this stop.
            let span = Span::new(table, symbol.size.min(504));
            if let Some(bytes) = self.read(span).await? {
                self.remember(table, &bytes);
            }
        }
        let slots = self
            .compute(move |symbols, memory| {
                let cpus = cpus::online(symbols, memory)?;
                hw_breakpoints::slots(symbols, memory, &cpus)
            })
            .await?;
        Ok(slots.map_err(|error| error.to_string()))
    }

    /// Whether this kernel drops hits; why that can't be told.
    pub(super) async fn drops_hits(&mut self) -> Result<Result<bool, String>, Failure> {
        if let Some(known) = &self.points.hardware.drops {
            return Ok(known.clone());
        }
        let found = self.compute(hw_breakpoints::drops_hits).await?.map_err(|e| e.to_string());
        if let Err(why) = &found {
            self.say(
                Level::Info,
                format!("whether this kernel passes hits of debug registers on to kgdb can't be told ({why}); those of 2026 and later may not"),
            );
        }
        self.points.hardware.drops = Some(found.clone());
        Ok(found)
    }

    /// What must be agreed to before a debug register is used: the answer that
    /// asks, a failure when it is known to be unwanted, `None` when there is
    /// nothing to agree to.
    pub(super) async fn cure_question(&mut self) -> Result<Option<Answer>, Failure> {
        if self.need_stopped().is_err() || self.guest_symbols().vmlinux().is_none() {
            return Ok(None);
        }
        if self.drops_hits().await? != Ok(true) {
            return Ok(None);
        }
        let count = self.compute(cpus::online).await?;
        let count = count.map_or(1, |cpus| cpus.len());
        let what = format!(
            "{DROPS}. With hardware-cure on, 1 (PERF_EVENT_STATE_ACTIVE) is written to perf_event.state of each debug register that is used, on each CPU ({count} writes of 4 bytes), and undone when it is given back. perf must not be started in the guest meanwhile"
        );
        match self.settings.hardware_cure {
            HardwareCure::On => Ok(None),
            HardwareCure::Ask => {
                let allow = Some(("hardware-cure", "on"));
                Ok(Some(Answer::Confirm { effect: what, allow }))
            }
            HardwareCure::Off => Err(Failure::Other(format!("{what} (hardware-cure is off)"))),
        }
    }

    /// Events that a session which was killed left active.
    async fn adopt_cures(&mut self, slots: &[Slot]) -> Result<(), Failure> {
        let symbols = self.guest_symbols();
        for slot in slots.iter().filter(|slot| !slot.enabled) {
            let Some((_, first)) = slot.events.first() else { continue };
            let Ok((addr, active)) = hw_breakpoints::state(&symbols, *first, true) else {
                continue;
            };
            let now = self.read(Span::new(addr, active.len() as u64)).await?;
            if now.as_ref() == Some(&active) {
                self.points.hardware.cured.extend(slot.events.iter().map(|(_, event)| *event));
            }
        }
        Ok(())
    }

    /// Undoes the cure of debug registers that nobody uses any more.
    async fn undo_cures(&mut self) -> Result<(), Failure> {
        let slots = &self.points.hardware;
        let used = |event: &Addr| slots.events.values().flatten().any(|(_, used)| used == event);
        let over: Vec<Addr> = slots.cured.iter().filter(|event| !used(event)).copied().collect();
        for event in over {
            self.set_active(event, false).await?;
        }
        Ok(())
    }

    async fn set_active(&mut self, event: Addr, active: bool) -> Result<(), Failure> {
        let found = hw_breakpoints::state(&self.guest_symbols(), event, active);
        let (addr, bytes) = found.map_err(|error| Failure::Other(error.to_string()))?;
        let now = self.read(Span::new(addr, bytes.len() as u64)).await?;
        if now.as_ref() != Some(&bytes) {
            self.write_memory(addr, &bytes).await?;
            if active {
                self.points.hardware.cured.insert(event);
            }
        }
        if !active {
            self.points.hardware.cured.remove(&event);
        }
        Ok(())
    }

    /// Before the guest runs: makes every CPU take the debug registers as they
    /// are set now. Says whether the stopped task is still where it was; else
    /// another CPU has stopped.
    ///
    /// - CPUs that kgdb stopped by an NMI write an old DR7 back as the NMI ends.
    ///   It is in `nmi_dr7`; where that is 0, nothing is written back.
    /// - The CPU that stopped at a debug exception has its old DR7 in a register
    ///   or on its stack. It is sent to the compiled-in int3: on the way the old
    ///   DR7 comes back, and the int3 enters the debugger without saving it.
    ///
    /// Measured on 6.1.192: both are needed, and enough.
    pub(super) async fn settle_debug_registers(&mut self, pc: Addr) -> Result<bool, Failure> {
        let changed = std::mem::take(&mut self.points.hardware.changed);
        if !changed && self.points.hardware.stale.is_empty() {
            return Ok(true);
        }
        let found = self
            .compute(|symbols, memory| {
                let online = cpus::online(symbols, memory)?;
                let saved: Vec<_> = online
                    .iter()
                    .map(|&cpu| hw_breakpoints::saved_dr7(symbols, memory, cpu))
                    .collect();
                let (active, waiting) =
                    (cpus::active(symbols, memory), cpus::waiting(symbols, memory, &online));
                let saved = saved.into_iter().collect::<Result<Vec<_>, _>>()?;
                let dr7 = percpu::addr(symbols, memory, "cpu_dr7", active.clone()?)
                    .and_then(|addr| Ok(memory.u64(addr)?));
                Ok::<_, KernelError>((saved, active?, waiting?, dr7))
            })
            .await?;
        let (saved, active, waiting, dr7) = match found {
            Ok(found) => found,
            Err(why) => {
                tracing::warn!(%why, "the debug registers of other CPUs");
                return Ok(true);
            }
        };
        let saved: Vec<Addr> = saved.into_iter().flatten().collect();
        if changed {
            for addr in &saved {
                self.write_memory(*addr, &[0; 8]).await?;
            }
            if waiting.is_empty() {
                self.points.hardware.late.clear();
            }
            self.points.hardware.stale = waiting.into_iter().collect();
        }
        let stale = self.points.hardware.stale.remove(&active);
        // A DR7 that was 0 is not written back.
        let comes_back = !saved.is_empty() && dr7 != Ok(0);
        if !(changed || stale) || !comes_back || !self.entered_by_debug(pc).await? {
            return Ok(true);
        }
        let Ok(Some(trap)) = self.compute(breaks::entry_trap).await? else {
            self.say(
                Level::Warning,
                format!("CPU {active} keeps the debug registers it had: this kernel has no kgdb_breakpoint to pass"),
            );
            return Ok(true);
        };
        tracing::debug!(%pc, active, "by way of the compiled-in int3, for DR7");
        let bounced = self.bounce(trap, Displaced { pc, trapped: false }).await?;
        self.points.hardware.entry = Entry::Int3;
        Ok(bounced == Bounced::Back)
    }

    /// At the first stop on a link: whether debug registers were in use before. A
    /// session that was killed leaves a DR7 on each CPU that comes back, and
    /// stops the guest for nobody.
    pub(super) async fn find_used_registers(&mut self) -> Result<(), Failure> {
        let dr7 = self
            .compute(|symbols, memory| {
                let cpu = cpus::active(symbols, memory)?;
                let dr7 = percpu::addr(symbols, memory, "cpu_dr7", cpu)?;
                Ok::<u64, KernelError>(memory.u64(dr7)?)
            })
            .await?;
        // Of a register that was ever used a bit stays (GE: __encode_dr7 has it,
        // arch_uninstall_hw_breakpoint leaves it).
        if dr7.is_ok_and(|dr7| dr7 != 0) {
            let slots = &mut self.points.hardware;
            (slots.changed, slots.used) = (true, true);
        }
        Ok(())
    }

    /// Whether the stopped CPU came into the debugger by a debug exception.
    pub(super) async fn entered_by_debug(&mut self, pc: Addr) -> Result<bool, Failure> {
        match self.points.hardware.entry {
            Entry::Int3 => return Ok(false),
            Entry::Debug => return Ok(true),
            Entry::Unknown => {}
        }
        if self.snapshot.as_ref().is_none_or(|stop| stop.signal != SIGTRAP) {
            return Ok(false);
        }
        let flags = self.register(self.arch().flags).await?;
        if flags & (self.arch().step_flag | RESUME_FLAG) != 0 {
            return Ok(true);
        }
        let before = pc.back(self.arch().breakpoint_skid);
        let byte = self.compute(move |_, memory| memory.uint(before, 1)).await?;
        Ok(byte != Ok(0xcc))
    }

    /// Lets the stopped task execute the instruction at `pc`, where a debug
    /// register would stop it.
    pub(super) async fn pass_debug_register(&mut self, pc: Addr) -> Result<(), Failure> {
        if !self.points.hardware.has_exec(pc) {
            return Ok(());
        }
        let register = self.arch().flags;
        let flags = self.register(register).await?;
        if flags & RESUME_FLAG != 0 {
            // The kernel did it (hw_breakpoint_handler).
            return Ok(());
        }
        let command = registers::write(self.arch(), register, flags | RESUME_FLAG)
            .map_err(|error| Failure::Other(error.to_string()))?;
        if let Err(error) = self.wire.ask(command).await {
            return Err(self.lost(error));
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.registers.set(register, Some(flags | RESUME_FLAG));
        }
        Ok(())
    }

    /// Whether the stop is at a debug register's instruction, and not at an
    /// int3 on the byte before it: the kernel sets the resume flag for the one.
    pub(super) async fn is_debug_register_stop(&mut self, pc: Addr) -> Result<bool, Failure> {
        Ok(self.points.hardware.has_exec(pc)
            && self.register(self.arch().flags).await? & RESUME_FLAG != 0)
    }

    /// Before the guest is left: gives back every debug register.
    pub(super) async fn retire_hardware(&mut self) -> Result<(), Failure> {
        for point in self.points.hardware.points().to_vec() {
            self.lift_point(point).await?;
        }
        self.undo_cures().await?;
        if !self.points.hardware.changed && self.points.hardware.stale.is_empty() {
            return Ok(());
        }
        let pc = self.pc()?;
        if !self.settle_debug_registers(pc).await? {
            self.take_over(&[]).await?;
        }
        // A CPU that met something before it was given back would stop the guest
        // with nobody there. Each goes by way of the compiled-in int3, and takes
        // the new DR7 there.
        match self.snapshot.as_ref().is_some_and(|stop| stop.signal == SIGTRAP) {
            true => self.pass_others().await,
            false => Ok(()),
        }
    }

    /// That there is room for what is wanted; else what is in the way.
    pub(super) fn need_debug_registers(&self) -> Result<(), Failure> {
        let wanted = self.points.hardware_demand();
        if wanted <= SLOTS {
            return Ok(());
        }
        let users = self.points.wishes.iter().filter(|wish| wish.demand().next().is_some());
        let users: Vec<String> = users.map(user).collect();
        Err(Failure::Other(format!(
            "a CPU has {SLOTS} debug registers, and this would be {wanted}: {}; delete or disable one, or use break, which needs none",
            users.join(", ")
        )))
    }
}

/// `2 hw watchpoint hgfs_files (2 registers)`.
fn user(wish: &Wish) -> String {
    let count = wish.demand().count();
    let more = if count == 1 { String::new() } else { format!(" ({count} registers)") };
    let kind = wish.watch.as_ref().map_or("hw breakpoint", |watch| watch.access.word());
    format!("{} {kind} {}{more}", wish.number, wish.location)
}
