//! What goes over the wire: each packet with its meaning and what it was for,
//! and what each stop cost.

use super::{Look, Outcome};
use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::packets::{PacketView, Way, fits};
use crate::session::view::View;
use crate::ui::list::List;
use crate::ui::pen::{Pen, clip};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::sync::Arc;

/// What the pane keeps.
#[derive(Debug, Default)]
pub struct Packets {
    /// The cursor; at the last packet it follows.
    pub list: List,
    /// Only packets with this text.
    pub filter: String,
    all: Arc<Vec<Arc<PacketView>>>,
    /// Those that fit, by their places in `all`.
    rows: Vec<usize>,
    /// The number of the packet the cursor is on.
    at: Option<u64>,
}

impl Packets {
    /// Takes in a new view.
    pub fn follow(&mut self, view: &View) {
        let Some(all) = view.packets.as_ref().filter(|all| !Arc::ptr_eq(all, &self.all)) else {
            return;
        };
        self.all = Arc::clone(all);
        self.arrange();
    }

    /// Shows only packets with a text.
    pub fn filter(&mut self, text: &str) {
        self.filter = text.trim().to_string();
        self.arrange();
    }

    fn arrange(&mut self) {
        let following = self.list.cursor + 1 >= self.list.len;
        let rows = self.all.iter().enumerate().filter(|(_, packet)| fits(packet, &self.filter));
        self.rows = rows.map(|(index, _)| index).collect();
        let number = |row: &usize| self.all[*row].number;
        let row = self
            .at
            .filter(|_| !following)
            .map(|at| self.rows.partition_point(|row| number(row) < at));
        let below = self.list.cursor.saturating_sub(self.list.top);
        self.list.fit(self.rows.len(), self.list.height);
        if let Some(row) = row {
            self.list.cursor = row;
            self.list.top = row.saturating_sub(below);
        } else {
            self.list.cursor = usize::MAX;
        }
        self.list.fit(self.rows.len(), self.list.height);
        self.remember();
    }

    fn remember(&mut self) {
        self.at = self.packet(self.list.cursor).map(|packet| packet.number);
    }

    fn packet(&self, row: usize) -> Option<&PacketView> {
        self.all.get(*self.rows.get(row)?).map(|packet| &**packet)
    }

    /// What is shown, for the title.
    pub fn note(&self, view: Option<&View>) -> String {
        let filter = match self.filter.as_str() {
            "" => String::new(),
            text => format!("/{}, ", printable(text)),
        };
        let Some(link) = view.map(|view| &view.link) else { return filter };
        let troubles = match (link.resends, link.bad_checksums) {
            (0, 0) => String::new(),
            (resends, bad) => format!(", {resends} sent again, {bad} damaged"),
        };
        format!("{filter}{} packets{troubles}", link.total.packets)
    }

    /// Does what a key asks.
    pub fn act(&mut self, action: Action) -> Option<Outcome> {
        if self.list.act(action) {
            self.remember();
            return None;
        }
        match action {
            Action::Open | Action::ShowWhole => {
                let packet = self.packet(self.list.cursor)?;
                let way = match packet.way {
                    Way::Sent => "sent",
                    Way::Received => "received",
                    Way::Mark => "",
                };
                let purpose = match packet.purpose {
                    "" => String::new(),
                    purpose => format!(", for: {purpose}"),
                };
                let head = format!("{:.3} s after the start, {way}{purpose}", packet.time);
                let text = format!("{head}\n{}\n\n{}", printable(&packet.words), packet.raw);
                Some(Outcome::Text("packet", text))
            }
            _ => None,
        }
    }

    /// Draws the packets.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        if self.rows.is_empty() {
            let words = match (self.all.is_empty(), look.view.is_some_and(|v| v.packets.is_some()))
            {
                (false, _) => "no packet has this text; / changes the filter",
                (true, true) => "nothing went over the line yet",
                (true, false) => {
                    "the last 2,000 packets are kept; they are listed when the guest's line is open"
                }
            };
            return look.placeholder(buffer, area, words);
        }
        for (at, index) in self.list.seen().enumerate() {
            let Some(packet) = self.packet(index) else { continue };
            draw_one(&mut Pen::new(buffer, area, at as u16), packet, self.list.left, look);
            look.cursor(buffer, area, at as u16, index == self.list.cursor);
        }
    }
}

fn draw_one(pen: &mut Pen<'_>, packet: &PacketView, left: usize, look: &Look<'_>) {
    let dim = look.style(Role::Dim);
    let words: String = printable(&packet.words).chars().skip(left).collect();
    pen.put(&format!("{:>9.3} ", packet.time), dim);
    if packet.way == Way::Mark {
        let line = "─".repeat(2);
        pen.put(&format!("{line} {words} "), look.style(Role::Strong));
        let rest = "─".repeat(pen.room());
        pen.put(&rest, dim);
        return;
    }
    let (sign, role) = match (packet.way, packet.trouble) {
        (_, true) => ("✗", Role::Error),
        (Way::Sent, _) => ("→", Role::Key),
        _ => ("←", Role::Good),
    };
    let text = match (packet.trouble, packet.way) {
        (true, _) => Role::Error,
        (_, Way::Sent) => Role::Text,
        _ => Role::Dim,
    };
    pen.put(sign, look.style(role)).put(" ", Style::new());
    // Where both fit, the packet itself stands beside its meaning.
    if pen.room() >= 70 {
        pen.column(packet.purpose, 13, dim).put(" ", Style::new());
    }
    if pen.room() >= 90 {
        let width = (pen.room() / 2).clamp(44, 60);
        pen.column(&clip(&words, width), width, look.style(text)).put("  ", Style::new());
        let raw = clip(&packet.raw, pen.room());
        pen.put(&raw, dim);
    } else {
        pen.put(&words, look.style(text));
    }
}
