//! The guest's CPUs, and what each of them was caught in.

use super::{Look, Outcome};
use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::view::{CpuView, View};
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};

/// What the pane keeps: a cursor.
#[derive(Debug, Default)]
pub struct Cpus {
    /// The cursor.
    pub list: List,
}

impl Cpus {
    /// Takes in a new view.
    pub fn follow(&mut self, view: &View) {
        if let Some(cpus) = view.stop.as_ref().and_then(|stop| stop.supplied.cpus.as_ref()) {
            self.list.fit(cpus.len(), self.list.height);
        }
    }

    /// Does what a key asks.
    pub fn act(&mut self, action: Action, view: Option<&View>) -> Option<Outcome> {
        if self.list.act(action) || action != Action::Open {
            return None;
        }
        let cpus = view?.stop.as_ref()?.supplied.cpus.as_ref()?;
        Some(Outcome::Line(format!("cpu {}", cpus.get(self.list.cursor)?.cpu)))
    }

    /// Draws the CPUs.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let Some(stop) = look.view.and_then(|view| view.stop.as_ref()) else {
            return look.placeholder(buffer, area, "known when the guest is stopped");
        };
        let Some(cpus) = &stop.supplied.cpus else {
            return look.placeholder(buffer, area, "reading …");
        };
        // A task that sleeps is on no CPU, though it was on one last.
        let shown = match &stop.subject {
            Some(subject) => (subject.cpu, subject.pid),
            None => (stop.cpu, stop.pid),
        };
        for (at, index) in self.list.seen().enumerate() {
            if let Some(cpu) = cpus.get(index) {
                let is_shown = shown == (Some(cpu.cpu), cpu.pid);
                draw_cpu(buffer, area, at as u16, cpu, is_shown, look);
            }
            look.cursor(buffer, area, at as u16, index == self.list.cursor);
        }
    }
}

fn draw_cpu(buffer: &mut Buffer, area: Rect, at: u16, cpu: &CpuView, shown: bool, look: &Look<'_>) {
    let mut pen = Pen::new(buffer, area, at);
    pen.put(if shown { "▶" } else { " " }, look.style(Role::Focused));
    let role = if cpu.current { Role::Strong } else { Role::Text };
    pen.put(&format!("CPU{:<3} ", cpu.cpu), look.style(role));
    let doing = match (cpu.current, cpu.doing.as_str()) {
        (true, "kernel") => "stopped here".to_string(),
        (true, other) => format!("{other}, stopped here"),
        (false, other) => other.to_string(),
    };
    if !cpu.stopped {
        pen.put(&doing, look.style(Role::Warning));
        return;
    }
    let task = match (cpu.pid, &cpu.comm) {
        (Some(pid), Some(comm)) => format!("{pid} {}", printable(comm)),
        _ => "—".into(),
    };
    pen.column(&task, 20, look.style(role)).put(" ", Style::new());
    let place = match (&cpu.function, cpu.pc) {
        (Some(function), _) => printable(function),
        (None, Some(pc)) => pc.to_string(),
        (None, None) => "—".into(),
    };
    pen.put(&place, look.style(Role::Text)).put("  ", Style::new());
    pen.put(&doing, look.style(Role::Dim));
}
