//! Who the guest is: its KASLR slide, whether the vmlinux is its own, and what
//! runs on the CPU that stopped.

use super::step::Plan;
use super::{
    answer::{Answer, Failure},
    find_vmlinux::Finder,
    request::Level,
    run::Session,
    view::{Match, StopReason},
};
use crate::base::{addr::Addr, memory::Memory, text};
use crate::kernel::{cpus, proof, proof::Proof, slide, version};
use crate::rsp::{command::Command, reply::Reply, thread::ThreadId};
use crate::symbols::placed::Symbols;
use crate::target::threads::{self, Who};

impl Session {
    /// Finds the slide and proves the vmlinux, once for each link. While it is
    /// still being opened there is nothing to do yet; without one, it is looked
    /// for.
    pub(super) async fn identify(&mut self) -> Result<(), Failure> {
        if self.target.vmlinux.is_none() {
            return self.find_vmlinux().await;
        }
        if self.code.symbols().vmlinux().is_none() || self.symbols_loading() {
            return Ok(());
        }
        self.find_slide().await?;
        let proof = self.compute_unproven(proof::prove).await?;
        let mut proof = proof.unwrap_or_else(|gap| Proof::Unknown { why: gap.to_string() });
        if matches!(proof, Proof::Differs { .. } | Proof::Unknown { .. }) {
            self.release_by_kdb().await?;
        }
        if let Proof::Unknown { .. } = proof
            && let Some(differs) = self.other_build_by_kdb().await?
        {
            proof = differs;
        }
        if let Proof::Differs { guest, .. } = &proof
            && matches!(self.finder, Finder::Used)
        {
            self.target.build_id = Some(guest.clone()).filter(|id| !id.is_empty());
            return self.find_another().await;
        }
        self.take_proof(proof);
        self.identified = true;
        if self.target.matches == Match::Match {
            // The release and the CPUs are for the status line; a guest
            // without them is still a guest.
            self.target.banner = self.banner_of_file();
            // `Linux version RELEASE (…` (init/version.c).
            let release = self.target.banner.as_ref().and_then(|banner| banner.split(' ').nth(2));
            self.target.release = match release {
                Some(release) => Some(release.to_string()),
                None => self.compute(version::release).await?.ok(),
            };
            self.target.cpus =
                self.compute(cpus::online).await?.ok().map(|online| online.len() as u32);
            if let Some(reason) = self.found_reason()
                && let Some(stop) = &mut self.stop
                && matches!(stop.reason, StopReason::Found(_))
            {
                stop.reason = reason;
            }
        }
        if let Some(note) = self.kernel_note() {
            self.note(&note);
        }
        self.touch();
        Ok(())
    }

    /// A vmlinux of a wholly different kernel has its notes elsewhere, so they
    /// prove nothing; kdb finds the guest's own. Equal ids are no proof here:
    /// something else is wrong then, and the slide is not known.
    async fn other_build_by_kdb(&mut self) -> Result<Option<Proof>, Failure> {
        let symbols = self.code.symbols();
        let file = symbols.vmlinux().and_then(|placed| placed.image.image().build_id());
        let Some(file) = file.map(text::hex) else { return Ok(None) };
        let guest = self.build_id_by_kdb().await?.map(|id| text::hex(&id));
        Ok(guest.filter(|guest| *guest != file).map(|guest| Proof::Differs { file, guest }))
    }

    /// Asks kdb which kernel this is, where no vmlinux can tell: its `summary`
    /// prints `init_uts_ns` (kdb_summary in kernel/debug/kdb/kdb_main.c).
    pub(super) async fn release_by_kdb(&mut self) -> Result<(), Failure> {
        match self.monitor("summary").await {
            Ok(Answer::Output { output }) => self.target.release = value_of(&output, "release"),
            // A kernel without kdb knows no such command.
            Ok(_) => {}
            Err(failure) if !self.wire.is_open() => return Err(failure),
            Err(_) => {}
        }
        Ok(())
    }

    /// The banner is constant text, so a proven file answers for the guest
    /// without a packet.
    fn banner_of_file(&self) -> Option<String> {
        let symbols = self.code.symbols();
        let placed = symbols.vmlinux()?;
        let image = placed.image.image();
        let symbol = image.symbols().named("linux_banner").next()?;
        let bytes = image.file_bytes(symbol.addr, symbol.size as usize)?;
        let text = bytes.split(|&byte| byte == 0).next()?;
        Some(String::from_utf8_lossy(text).trim_end().to_string())
    }

    /// Finds the KASLR slide and places the vmlinux by it.
    pub(super) async fn find_slide(&mut self) -> Result<(), Failure> {
        let pc = self.pc().ok();
        let found = self.compute_unproven(move |s, m| slide::find(s, m, pc)).await?;
        match found {
            Ok(found) => {
                self.code.update(|symbols| symbols.set_slide(found.value));
                self.target.slide = Some(Addr(found.value));
                self.target.slide_by = Some(found.by.to_string());
            }
            Err(error) => {
                self.say(
                    Level::Warning,
                    format!("the KASLR slide was not found ({error}); taken as zero until proven"),
                );
            }
        }
        Ok(())
    }

