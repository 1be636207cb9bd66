//! Reads what the panes beside the stack have on screen, one piece a round.

use super::{answer::Failure, run::Session, wants::Wants};

/// What is still to be read for the panes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    cpus: bool,
    memory: bool,
    tree: bool,
}

impl Due {
    /// All that is wanted.
    pub(super) fn all(wants: &Wants) -> Due {
        let memory = wants.memory.is_some();
        Due { cpus: wants.cpus, memory, ..Due::default() }.also(Due::of_frame(wants))
    }

    /// What depends on the selected frame.
    pub(super) fn of_frame(wants: &Wants) -> Due {
        Due { memory: wants.memory.is_some(), tree: wants.variables, ..Due::default() }
    }

    /// What differs.
    fn changed(old: &Wants, new: &Wants) -> Due {
        Due {
            cpus: new.cpus && !old.cpus,
            memory: new.memory.is_some() && new.memory != old.memory,
            tree: new.variables && (!old.variables || new.open != old.open),
        }
    }

    fn also(self, other: Due) -> Due {
        Due {
            cpus: self.cpus || other.cpus,
            memory: self.memory || other.memory,
            tree: self.tree || other.tree,
        }
    }

    pub(super) fn add(&mut self, other: Due) {
        *self = self.also(other);
    }

    pub(super) fn any(&self) -> bool {
        *self != Due::default()
    }
}

impl Session {
    /// Takes what the panes want from now on.
    pub(super) fn want(&mut self, wants: Wants) {
        let due = Due::changed(&self.panes.wants, &wants);
        self.panes.wants = wants;
        self.panes.due.add(due);
    }

    /// Reads one piece of what is wanted.
    pub(super) async fn wanted_round(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.panes.due.tree) {
            self.panes.due.tree = self.tree_round().await?;
        } else if std::mem::take(&mut self.panes.due.cpus) {
            let cpus = self.read_cpus().await?;
            if let Some(stop) = &mut self.stop {
                stop.supplied.cpus = Some(cpus);
            }
        } else if std::mem::take(&mut self.panes.due.memory)
            && let Some(want) = self.panes.wants.memory.clone()
        {
            self.memory_round(want).await?;
        }
        self.touch();
        Ok(())
    }
}
