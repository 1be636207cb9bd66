//! Instructions that must not be stepped by the flag for it: it would be lost,
//! or left where it does not belong.
//!
//! - `sysret`, `iret` to user mode: no stop comes back. Via `sysret` the flag is
//!   lost, after `iret` the kernel lets the program run
//!   (`single_step_cont` in arch/x86/kernel/kgdb.c).
//! - `iret` to the kernel, `hlt`, `ud2`, `int`: something else runs first.
//! - `pushf` stores the flag, a later `popf` brings it back: a trap that nobody
//!   expects.
//! - `__switch_to_asm` goes on with another task, and the flag with it.

use super::{
    answer::Failure,
    request::Level,
    run::Session,
    step::{Guard, Journey, Leg, Plan},
    wire::WireEvent,
};
use crate::arch::insn::{self, Hazard, Insn, MAX_LEN};
use crate::base::{
    addr::Addr,
    memory::{Gap, Memory},
};
use crate::rsp::reply::StopReply;

/// What is done instead of a step.
pub(super) enum Instead {
    /// To run to a place.
    To(Addr, Guard),
    /// Nothing can be: this leaves the kernel.
    Leaves,
    /// It is done already, from outside.
    Done,
}

/// How much of the code is read at once, for the steps to come.
const AHEAD: u64 = 64;

impl Session {
    /// What to do instead of an instruction step at `pc`; `None` when that is
    /// as good as any.
    pub(super) async fn instead_of_step(&mut self, pc: Addr) -> Result<Option<Instead>, Failure> {
        let known = self.snapshot.as_ref().and_then(|stop| stop.memory.bytes(pc, MAX_LEN).ok());
        let left = self.journey.as_ref().map(|journey| &journey.plan);
        let one = matches!(left, Some(Plan::Instruction { left: 1, .. }));
        let read = match known {
            Some(code) => Ok(insn::decode_one(pc, &code)),
            None if one => self.compute(move |_, memory| insn::instruction(memory, pc)).await?,
            None => self.read_ahead(pc).await?,
        };
        let Ok(Some(insn)) = read else { return Ok(None) };
        let symbols = self.guest_symbols();
        let switches = symbols.symbol_addr("__switch_to_asm") == Some(pc);
        let sp = self.arch().sp;
        Ok(match insn::hazard(&insn) {
            None if switches => {
                let sp = self.register(sp).await?;
                let back = self.compute(move |_, memory| memory.u64(Addr(sp))).await?;
                back.ok().map(|back| Instead::To(Addr(back), Guard::Sp(sp.wrapping_add(8))))
            }
            // An int3 that kgdb can't take out is stepped over from outside, where
            // that can be done: who holds `text_mutex` may wait for this very CPU.
            None if self.repairs.stuck.contains(&pc) => {
                self.emulate(pc).await?.then_some(Instead::Done)
            }
            None => None,
            Some(Hazard::Flags) => self.emulate(pc).await?.then_some(Instead::Done),
            Some(Hazard::Aside) => {
                let sp = self.register(sp).await?;
                Some(Instead::To(insn.next(), Guard::Sp(sp)))
            }
            Some(Hazard::ToUser) => Some(Instead::Leaves),
            Some(Hazard::Frame) => {
                // rip, cs, rflags, rsp, ss.
                let sp = self.register(sp).await?;
                let frame = self
                    .compute(move |_, memory| {
                        let (to, cs) = (memory.u64(Addr(sp)), memory.u64(Addr(sp).offset(8)));
                        Ok::<_, Gap>((to?, cs?))
                    })
                    .await?;
                match frame {
                    Ok((_, cs)) if cs & 3 == 3 => Some(Instead::Leaves),
                    Ok((to, _)) => Some(Instead::To(Addr(to), Guard::Any)),
                    Err(_) => None,
                }
            }
        })
    }

    /// The instruction at `pc`; what lies ahead of it is read too, and it is none
    /// the worse for not being there.
    async fn read_ahead(&mut self, pc: Addr) -> Result<Result<Option<Insn>, Gap>, Failure> {
        let left = (0x1000 - pc.0 % 0x1000).min(AHEAD) as usize;
        self.compute(move |_, memory| match memory.bytes(pc, left) {
            Err(gap) if gap.is_missing() => Err(gap),
            _ => insn::instruction(memory, pc),
        })
        .await
    }

    /// The step leads out of the kernel: from here on the guest just runs.
    pub(super) fn step_leaves(&mut self) {
        if let Some(Journey { plan, leg, .. }) = &mut self.journey {
            let text = format!(
                "{}: the kernel leaves for user mode here; the guest runs until something stops it",
                plan.word()
            );
            (*plan, *leg) = (Plan::Continue, Leg::Free);
            self.say(Level::Warning, text);
        }
    }

    /// An instruction was done from outside: the same as a step that came back.
    pub(super) fn step_is_done(&mut self, what: &str) {
        let thread = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        self.forget_stop(what);
        let stop = StopReply::Thread { signal: super::control::SIGTRAP, thread };
        self.wire.push_front(WireEvent::Stop(stop));
    }
}
