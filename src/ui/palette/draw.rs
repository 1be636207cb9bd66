//! Draws the palette: what is typed, the list, what the chosen item is, and
//! what the keys do with it.

use super::item::{Item, KINDS, Kind, What};
use super::preview::Preview;
use super::{Palette, Row};
use crate::config::theme::{Role, Theme};
use crate::session::view::{State, SymbolsView, View};
use crate::source::text::Text;
use crate::ui::panes::{put_code, word_role};
use crate::ui::pen::{Pen, clip, clip_start, wrap};
use crossterm::event::KeyCode;
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
    widgets::{Block, BorderType, Clear, Widget},
};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Where the parts are.
struct Places {
    window: Rect,
    input: Rect,
    list: Rect,
    preview: Option<Rect>,
    /// Whether the preview is beside the list.
    beside: bool,
}

fn places(screen: Rect) -> Places {
    let width = if screen.width <= 84 { screen.width } else { (screen.width - 8).min(136) };
    let height = if screen.height <= 24 { screen.height } else { (screen.height - 4).min(36) };
    let window = Rect {
        x: screen.x + (screen.width - width) / 2,
        y: screen.y + (screen.height - height) / 3,
        width,
        height,
    };
    let inside = Rect {
        x: window.x + 1,
        y: window.y + 1,
        width: width.saturating_sub(2),
        height: height.saturating_sub(2),
    };
    let input = Rect { height: inside.height.min(1), ..inside };
    let gone = inside.height.min(2);
    let body = Rect { y: inside.y + gone, height: inside.height - gone, ..inside };
    let (list, preview) = match (body.width, body.height) {
        (96.., 4..) => {
            let left = body.width * 11 / 20;
            let list = Rect { width: left, ..body };
            (list, Some(Rect { x: body.x + left + 1, width: body.width - left - 1, ..body }))
        }
        (_, 12..) => {
            let rows = body.height * 2 / 5;
            let list = Rect { height: body.height - rows - 1, ..body };
            (list, Some(Rect { y: list.bottom() + 1, height: rows, ..body }))
        }
        _ => (body, None),
    };
    Places { window, input, list, preview, beside: body.width >= 96 }
}

/// Columns of the word that says what an item is.
const WORD: usize = 11;

impl Palette {
    /// Takes how much room there is.
    pub fn fit(&mut self, screen: Rect) {
        let height = usize::from(places(screen).list.height);
        let grown = height != self.list.height;
        self.list.fit(self.rows.len(), height);
        if grown {
            self.list.show(self.list.cursor);
        }
    }

    /// Takes a click: on a row it chooses, on the chosen one it opens; outside
    /// it closes. The key that does the same, where one does.
    pub fn press(&mut self, screen: Rect, at: Position) -> Option<KeyCode> {
        let places = places(screen);
        if !places.window.contains(at) {
            return Some(KeyCode::Esc);
        }
        let row = at.y.checked_sub(places.list.y).filter(|_| places.list.contains(at))?;
        let index = self.list.top + usize::from(row);
        if index >= self.list.len {
            return None;
        }
        let chosen = std::mem::replace(&mut self.list.cursor, index) == index;
        chosen.then_some(KeyCode::Enter)
    }

    /// Draws it over `screen`; tells where the cursor goes.
    pub fn draw(
        &self,
        buffer: &mut Buffer,
        screen: Rect,
        view: Option<&View>,
        theme: Theme,
    ) -> (u16, u16) {
        let places = places(screen);
        Clear.render(places.window, buffer);
        let (kind, text) = self.query();
        let title = match (&self.fixed, kind) {
            (Some((title, _)), _) => title,
            (None, Kind::Everything) => "Find anything",
            (None, kind) => kind.name(),
        };
        Block::bordered()
            .border_type(BorderType::Rounded)
            .border_style(theme.style(Role::Focused))
            .title(format!(" {title} "))
            .render(places.window, buffer);
        let cursor = self.draw_input(buffer, places.input, theme);
        let rule = Rect { y: places.input.bottom(), height: 1, ..places.input };
        if places.list.height > 0 {
            let style = theme.style(Role::Border);
            Pen::new(buffer, rule, 0).put(&"─".repeat(rule.width.into()), style);
        }
        for (row, index) in self.list.seen().enumerate() {
            self.draw_row(buffer, places.list, row as u16, index, theme);
        }
        if self.rows.is_empty() {
            let words = self.why_empty(kind, text, view);
            for (row, line) in wrap(&words, usize::from(places.list.width) - 2).iter().enumerate() {
                let mut pen = Pen::new(buffer, places.list, row as u16);
                pen.put(" ", Style::new()).put(line, theme.style(Role::Dim));
            }
        }
        if let Some(area) = places.preview {
            self.draw_edge(buffer, area, places.beside, theme);
            if let Some(item) = self.chosen() {
                self.draw_preview(buffer, area, item, theme);
            }
        }
        let stopped = view.is_some_and(|view| view.state.is_stopped());
        self.draw_foot(buffer, places.window, stopped, theme);
        cursor
    }

