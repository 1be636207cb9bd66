//! What drawing costs: one frame of 200x60, whole and after a step, of each
//! pane as large as the screen, through the real terminal backend into nothing.
//!
//! `cargo bench --bench frame`; fails when a frame takes more than the budget.

// The fixture is that of the screen's tests and names its neighbours by `crate`.
use kgdb_tui::{arch, base, config, session, source, ui};
#[allow(dead_code, reason = "the screen's tests use more of it")]
#[allow(clippy::unwrap_used, reason = "as in the tests")]
#[path = "../src/ui/tests/fixture.rs"]
mod fixture;

use config::theme::Theme;
use ratatui::{Terminal, backend::CrosstermBackend};
use session::{request::Update, view::State};
use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use ui::{app::App, layout::PaneId, message::Message, update::update, view};

/// What a frame may take (release build).
const BUDGET: Duration = Duration::from_millis(4);
const SIZE: (u16, u16) = (200, 60);
const TIMES: u32 = 200;

/// Counts what would go to the terminal.
#[derive(Default)]
struct Counter(u64);

impl Write for &mut Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The screen in one state and in the next, drawn in turn.
fn measure(name: &str, mut change: impl FnMut(&mut App, u32)) -> bool {
    let mut app = App::new(Arc::new(fixture::Book), Theme::Dark, Instant::now());
    let send = |app: &mut App, message| drop(update(app, message, Instant::now()));
    send(&mut app, Message::Resize(SIZE.0, SIZE.1));
    let stopped = fixture::view(State::Stopped, Some(fixture::stop(1, 35)));
    send(&mut app, Message::Update(Update::View(Arc::new(stopped))));
    let mut counter = Counter::default();
    let backend = CrosstermBackend::new(&mut counter);
    // A terminal of a fixed size: there is none to be asked.
    let area = ratatui::layout::Rect::new(0, 0, SIZE.0, SIZE.1);
    let options = ratatui::TerminalOptions { viewport: ratatui::Viewport::Fixed(area) };
    let Ok(mut terminal) = Terminal::with_options(backend, options) else { return false };
    let (mut total, mut worst) = (Duration::ZERO, Duration::ZERO);
    for time in 0..TIMES {
        change(&mut app, time);
        let begin = Instant::now();
        if terminal.draw(|frame| view::draw(&app, frame)).is_err() {
            return false;
        }
        let took = begin.elapsed();
        total += took;
        worst = worst.max(took);
    }
    drop(terminal);
    let bytes = counter.0 / u64::from(TIMES);
    let mean = total / TIMES;
    println!("| {name} | {:.2} ms | {:.2} ms | {bytes} |", ms(mean), ms(worst));
    mean <= BUDGET
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn main() -> ExitCode {
    println!(
        "| frame of {}x{} | mean of {TIMES} | worst | bytes |\n|---|---|---|---|",
        SIZE.0, SIZE.1
    );
    let mut good = measure("nothing has changed", |_, _| {});
    good &= measure("a step, then the next", |app, time| {
        let stop = fixture::stop(2 + u64::from(time), 35 + time % 3);
        let view = fixture::view(State::Stopped, Some(stop));
        drop(update(app, Message::Update(Update::View(Arc::new(view))), Instant::now()));
    });
    for key in "1234567890WMLDX".chars() {
        let Some(pane) = PaneId::of(key) else { continue };
        let name = format!("{} fills the screen, on and off", pane.title());
        good &= measure(&name, |app, time| {
            app.give_focus(pane);
            app.zoom = time % 2 == 0;
            app.settle();
        });
    }
    if !good {
        eprintln!("a frame takes more than {} ms", ms(BUDGET));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
