//! Reads what the panes beside the stack have on screen, one piece a round.

use super::{answer::Failure, run::Session, wants::Wants};
use std::collections::BTreeSet;

/// A piece of what panes want, in the order in which they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Tree,
    Code,
    Memory,
    Cpus,
    Modules,
    Tasks,
    Dmesg,
}

impl Piece {
    /// What packets for it are for.
    fn word(self) -> &'static str {
        match self {
            Piece::Tree => "values",
            Piece::Code => "instructions",
            Piece::Memory => "memory",
            Piece::Cpus => "CPUs",
            Piece::Modules => "modules",
            Piece::Tasks => "tasks",
            Piece::Dmesg => "dmesg",
        }
    }
}

/// What is still to be read for the panes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Due(BTreeSet<Piece>);

impl Due {
    /// All that is wanted.
    pub(super) fn all(wants: &Wants) -> Due {
        Due::changed(&Wants::default(), wants)
    }

    /// What depends on the selected frame.
    pub(super) fn of_frame(wants: &Wants) -> Due {
        let Due(mut pieces) = Due::all(wants);
        pieces.retain(|piece| matches!(piece, Piece::Memory | Piece::Tree | Piece::Code));
        Due(pieces)
    }

    /// Instructions, when they are written in another way.
    pub(super) fn of_code(wants: &Wants) -> Due {
        let Due(mut pieces) = Due::all(wants);
        pieces.retain(|piece| *piece == Piece::Code);
        Due(pieces)
    }

    /// What differs.
    fn changed(old: &Wants, new: &Wants) -> Due {
        let memory = new.memory.is_some() && new.memory != old.memory;
        let tasks = new.tasks.is_some() && new.tasks != old.tasks;
        let shown = new.variables || !new.watches.is_empty();
        let opened = new.open != old.open || new.watches != old.watches;
        let tree = shown && (opened || new.variables && !old.variables);
        let pieces = [
            (Piece::Tree, tree),
            (Piece::Code, new.code.is_some() && new.code != old.code),
            (Piece::Memory, memory),
            (Piece::Cpus, new.cpus && !old.cpus),
            (Piece::Modules, new.modules && !old.modules),
            (Piece::Tasks, tasks),
            (Piece::Dmesg, new.dmesg.is_some() && new.dmesg != old.dmesg),
        ];
        Due(pieces.into_iter().filter(|(_, due)| *due).map(|(piece, _)| piece).collect())
    }

    pub(super) fn add(&mut self, Due(pieces): Due) {
        self.0.extend(pieces);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Session {
    /// Takes what the panes want from now on.
    pub(super) fn want(&mut self, wants: Wants) {
        let due = Due::changed(&self.panes.wants, &wants);
        if wants.packets && !self.panes.wants.packets {
            self.touch();
        }
        self.panes.wants = wants;
        self.panes.due.add(due);
    }

    /// Reads one piece of what is wanted.
    pub(super) async fn wanted_round(&mut self) -> Result<(), Failure> {
        let Some(piece) = self.panes.due.0.pop_first() else { return Ok(()) };
        self.wire.log().purpose(piece.word());
        match piece {
            Piece::Tree => {
                if self.tree_round().await? {
                    self.panes.due.0.insert(Piece::Tree);
                }
            }
            Piece::Code => {
                if let Some(want) = self.panes.wants.code.clone() {
                    self.listing_round(want).await?;
                }
            }
            Piece::Memory => {
                if let Some(want) = self.panes.wants.memory.clone() {
                    self.memory_round(want).await?;
                }
            }
            Piece::Cpus => {
                let cpus = self.read_cpus().await?;
                if let Some(stop) = &mut self.stop {
                    stop.supplied.cpus = Some(cpus);
                }
            }
            Piece::Modules => {
                if self.modules_round().await? {
                    self.panes.due.0.insert(Piece::Modules);
                }
            }
            Piece::Dmesg => {
                if let Some(want) = self.panes.wants.dmesg.clone()
                    && self.dmesg_round(&want).await?
                {
                    self.panes.due.0.insert(Piece::Dmesg);
                }
            }
            Piece::Tasks => {
                if self.tasks_round().await? {
                    self.panes.due.0.insert(Piece::Tasks);
                }
            }
        }
        self.touch();
        Ok(())
    }
}
