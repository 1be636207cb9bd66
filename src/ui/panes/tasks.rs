//! The guest's tasks: what each does and, where it waits, for what. Only rows
//! on screen are read whole.

use super::{Look, Outcome, of_module};
use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::view::{StopView, View};
use crate::session::wants::{TaskSort, TaskView, TaskWant, TasksView};
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};

/// What the pane keeps: a cursor, a filter and an order.
#[derive(Debug, Default)]
pub struct Tasks {
    /// The cursor.
    pub list: List,
    /// Only tasks with this text.
    pub filter: String,
    sort: TaskSort,
    /// The stop that is shown.
    generation: u64,
    /// The stop at which the user said that a long list is to be read.
    sure_at: Option<u64>,
}

impl Tasks {
    /// What is to be read when the pane is on screen.
    pub fn want(&self) -> TaskWant {
        TaskWant {
            filter: self.filter.clone(),
            sort: self.sort,
            first: self.list.top,
            rows: self.list.height,
            sure: self.sure_at == Some(self.generation),
        }
    }

    /// Takes in a new view.
    pub fn follow(&mut self, view: &View) {
        self.generation = view.stop.as_ref().map_or(0, |stop| stop.generation);
        if let Some(tasks) = view.stop.as_ref().and_then(|stop| stop.supplied.tasks.as_ref()) {
            self.list.fit(rows(tasks), self.list.height);
        }
    }

    /// The order and the filter in words, for the title.
    pub fn note(&self, stop: Option<&StopView>) -> String {
        let order = match self.sort {
            TaskSort::List => "",
            TaskSort::Pid => "by pid",
            TaskSort::Name => "by name",
            TaskSort::State => "by state",
        };
        let filter = match self.filter.as_str() {
            "" => String::new(),
            text => format!("/{}", printable(text)),
        };
        let total = stop.and_then(|stop| stop.supplied.tasks.as_ref()?.total);
        let total = total.map_or(String::new(), |total| format!("{total} in all"));
        let parts = [filter, order.to_string(), total];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// Does what a key asks.
    pub fn act(&mut self, action: Action, view: Option<&View>) -> Option<Outcome> {
        match action {
            Action::Sort => {
                self.sort = match self.sort {
                    TaskSort::List => TaskSort::Pid,
                    TaskSort::Pid => TaskSort::Name,
                    TaskSort::Name => TaskSort::State,
                    TaskSort::State => TaskSort::List,
                };
                self.list.act(Action::Home);
                None
            }
            Action::Open => {
                let tasks = view?.stop.as_ref()?.supplied.tasks.as_ref()?;
                let Some(task) = tasks.rows.get(self.list.cursor) else {
                    if tasks.asks.is_some() {
                        self.sure_at = Some(self.generation);
                    }
                    return None;
                };
                Some(Outcome::Line(format!("task {}", task.pid)))
            }
            action => {
                self.list.act(action);
                None
            }
        }
    }

    /// Draws the tasks.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let Some(stop) = look.view.and_then(|view| view.stop.as_ref()) else {
            return look.placeholder(buffer, area, "known when the guest is stopped");
        };
        let Some(tasks) = &stop.supplied.tasks else {
            return look.placeholder(buffer, area, "reading …");
        };
        if let (Some(trouble), true) = (&tasks.trouble, tasks.rows.is_empty()) {
            return look.placeholder(buffer, area, &printable(trouble));
        }
        if tasks.rows.is_empty() && tasks.complete {
            return look.placeholder(buffer, area, "no task has this text; / changes the filter");
        }
        let subject = stop.subject.as_ref();
        let shown = subject.and_then(|subject| subject.pid).or(stop.pid);
        for (at, index) in self.list.seen().enumerate() {
            let at = at as u16;
            match tasks.rows.get(index) {
                Some(task) => draw_task(buffer, area, at, task, shown == Some(task.pid), look),
                None => {
                    let (words, role) = match (&tasks.asks, &tasks.trouble) {
                        (Some(asks), _) => (format!("{asks}; Enter here reads it"), Role::Warning),
                        (None, Some(trouble)) => (printable(trouble), Role::Dim),
                        (None, None) => (reading(tasks), Role::Dim),
                    };
                    Pen::new(buffer, area, at)
                        .put("   ", Style::new())
                        .put(&words, look.style(role));
                }
            }
            look.cursor(buffer, area, at, index == self.list.cursor);
        }
    }
}

/// How far the list is read.
fn reading(tasks: &TasksView) -> String {
    match tasks.total {
        Some(total) => format!("reading … {} of {total}", tasks.read),
        None => "reading …".into(),
    }
}

/// The rows that are read, and one that says that there are more.
fn rows(tasks: &TasksView) -> usize {
    tasks.rows.len()
        + usize::from(!tasks.complete || tasks.trouble.is_some() || tasks.asks.is_some())
}

fn draw_task(
    buffer: &mut Buffer,
    area: Rect,
    at: u16,
    task: &TaskView,
    shown: bool,
    look: &Look<'_>,
) {
    let role = match (task.on_cpu, shown) {
        (true, _) => Role::Strong,
        (false, true) => Role::Text,
        (false, false) => Role::Text,
    };
    let indent = if task.thread { "└" } else { "" };
    // As ps does: kernel threads in brackets.
    let comm = printable(&task.comm);
    let name = if task.kernel { format!("{indent}[{comm}]") } else { format!("{indent}{comm}") };
    let state = match (task.on_cpu, task.cpu) {
        (true, Some(cpu)) => format!("on CPU {cpu}"),
        _ => task.state.clone(),
    };
    let mut pen = Pen::new(buffer, area, at);
    pen.put(if shown { "▶" } else { " " }, look.style(Role::Focused));
    pen.put(&format!("{:>6} ", task.pid), look.style(Role::Dim));
    pen.column(&name, 18, look.style(role)).put(" ", Style::new());
    pen.column(&state, 11, look.style(if task.on_cpu { Role::Good } else { Role::Dim }));
    pen.put(" ", Style::new());
    match (&task.wait, &task.cmdline) {
        (Some(wait), _) => {
            pen.put(&printable(wait), look.style(Role::Text));
            match &task.wait_module {
                Some(module) => pen.put(&of_module(module), look.style(Role::Type)),
                None => &mut pen,
            }
        }
        (None, Some(cmdline)) => pen.put(&printable(cmdline), look.style(Role::Dim)),
        (None, None) => &mut pen,
    };
    if let (Some(cmdline), Some(_)) = (&task.cmdline, &task.wait) {
        let room = pen.room().saturating_sub(2);
        pen.right(&crate::ui::pen::clip(&printable(cmdline), room), look.style(Role::Dim));
    }
}
