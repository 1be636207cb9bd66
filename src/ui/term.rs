//! The terminal: taken over, and always given back as it was, whether the
//! program ends, panics, is suspended or told to end.

use super::editor;
use crossterm::{
    Command,
    clipboard::CopyToClipboard,
    cursor,
    event::{DisableBracketedPaste, EnableBracketedPaste},
    execute, queue,
    terminal::{
        BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
        LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};
use rustix::process::{Signal, kill_current_process_group};
use std::{
    fmt,
    io::{self, BufWriter, Stdout, stdout},
    panic,
    path::Path,
    process::ExitStatus,
    sync::Once,
    thread,
};

/// Bytes of a frame are gathered, so that few writes make it.
const FRAME: usize = 1 << 16;

type Backend = CrosstermBackend<BufWriter<Stdout>>;

/// The terminal while it is ours. Dropping it gives it back.
pub struct Term {
    screen: Terminal<Backend>,
    may_use_mouse: bool,
    mouse: bool,
}

/// Has the terminal report presses, releases, drags and the wheel, and nothing
/// when the mouse only moves, which would wake the program for each cell it
/// crosses (xterm's control sequences, "Mouse Tracking": 1000, 1002; 1006 makes
/// columns beyond 223 possible).
struct Mouse(bool);

impl Command for Mouse {
    fn write_ansi(&self, f: &mut impl fmt::Write) -> fmt::Result {
        f.write_str(match self.0 {
            true => "\x1b[?1000h\x1b[?1002h\x1b[?1006h",
            false => "\x1b[?1006l\x1b[?1002l\x1b[?1000l",
        })
    }
}

fn new_screen() -> io::Result<Terminal<Backend>> {
    Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(FRAME, stdout())))
}

impl Term {
    /// Takes the terminal over, with its mouse or without: whether it may be
    /// used, and whether it is used at first.
    pub fn enter(may_use_mouse: bool, mouse: bool) -> io::Result<Term> {
        let mouse = may_use_mouse && mouse;
        restore_on_panic();
        take(mouse)?;
        match new_screen() {
            Ok(screen) => Ok(Term { screen, may_use_mouse, mouse }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Uses the mouse from now on, or leaves it to the terminal. Who started the
    /// program without it (`--no-mouse`) does not get it back.
    pub fn mouse(&mut self, on: bool) -> io::Result<()> {
        self.mouse = on && self.may_use_mouse;
        execute!(stdout(), Mouse(self.mouse))
    }

    /// Draws a frame. The terminal is told to show it as a whole, where it knows
    /// how (synchronized updates, DEC mode 2026); others ignore that.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.screen.backend_mut(), BeginSynchronizedUpdate)?;
        let drawn = self.screen.draw(draw).map(|_| ());
        execute!(self.screen.backend_mut(), EndSynchronizedUpdate).and(drawn)
    }

    /// Hands a text to the terminal's clipboard (OSC 52).
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(self.screen.backend_mut(), CopyToClipboard::to_clipboard_from(text))
    }

    /// Gives the terminal to the user's editor until it ends. As with
    /// [`Term::suspend`], nothing may read the terminal meanwhile.
    pub fn edit(&mut self, path: &Path, line: u32) -> io::Result<(String, ExitStatus)> {
        let name = editor::named();
        give_back();
        let status = editor::command(&name, path, line).status();
        self.retake()?;
        Ok((name, status?))
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
        take(self.mouse)?;
        self.forget()
    }

    /// Empties the screen; all of it is drawn next time. `Terminal::clear`
    /// would ask the terminal for the cursor's place and wait for the answer
    /// among the keys, up to two seconds where there is none.
    pub fn forget(&mut self) -> io::Result<()> {
        execute!(stdout(), Clear(ClearType::All))?;
        self.screen = new_screen()?;
        Ok(())
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        give_back();
    }
}

fn take(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
    if mouse { execute!(stdout(), Mouse(true)) } else { Ok(()) }
}

/// Errors are of no use here: there is nobody left to tell.
fn give_back() {
    let _ = execute!(
        stdout(),
        // A frame that was cut short must not hold back what comes next.
        EndSynchronizedUpdate,
        Mouse(false),
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
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
