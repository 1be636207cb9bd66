//! Reads what the panes beside the stack have on screen, one piece a round.

use super::{answer::Failure, run::Session, wants::Wants};

/// What is still to be read for the panes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    cpus: bool,
    tasks: bool,
}

impl Due {
    /// All that is wanted.
    pub(super) fn all(wants: &Wants) -> Due {
        Due { cpus: wants.cpus, tasks: wants.tasks.is_some() }.also(Due::of_frame(wants))
    }

    /// What depends on the selected frame.
    pub(super) fn of_frame(_wants: &Wants) -> Due {
        Due::default()
    }

    /// What differs.
    fn changed(old: &Wants, new: &Wants) -> Due {
        Due { cpus: new.cpus && !old.cpus, tasks: new.tasks.is_some() && new.tasks != old.tasks }
    }

    fn also(self, other: Due) -> Due {
        Due { cpus: self.cpus || other.cpus, tasks: self.tasks || other.tasks }
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
        if std::mem::take(&mut self.panes.due.cpus) {
            let cpus = self.read_cpus().await?;
            if let Some(stop) = &mut self.stop {
                stop.supplied.cpus = Some(cpus);
            }
        } else if self.panes.due.tasks {
            self.panes.due.tasks = self.tasks_round().await?;
        }
        self.touch();
        Ok(())
    }
}