    fn take_proof(&mut self, proof: Proof) {
        let running = match &self.target.release {
            Some(release) => format!(" (it runs {release})"),
            None => String::new(),
        };
        let known = |id: &str| (!id.is_empty()).then(|| id.to_string());
        match &proof {
            Proof::Matches { id } => {
                self.target.build_id = known(id);
                self.target.matches = Match::Match;
            }
            Proof::ByBanner { .. } => self.target.matches = Match::Match,
            Proof::Differs { file, guest } => {
                self.target.build_id = known(guest);
                self.target.matches = Match::Mismatch;
                let vmlinux = self.target.vmlinux.as_ref().map(|p| p.display().to_string());
                self.say(
                    Level::Error,
                    format!(
                        "{} is NOT the guest's kernel: its build-id is {file}, the guest's is {guest}{running}. No symbols are shown. Give the right file with --vmlinux, or override with: trust-symbols",
                        vmlinux.unwrap_or_default()
                    ),
                );
            }
            Proof::Unknown { why } => {
                self.target.matches = Match::Unknown;
                self.say(
                    Level::Warning,
                    format!(
                        "whether the vmlinux is the guest's{running} could not be found out ({why}). No symbols are shown; override with: trust-symbols"
                    ),
                );
            }
        }
        if self.options.trust_symbols && self.target.matches != Match::Match {
            self.target.matches = Match::Trusted;
        }
    }

    /// Like [`Session::compute`], with symbols that are not proven yet: for
    /// proving them.
    async fn compute_unproven<T>(
        &mut self,
        work: impl Fn(&Symbols, &dyn Memory) -> T,
    ) -> Result<T, Failure> {
        let symbols = self.code.symbols();
        self.compute(move |_, memory| work(&symbols, memory)).await
    }

    /// Which CPU stopped, and in which task.
    pub(super) async fn look_at_task(&mut self, plan: &Option<Plan>) -> Result<(), Failure> {
        let mut thread = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        if thread.is_none() {
            // `?` does not tell, unlike the stop packet.
            thread = match self.wire.ask(Command::CurrentThread).await {
                Ok(Reply::Thread(thread)) => Some(thread),
                Ok(_) => None,
                Err(error) if !self.wire.is_open() => return Err(self.lost(error)),
                Err(_) => None,
            };
            if let Some(snapshot) = &mut self.snapshot {
                snapshot.thread = thread;
            }
        }
        let (pid, comm) = match thread.map(Who::from) {
            Some(who @ Who::Task(pid)) => {
                let pid = i64::from(pid);
                // A step does not change a task's name.
                let stepped = matches!(plan, Some(Plan::Line { .. } | Plan::Instruction { .. }));
                let known = self.last_task.take().filter(|(last, _)| *last == pid && stepped);
                let comm = match (known, who.id()) {
                    (Some((_, comm)), _) => Some(comm),
                    (None, Some(id)) => self.comm(id).await?,
                    (None, None) => None,
                };
                self.last_task = comm.clone().map(|comm| (pid, comm));
                (Some(pid), comm)
            }
            // The idle task has pid 0 on every CPU, and the stub names it by
            // the CPU instead (`shadow_pid` in kernel/debug/gdbstub.c).
            Some(Who::Cpu(cpu)) => (Some(0), Some(idle_name(cpu))),
            Some(Who::Current) | None => (None, None),
        };
        if let Some(stop) = &mut self.stop {
            (stop.pid, stop.comm) = (pid, comm);
        }
        self.look_at_cpu().await
    }

    /// Which CPU stopped.
    pub(super) async fn look_at_cpu(&mut self) -> Result<(), Failure> {
        let cpu = self.compute(cpus::active).await?.ok();
        if let Some(stop) = &mut self.stop {
            stop.cpu = cpu;
        }
        let subject = self.subject_view();
        if let Some(stop) = &mut self.stop {
            stop.subject = Some(subject);
        }
        self.touch();
        Ok(())
    }

    /// The name of the stub's thread; `None` when the stub does not know it: a task
    /// that is ending is in no table of pids any more.
    pub(super) async fn comm(&mut self, thread: ThreadId) -> Result<Option<String>, Failure> {
        match self.wire.ask(Command::ThreadExtraInfo(thread)).await {
            Ok(Reply::Text(info)) => Ok(Some(threads::name(&info))),
            Ok(_) => Ok(None),
            Err(error) if error.errno().is_some() => Ok(None),
            Err(error) => Err(self.lost(error)),
        }
    }
}

/// What the idle task of a CPU is called (`init_idle` in kernel/sched/core.c).
pub(super) fn idle_name(cpu: u32) -> String {
    format!("swapper/{cpu}")
}

/// The value in a line `name  value`.
fn value_of(text: &str, name: &str) -> Option<String> {
    let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(' ')?.trim().to_string());
    text.lines().find_map(value).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::value_of;

    #[test]
    fn kdb_tells_the_release() {
        let summary = "sysname    Linux\nrelease    6.1.192\nversion    #1 SMP\n";
        assert_eq!(value_of(summary, "release").as_deref(), Some("6.1.192"));
        assert_eq!(value_of("released\nrelease \n", "release"), None);
        assert_eq!(value_of("Unknown kdb command", "release"), None);
    }
}