    fn draw_input(&self, buffer: &mut Buffer, area: Rect, theme: Theme) -> (u16, u16) {
        let count = match (self.asked.is_some(), self.is_cut() && !self.query().1.is_empty()) {
            (true, _) => "… ".to_owned(),
            (_, true) => format!("the best {} ", self.rows.len()),
            _ => format!("{} ", self.rows.len()),
        };
        let mut pen = Pen::new(buffer, area, 0);
        pen.put(" > ", theme.style(Role::Key));
        let room = pen.room().saturating_sub(count.width() + 1);
        let hidden = self.line.column().saturating_sub(room);
        let shown: String = self.line.text().chars().skip(hidden).collect();
        pen.put(&clip(&shown, room), theme.style(Role::Strong));
        if self.line.text().is_empty() && self.fixed.is_none() {
            let kinds: Vec<String> =
                KINDS.iter().map(|(_, prefix, name)| format!("{prefix} {name}")).collect();
            let room = pen.room().saturating_sub(count.width() + 1);
            pen.put(
                &clip(&format!(" some letters; {}", kinds.join("  ")), room),
                theme.style(Role::Dim),
            );
        }
        pen.right(&count, theme.style(Role::Dim));
        let x = area.x + 3 + (self.line.column() - hidden) as u16;
        (x.min(area.right().saturating_sub(1)), area.y)
    }

    fn draw_row(&self, buffer: &mut Buffer, area: Rect, at: u16, index: usize, theme: Theme) {
        let Some(Row { item, marks }) = self.rows.get(index) else { return };
        let here = index == self.list.cursor;
        let mut pen = Pen::new(buffer, area, at);
        pen.put(if here { "▶" } else { " " }, theme.style(Role::Focused));
        let word = if index < self.recent { "recent" } else { item.word() };
        if !word.is_empty() {
            let role = if index < self.recent { Role::Dim } else { Role::Type };
            pen.column(word, WORD, theme.style(role));
        }
        // The name first; a place is known by its end.
        let room = pen.room().saturating_sub(item.name.width() + 2).max(pen.room() / 3);
        let about = match item.kind() {
            Kind::Commands => clip(&item.about, room),
            // The end of a path matters.
            _ => clip_start(&item.about, room),
        };
        let room = pen.room().saturating_sub(about.width() + 2);
        put_marked(&mut pen, &item.name, marks, room, theme);
        pen.put("  ", Style::new()).right(&about, theme.style(Role::Dim));
        if here {
            Pen::new(buffer, area, at).fill(theme.style(Role::Cursor));
        }
    }

    fn why_empty(&self, kind: Kind, text: &str, view: Option<&View>) -> String {
        let symbols = view.map(|view| &view.symbols);
        let running = view.is_none_or(|view| view.state != State::Stopped);
        let tasks = view.and_then(|view| view.stop.as_ref()?.supplied.tasks.as_ref());
        let searched = kind.is_code() || kind == Kind::Everything;
        match (kind, symbols) {
            _ if self.asked.is_some() => "looking …".into(),
            (_, Some(SymbolsView::Loading(part))) if searched => {
                format!("the symbols are being loaded, {:.0} %", part * 100.0)
            }
            (_, Some(SymbolsView::None)) if kind.is_code() => {
                "no symbols are loaded: --vmlinux FILE gives them".into()
            }
            (Kind::Tasks, _) if running => "tasks are known when the guest is stopped".into(),
            (Kind::Tasks, _) if tasks.is_some_and(|tasks| tasks.asks.is_some()) => {
                let asks = tasks.and_then(|tasks| tasks.asks.as_deref()).unwrap_or_default();
                format!("{asks}; Enter reads it")
            }
            (Kind::Tasks, _) if text.is_empty() => "reading …".into(),
            (Kind::Modules, _) if text.is_empty() => {
                "no module is known; they are read at the first stop".into()
            }
            (Kind::Breakpoints, _) if text.is_empty() => {
                "no breakpoint is set; f: finds a function, Tab sets one there".into()
            }
            (kind, _) if kind.is_code() && text.is_empty() => {
                format!("some letters of the name find {}", kind.name())
            }
            _ => format!(
                "no {} with these letters",
                match kind {
                    Kind::Everything => "name",
                    kind => kind.name(),
                }
            ),
        }
    }

    /// The line between the list and the preview.
    fn draw_edge(&self, buffer: &mut Buffer, area: Rect, beside: bool, theme: Theme) {
        let style = theme.style(Role::Border);
        if beside {
            for y in area.y..area.bottom() {
                let column = Rect { x: area.x - 1, y, width: 1, height: 1 };
                Pen::new(buffer, column, 0).put("│", style);
            }
        } else {
            let above = Rect { y: area.y - 1, height: 1, ..area };
            Pen::new(buffer, above, 0).put(&"─".repeat(area.width.into()), style);
        }
    }

