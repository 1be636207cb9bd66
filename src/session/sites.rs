//! Making the guest's sites agree with the user's wishes.

use super::{answer::Failure, request::Level, run::Session};
use crate::base::addr::Addr;
use crate::kernel::{boot, danger::Dangers};
use crate::rsp::command::{Command, Point, PointKind};

impl Session {
    /// Makes the stub's sites agree with what is wanted.
    pub(super) async fn reconcile(&mut self) -> Result<(), Failure> {
        if self.points.table_nearly_full() && self.repairs.stuck.is_empty() {
            // Only `?` frees entries without disconnecting (`gdb_cmd_status`
            // calls dbg_remove_all_break).
            match self.wire.ask(Command::HaltReason).await {
                Ok(_) => self.points.table_emptied(),
                Err(error) => return Err(self.lost(error)),
            }
        }
        self.place_catches().await?;
        self.points.hidden = self.hidden_sites().await?;
        let (lift, plant) = self.points.differences();
        for addr in lift {
            self.lift(addr).await?;
        }
        for addr in plant {
            if let Some(why) = self.danger_at(addr).await? {
                if self.points.wish_at(addr).is_some() {
                    self.say(Level::Warning, why.clone());
                }
                self.points.refused(addr, &why);
                continue;
            }
            let point = self.point(addr);
            if self.is_early().await? {
                self.repairs.early.insert(addr);
            }
            match self.wire.ask(Command::Insert(point)).await {
                Ok(_) => self.points.planted(addr),
                Err(error) => match error.errno() {
                    Some(17) => self.points.planted(addr),
                    // `text_mutex` is held.
                    Some(16) => {
                        if let Err(failure) = self.plant_here(addr).await {
                            self.say_not_now(addr, &failure);
                        }
                    }
                    Some(_) => {
                        let why = error.to_string();
                        // A step finds another way; only a wish is news.
                        if self.points.wish_at(addr).is_some() {
                            self.say(Level::Warning, why.clone());
                        }
                        self.points.refused(addr, &why);
                        self.hidden_refused(addr, &why);
                    }
                    None => return Err(self.lost(error)),
                },
            }
        }
        let points = &self.points;
        let wanted = points.wanted();
        self.repairs.late.retain(|addr| wanted.contains(addr) && !points.is_planted(*addr));
        self.reconcile_hardware().await?;
        self.write_journal();
        self.touch();
        Ok(())
    }

    /// Only a wish is news, once; a step finds another way.
    fn say_not_now(&mut self, addr: Addr, failure: &Failure) {
        tracing::info!(%addr, %failure, "planted later");
        if self.repairs.late.insert(addr) && self.points.wish_at(addr).is_some() {
            self.say(Level::Warning, format!("{failure}; it is tried again as the guest goes on"));
        }
    }

    /// Takes every site out.
    pub(super) async fn lift_all(&mut self) -> Result<(), Failure> {
        for addr in self.points.planted_sites() {
            self.lift(addr).await?;
        }
        Ok(())
    }

    pub(super) async fn lift(&mut self, addr: Addr) -> Result<(), Failure> {
        if self.repairs.stuck.contains(&addr) {
            // Its int3 is in memory. Where that can't be helped now, kgdb must go
            // on knowing of it.
            if let Err(failure) = self.take_out_here(addr).await {
                tracing::info!(%addr, %failure, "lifted at the next stop");
            }
            return Ok(());
        }
        let point = self.point(addr);
        match self.wire.ask(Command::Remove(point)).await {
            Ok(_) => {}
            // The stub does not have it (any more): that is what is wanted.
            Err(error) if error.errno().is_some() => {
                tracing::warn!(%addr, %error, "lifting a breakpoint was refused");
            }
            Err(error) => return Err(self.lost(error)),
        }
        self.points.lifted(addr);
        Ok(())
    }

    fn point(&self, addr: Addr) -> Point {
        let len = self.arch().breakpoint_len as u8;
        Point { kind: PointKind::Software, addr, len }
    }

    /// Whether an address is in init memory of a kernel that has booted: that
    /// memory is somebody else's by now.
    async fn is_freed_init(&mut self, addr: Addr) -> Result<bool, Failure> {
        if !boot::is_init(&self.guest_symbols(), addr) {
            return Ok(false);
        }
        if !self.repairs.booted {
            self.repairs.booted = self.compute(boot::is_over).await?.unwrap_or(false);
        }
        Ok(self.repairs.booted)
    }

    /// Whether code may be at an address. kgdb would write an int3 into data as
    /// well, and that is a part of the guest destroyed. Of a module whose symbols
    /// are not there only its extent is known.
    fn may_be_code(&self, addr: Addr) -> bool {
        let symbols = self.guest_symbols();
        match symbols.section_at(addr) {
            Some((placed, _)) => placed.is_code(addr),
            // Without symbols there is nothing to go by.
            None if symbols.vmlinux().is_none() => true,
            None => self.modules.iter().any(|module| module.has(addr)),
        }
    }

    /// Why nothing may be planted at an address; `None` when it may, or when the
    /// user insists.
    pub(super) async fn danger_at(&mut self, addr: Addr) -> Result<Option<String>, Failure> {
        let freed = self.is_freed_init(addr).await?;
        let there = self.points.wishes.iter().filter(|wish| wish.is_at(addr)).collect::<Vec<_>>();
        if there.iter().any(|wish| wish.forced) {
            return Ok(None);
        }
        if freed {
            return Ok(Some(boot::FREED.into()));
        }
        if there.is_empty() {
            // A step's; it finds another way.
            if !self.may_be_code(addr) {
                return Ok(Some("there is no code there".into()));
            }
            let deadly = Dangers::is_patching(&self.guest_symbols(), addr);
            return Ok(deadly.then(|| "a breakpoint there can cost the guest".into()));
        }
        let found = self
            .compute(move |symbols, memory| Dangers::new(symbols).at(symbols, memory, addr))
            .await?;
        // What can't be read the stub will not plant.
        let danger = found.ok().flatten();
        Ok(danger.map(|danger| format!("{danger} (break --force plants it all the same)")))
    }
}
