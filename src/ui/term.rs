//! The terminal: taken over, and always given back as it was, whether the
//! program ends, panics, is suspended or told to end.

use crossterm::{
    cursor,
    event::{DisableBracketedPaste, EnableBracketedPaste},
    execute,
    terminal::{
        Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
        enable_raw_mode,
    },
};
use ratatui::{Terminal, backend::CrosstermBackend};
use rustix::process::{Signal, kill_current_process_group};
use std::{
    io::{self, Stdout, stdout},
    panic,
    sync::Once,
    thread,
};

/// The terminal while it is ours. Dropping it gives it back.
pub struct Term {
    screen: Terminal<CrosstermBackend<Stdout>>,
}

impl Term {
    /// Takes the terminal over.
    pub fn enter() -> io::Result<Term> {
        restore_on_panic();
        take()?;
        match Terminal::new(CrosstermBackend::new(stdout())) {
            Ok(screen) => Ok(Term { screen }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// What is drawn on.
    pub fn screen(&mut self) -> &mut Terminal<CrosstermBackend<Stdout>> {
        &mut self.screen
    }

    /// Gives the terminal to the shell and stops this process group, as
    /// Ctrl-Z does to other programs; returns after `fg`. The caller must have
    /// dropped its event stream, which reads the terminal.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        kill_current_process_group(Signal::TSTP)?;
        self.retake()
    }

    /// Takes the terminal over again after something else had it.
    pub fn retake(&mut self) -> io::Result<()> {
        take()?;
        self.forget()
    }

    /// Empties the screen; all of it is drawn next time. `Terminal::clear`
    /// would ask the terminal for the cursor's place and wait for the answer
    /// among the keys, up to two seconds where there is none.
    pub fn forget(&mut self) -> io::Result<()> {
        execute!(stdout(), Clear(ClearType::All))?;
        self.screen = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(())
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)
}

/// Errors are of no use here: there is nobody left to tell.
fn give_back() {
    let _ = execute!(stdout(), DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

/// A panic's message must reach the user's screen, not the alternate one that
/// vanishes. Set before the terminal is taken. Other threads do not own the
/// terminal: who started them says what became of them, on the screen.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        let owner = thread::current().id();
        panic::set_hook(Box::new(move |info| {
            if thread::current().id() == owner {
                give_back();
                before(info);
            } else {
                tracing::error!("{info}");
            }
        }));
    });
}
