//! Reads what is on screen, one piece a round: what the user looks at first.

use super::{
    answer::Failure,
    request::Level,
    run::Session,
    wants::{Piece, Wants},
};
use std::collections::BTreeSet;

impl Piece {
    /// What packets for it are for.
    fn word(self) -> &'static str {
        match self {
            Piece::Frames => "stack",
            Piece::Locals => "variables",
            Piece::Around => "instructions",
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

/// What is still to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Due(BTreeSet<Piece>);

impl Due {
    /// All that is wanted of a stop; what is on any screen too, when `eager`.
    pub(super) fn all(wants: &Wants, eager: bool) -> Due {
        let mut due = Due::changed(&Wants::default(), wants);
        if eager {
            due.0.extend([Piece::Frames, Piece::Locals, Piece::Around]);
        }
        due
    }

    /// What depends on the selected frame.
    pub(super) fn of_frame(wants: &Wants, eager: bool) -> Due {
        let Due(mut pieces) = Due::all(wants, eager);
        use Piece::{Around, Code, Locals, Memory, Tree};
        pieces.retain(|piece| matches!(piece, Locals | Around | Tree | Code | Memory));
        Due(pieces)
    }

    /// Instructions, when they are written in another way.
    pub(super) fn of_code(wants: &Wants) -> Due {
        let Due(mut pieces) = Due::all(wants, false);
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

    pub(super) fn set(&mut self, piece: Piece, due: bool) {
        match due {
            true => self.0.insert(piece),
            false => self.0.remove(&piece),
        };
    }

    /// What is to be read now, where `first` is what the user looks at. Values
    /// come after the frames: an argument may be known only to a caller.
    fn next(&self, first: Option<Piece>) -> Option<Piece> {
        let first = first.filter(|piece| self.0.contains(piece));
        match first {
            Some(Piece::Tree | Piece::Locals) if self.0.contains(&Piece::Frames) => {
                Some(Piece::Frames)
            }
            Some(piece) => Some(piece),
            None => self.0.first().copied(),
        }
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

    /// Reads one piece of what is on screen, as far as one round of packets goes.
    pub(super) async fn pane_round(&mut self) {
        let Some(piece) = self.panes.due.next(self.panes.wants.first) else { return };
        self.wire.log().purpose(piece.word());
        match self.read_piece(piece).await {
            Ok(more) => self.panes.due.set(piece, more),
            Err(failure) => {
                self.panes.due = Due::default();
                if self.wire.is_open() {
                    self.say(Level::Warning, failure.to_string());
                }
            }
        }
        self.publish_cost();
    }

    /// Whether there is more to be read of it.
    async fn read_piece(&mut self, piece: Piece) -> Result<bool, Failure> {
        let more = match piece {
            Piece::Frames => return self.frames_round().await,
            Piece::Locals => return self.variables_round().await,
            Piece::Around => {
                self.code_round().await?;
                return Ok(false);
            }
            Piece::Tree => self.tree_round().await?,
            Piece::Code => {
                if let Some(want) = self.panes.wants.code.clone() {
                    self.listing_round(want).await?;
                }
                false
            }
            Piece::Memory => {
                if let Some(want) = self.panes.wants.memory.clone() {
                    self.memory_round(want).await?;
                }
                false
            }
            Piece::Cpus => {
                let cpus = self.read_cpus().await?;
                if let Some(stop) = &mut self.stop {
                    stop.supplied.cpus = Some(cpus);
                }
                false
            }
            Piece::Modules => self.modules_round().await?,
            Piece::Dmesg => match self.panes.wants.dmesg.clone() {
                Some(want) => self.dmesg_round(&want).await?,
                None => false,
            },
            Piece::Tasks => self.tasks_round().await?,
        };
        self.touch();
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_the_keys_is_read_first() {
        let wants = Wants {
            variables: true,
            cpus: true,
            memory: Some(Default::default()),
            ..Wants::default()
        };
        let order = |first: Option<Piece>| {
            let mut due = Due::all(&wants, true);
            let mut order = Vec::new();
            while let Some(piece) = due.next(first) {
                due.set(piece, false);
                order.push(piece);
            }
            order
        };
        use Piece::{Around, Code, Cpus, Frames, Locals, Memory, Tree};
        assert_eq!(order(None), [Frames, Locals, Around, Tree, Memory, Cpus]);
        assert_eq!(order(Some(Memory)), [Memory, Frames, Locals, Around, Tree, Cpus]);
        assert_eq!(order(Some(Tree)), [Frames, Tree, Locals, Around, Memory, Cpus]);
        assert_eq!(order(Some(Code)), order(None), "it is not on screen");
    }
}
