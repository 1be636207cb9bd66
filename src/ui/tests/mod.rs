//! Whole screens and key sequences.

mod arranging;
mod breaking_in;
mod crash;
mod every;
mod fixture;
mod keys;
mod logs;
mod looped;
mod modules;
mod mouse;
mod palette;
mod panes;
mod queue;
mod registers;
mod replay;
mod screens;
mod settings;
mod sizes;
mod typing;
mod watching;
mod welcome;
mod words;

use super::app::App;
use super::message::{Effect, Message};
use super::update::update;
use crate::config::theme::Theme;
use crate::session::request::Update;
use crate::session::view::View;
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    style::{Color, Modifier},
};
use std::{sync::Arc, time::Duration, time::Instant};

/// A screen under test.
struct Bench {
    app: App,
    start: Instant,
    at: Duration,
}

impl Bench {
    fn new(columns: u16, rows: u16) -> Bench {
        let start = Instant::now();
        let app = App::new(Arc::new(fixture::Book), Theme::Dark16, start);
        let mut bench = Bench { app, start, at: Duration::ZERO };
        bench.send(Message::Resize(columns, rows));
        bench
    }

    fn send(&mut self, message: Message) -> Vec<Effect> {
        update(&mut self.app, message, self.start + self.at)
    }

    fn view(&mut self, view: View) -> Vec<Effect> {
        self.send(Message::Update(Update::View(Arc::new(view))))
    }

    /// Presses keys, separated by spaces.
    fn keys(&mut self, keys: &str) -> Vec<Effect> {
        let press = |key: &str| self.send(Message::Key(key.parse().unwrap()));
        keys.split(' ').flat_map(press).collect()
    }

    /// Types text letter by letter.
    fn types(&mut self, text: &str) {
        for letter in text.chars() {
            let key = if letter == ' ' { "Space".to_string() } else { letter.to_string() };
            assert_eq!(self.send(Message::Key(key.parse().unwrap())), []);
        }
    }

    fn buffer(&self) -> Buffer {
        let (columns, rows) = self.app.size;
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| super::view::draw(&self.app, frame)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// The screen as text.
    fn text(&self) -> String {
        rows(&self.buffer(), |_| true)
    }

    /// The screen as text, then its styled runs: ratatui's own text form has
    /// no styles, and a lost highlight would go unseen.
    fn styled(&self) -> String {
        let buffer = self.buffer();
        format!("{}\n{}", rows(&buffer, |_| true), runs(&buffer))
    }
}

fn rows(buffer: &Buffer, keep: impl Fn(u16) -> bool) -> String {
    let mut out = String::new();
    for y in (0..buffer.area.height).filter(|y| keep(*y)) {
        let row: String = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect();
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}

fn runs(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut marks = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let look = |x: u16| (buffer[(x, y)].fg, buffer[(x, y)].bg, buffer[(x, y)].modifier);
            let style = look(x);
            let from = x;
            let mut text = String::new();
            while x < buffer.area.width && look(x) == style {
                text.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            if style != (Color::Reset, Color::Reset, Modifier::empty()) && !text.trim().is_empty() {
                marks.push_str(&format!(" {from}:{}", name(style)));
            }
        }
        if !marks.is_empty() {
            out.push_str(&format!("{y:>2}{marks}\n"));
        }
    }
    out
}

fn name((fg, bg, modifier): (Color, Color, Modifier)) -> String {
    let mut text = String::new();
    if fg != Color::Reset {
        text.push_str(&fg.to_string());
    }
    if bg != Color::Reset {
        text.push_str(&format!("/{bg}"));
    }
    for (flag, sign) in [
        (Modifier::BOLD, "+b"),
        (Modifier::DIM, "+d"),
        (Modifier::ITALIC, "+i"),
        (Modifier::UNDERLINED, "+u"),
        (Modifier::REVERSED, "+r"),
    ] {
        if modifier.contains(flag) {
            text.push_str(sign);
        }
    }
    text
}
