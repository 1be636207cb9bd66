//! The stack: one row a frame, the way it ends in the last row.

use super::{Look, Outcome, file_name, of_module};
use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::request::Request;
use crate::session::view::{FrameView, FramesEnd, StopView, View};
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use unicode_width::UnicodeWidthStr;

/// What the pane keeps: a cursor, and which selection it followed last.
#[derive(Debug, Default)]
pub struct Stack {
    /// The cursor.
    pub list: List,
    followed: Option<(u64, usize)>,
}

impl Stack {
    /// Takes in a new view: the cursor goes to a newly selected frame.
    pub fn follow(&mut self, view: &View) {
        let Some(stop) = &view.stop else { return };
        self.list.fit(stop.frames.len() + 1, self.list.height);
        let now = (stop.generation, stop.selected);
        if self.followed != Some(now) && !stop.frames.is_empty() {
            self.followed = Some(now);
            self.list.show(stop.selected);
        }
    }

    /// Does what a key asks.
    pub fn act(&mut self, action: Action, view: Option<&View>) -> Option<Outcome> {
        if self.list.act(action) {
            return None;
        }
        let frames = &view?.stop.as_ref()?.frames;
        (action == Action::Open && self.list.cursor < frames.len())
            .then_some(Outcome::Ask(Request::Frame(self.list.cursor)))
    }

    /// Draws the frames.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let Some(stop) = look.view.and_then(|view| view.stop.as_ref()) else {
            return look.placeholder(buffer, area, "the guest has not stopped yet");
        };
        for (row, index) in self.list.seen().enumerate() {
            let row = row as u16;
            match stop.frames.get(index) {
                Some(frame) => draw_frame(buffer, area, row, frame, index == stop.selected, look),
                None => draw_end(buffer, area, row, stop, look),
            }
            look.cursor(buffer, area, row, index == self.list.cursor);
        }
    }
}

/// A word for a frame that is no plain call; a guess also gets a `?`.
fn kind_mark(frame: &FrameView) -> &'static str {
    match frame.kind {
        "interrupt" => "irq",
        "exception" => "trap",
        "nmi" => "nmi",
        "syscall" => "syscall",
        "user" => "user",
        "guess" => "guess?",
        _ if frame.inlined => "inlined",
        _ => "",
    }
}

fn draw_frame(
    buffer: &mut Buffer,
    area: Rect,
    row: u16,
    frame: &FrameView,
    selected: bool,
    look: &Look<'_>,
) {
    let guess = frame.kind == "guess";
    let strong = if selected { Role::Strong } else { Role::Text };
    let name_role = if guess { Role::Dim } else { strong };
    let place = match (&frame.file, frame.line) {
        (Some(file), Some(line)) => format!("{}:{line}", printable(file_name(file))),
        _ => String::new(),
    };
    let module = frame.module.as_deref().map_or(String::new(), of_module);
    let place = format!("{place}{module}").trim_start().to_string();
    let mut pen = Pen::new(buffer, area, row);
    pen.put(if selected { "▶" } else { " " }, look.style(Role::Focused));
    pen.put(&format!("#{:<2} ", frame.level), look.style(Role::Dim));
    let room = pen.room().saturating_sub(place.width() + 1);
    let mark = kind_mark(frame);
    let room = room.saturating_sub(if mark.is_empty() { 0 } else { mark.width() + 1 });
    match &frame.function {
        Some(function) => {
            let name = crate::ui::pen::clip(&printable(function), room);
            let left = room.saturating_sub(name.width());
            pen.put(&name, look.style(name_role));
            let arguments = crate::ui::pen::clip(&arguments(frame), left);
            if arguments.width() > 4 || arguments == "()" {
                pen.put(&arguments, look.style(Role::Dim));
            }
        }
        None => {
            pen.put(&frame.pc.to_string(), look.style(name_role));
        }
    }
    if !mark.is_empty() {
        let role = if guess { Role::Warning } else { Role::Type };
        pen.put(" ", Style::new()).put(mark, look.style(role));
    }
    pen.right(&place, look.style(Role::Dim));
}

/// `(req=0xffff…, len=4)`; empty while they are not read.
fn arguments(frame: &FrameView) -> String {
    let Some(args) = &frame.args else { return String::new() };
    let shown: Vec<String> = (args.iter())
        .map(|arg| {
            let value = match &arg.value {
                Some(value) => printable(value),
                None if arg.optimized_out => "<optimized out>".into(),
                None => "…".into(),
            };
            format!("{}={value}", printable(&arg.name))
        })
        .collect();
    format!("({})", shown.join(", "))
}

fn draw_end(buffer: &mut Buffer, area: Rect, row: u16, stop: &StopView, look: &Look<'_>) {
    let (sign, words, role) = match &stop.frames_end {
        FramesEnd::Reading => ("…", "reading", Role::Dim),
        FramesEnd::Complete(how) => ("└", how.as_str(), Role::Dim),
        FramesEnd::Broken(why) => ("✗", why.as_str(), Role::Warning),
    };
    let mut pen = Pen::new(buffer, area, row);
    pen.put(" ", Style::new()).put(sign, look.style(role));
    pen.put(" ", Style::new()).put(&printable(words), look.style(role));
}