    fn draw_preview(&self, buffer: &mut Buffer, area: Rect, item: &Item, theme: Theme) {
        let What::Code(name) = &item.what else {
            return draw_words(buffer, area, &item.details, theme);
        };
        let value = self.value.as_ref().filter(|(of, _)| item.variable().as_ref() == Some(of));
        let value = value.map(|(_, text)| text.as_deref().unwrap_or("= …"));
        match self.preview.as_ref().filter(|(of, _)| of == &**name) {
            Some((_, Preview::Words(lines))) => {
                let value = value.into_iter().map(str::to_owned);
                draw_words(
                    buffer,
                    area,
                    &lines.iter().cloned().chain(value).collect::<Vec<_>>(),
                    theme,
                );
            }
            Some((_, Preview::Source { file, text, line, heading })) => {
                let place = format!("{file}:{line}");
                let heading = heading.iter().map(String::as_str).chain(value);
                let mut at = 0;
                for (words, role) in
                    heading.map(|words| (words, Role::Strong)).chain([(&*place, Role::Dim)])
                {
                    let room = usize::from(area.width).saturating_sub(2);
                    let mut pen = Pen::new(buffer, area, at);
                    pen.put(" ", Style::new()).put(&clip_start(words, room), theme.style(role));
                    at += 1;
                }
                let at = at.min(area.height);
                let below = Rect { y: area.y + at, height: area.height - at, ..area };
                draw_source(buffer, below, text, *line, theme);
            }
            None => {
                Pen::new(buffer, area, 0).put(" …", theme.style(Role::Dim));
            }
        }
    }

    fn draw_foot(&self, buffer: &mut Buffer, window: Rect, stopped: bool, theme: Theme) {
        let edge = Rect {
            x: window.x + 2,
            y: window.bottom().saturating_sub(1),
            width: window.width.saturating_sub(4),
            height: 1,
        };
        let mut pen = Pen::new(buffer, edge, 0);
        let (enter, tab) = self.chosen().map_or(("", None), Item::choices);
        let read = match self.chosen().and_then(Item::variable) {
            Some(_) if stopped => "reads it",
            _ => "",
        };
        let keys =
            [("Enter", enter), ("Tab", tab.unwrap_or("")), ("Ctrl-R", read), ("Esc", "closes")];
        for (key, does) in keys.into_iter().filter(|(_, does)| !does.is_empty()) {
            if pen.room() > key.len() + does.width() + 3 {
                pen.put(" ", Style::new()).put(key, theme.style(Role::Key));
                pen.put(&format!(" {does} "), theme.style(Role::Dim));
            }
        }
    }
}

/// Text in at most `room` columns, with the letters that were typed marked.
fn put_marked(pen: &mut Pen<'_>, text: &str, marks: &[u32], room: usize, theme: Theme) {
    let mut used = 0;
    let mut letters = [0; 4];
    for (at, letter) in text.chars().enumerate() {
        let columns = letter.width().unwrap_or(0);
        let last = text.chars().nth(at + 1).is_none();
        if used + columns + usize::from(!last) > room {
            pen.put("…", theme.style(Role::Text));
            break;
        }
        used += columns;
        let marked = u32::try_from(at).is_ok_and(|at| marks.binary_search(&at).is_ok());
        let style = theme.style(if marked { Role::Key } else { Role::Text });
        pen.put(letter.encode_utf8(&mut letters), style);
    }
}

fn draw_words(buffer: &mut Buffer, area: Rect, lines: &[String], theme: Theme) {
    let width = usize::from(area.width).saturating_sub(2).max(1);
    let rows = lines.iter().flat_map(|line| match line.is_empty() {
        true => vec![String::new()],
        // Members of a type are one a line; what is too long is cut.
        false if line.starts_with(' ') => vec![clip(line, width)],
        false => wrap(line, width),
    });
    for (row, line) in rows.take(area.height.into()).enumerate() {
        let mut pen = Pen::new(buffer, area, row as u16);
        let role = if row == 0 { Role::Strong } else { Role::Text };
        pen.put(" ", Style::new()).put(&line, theme.style(role));
    }
}

/// The lines around one, that one marked; a little of what stands before it.
fn draw_source(buffer: &mut Buffer, area: Rect, text: &Text, line: u32, theme: Theme) {
    let before = u32::from(area.height / 5);
    let first = line.saturating_sub(before).max(1);
    for row in 0..area.height {
        let number = first + u32::from(row);
        let Some(content) = text.line(number as usize) else { break };
        let mut pen = Pen::new(buffer, area, row);
        let here = number == line;
        let role = if here { Role::Strong } else { Role::Dim };
        pen.put(if here { "▶" } else { " " }, theme.style(Role::Focused));
        pen.put(&format!("{number:>4} "), theme.style(role));
        let spans = text.spans(number as usize);
        put_code(&mut pen, content, 0, |byte| theme.style(word_role(spans, byte)));
        if here {
            Pen::new(buffer, area, row).fill(theme.style(Role::Cursor));
        }
    }
}
