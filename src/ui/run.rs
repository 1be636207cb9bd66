//! The loop: input, news and answers in; effects out; the screen drawn when
//! something changed, at most thirty times a second.

use super::app::App;
use super::lookup::LookedUp;
use super::message::{Effect, Exit, Message, Purpose};
use super::mouse;
use super::remember::NAME;
use super::term::Term;
use super::update::update;
use super::{UiError, view};
use crate::command::script;
use crate::config::files::Loaded;
use crate::config::key::Key;
use crate::session::answer::{Answer, Failure};
use crate::session::request::{Handle, Level, Update};
use crate::session::view::State;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::{
    FutureExt,
    stream::{FuturesUnordered, Stream, StreamExt},
};
use std::{
    collections::VecDeque, fs, future::Future, io, io::Write, path::Path, pin::Pin,
    process::ExitStatus, time::Duration, time::Instant,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::{task::JoinHandle, time};

/// Two drawings are at least this far apart.
const FRAME: Duration = Duration::from_millis(33);
/// How long the session may take to leave when the program must end.
const LEAVING: Duration = Duration::from_secs(20);
/// How often times on the screen grow while the guest runs.
const TICK: Duration = Duration::from_secs(1);

type Answered = (Purpose, Option<Result<Answer, Failure>>);
type LookUps = FuturesUnordered<JoinHandle<LookedUp>>;
type Waiting = FuturesUnordered<Pin<Box<dyn Future<Output = Answered> + Send>>>;

/// What the loop draws on. The real terminal, or a test's.
pub trait Screen {
    /// Draws the state.
    fn draw(&mut self, app: &App) -> io::Result<()>;
    /// Forgets what is on the terminal, so that all of it is drawn next time.
    fn forget(&mut self) -> io::Result<()>;
    /// Uses the mouse, or leaves it to the terminal.
    fn mouse(&mut self, on: bool) -> io::Result<()>;
    /// Hands the terminal to the shell; returns when it is back.
    fn suspend(&mut self) -> io::Result<()>;
    /// Hands a text to the clipboard.
    fn copy(&mut self, text: &str) -> io::Result<()>;
    /// Gives the terminal to the user's editor; its name and how it ended.
    fn edit(&mut self, path: &Path, line: u32) -> io::Result<(String, ExitStatus)>;
    /// The terminal may have been changed by somebody else: set it up again.
    fn retake(&mut self) -> io::Result<()>;
    /// Columns and rows.
    fn size(&self) -> io::Result<(u16, u16)>;
}

impl Screen for Term {
    fn draw(&mut self, app: &App) -> io::Result<()> {
        Term::draw(self, |frame| view::draw(app, frame))
    }

    fn forget(&mut self) -> io::Result<()> {
        Term::forget(self)
    }

    fn mouse(&mut self, on: bool) -> io::Result<()> {
        Term::mouse(self, on)
    }

    fn suspend(&mut self) -> io::Result<()> {
        Term::suspend(self)
    }

    fn copy(&mut self, text: &str) -> io::Result<()> {
        Term::copy(self, text)
    }

    fn edit(&mut self, path: &Path, line: u32) -> io::Result<(String, ExitStatus)> {
        Term::edit(self, path, line)
    }

    fn retake(&mut self) -> io::Result<()> {
        Term::retake(self)
    }

    fn size(&self) -> io::Result<(u16, u16)> {
        crossterm::terminal::size()
    }
}

/// Signals that the loop listens to.
struct Signals {
    terminate: Signal,
    hang_up: Signal,
    resumed: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            resumed: signal(SignalKind::from_raw(libc::SIGCONT))?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Ctrl-C typed at the editor, or while we had no terminal, reached us too:
    /// it was not meant for us. While the editor ran nothing took signals in, so
    /// the runtime needs a moment to.
    async fn forget_interrupts(&mut self) {
        time::sleep(Duration::from_millis(20)).await;
        while self.interrupt.recv().now_or_never().is_some() {}
        while self.quit.recv().now_or_never().is_some() {}
    }
}

/// What woke the loop.
enum Wake {
    Message(Box<Message>),
    Input(Option<io::Result<Event>>),
    Resumed,
    Draw,
}

/// Runs the screen until it ends. `input` makes a fresh stream of terminal
/// events, at the start and after each suspension: a stream reads the terminal
/// even when nobody polls it, so it must be gone while the shell has it.
pub async fn run<S, I>(
    mut app: App,
    handle: Handle,
    mut updates: UnboundedReceiver<Update>,
    mut settings: UnboundedReceiver<Loaded>,
    screen: &mut S,
    input: impl Fn() -> I,
) -> Result<Exit, UiError>
where
    S: Screen,
    I: Stream<Item = io::Result<Event>> + Unpin,
{
    let mut signals = Signals::new().map_err(UiError::Signals)?;
    let mut events = Some(input());
    let mut waiting = Waiting::new();
    let mut lookups = LookUps::new();
    let (mut dirty, mut drawn) = (true, None::<Instant>);
    // Set when the terminal is gone; the guest is still to be left.
    let mut blind = false;
    let mut end_by = None::<Instant>;
    let (columns, rows) = screen.size().map_err(UiError::Terminal)?;
    let resized = Message::Resize(columns, rows);
    let mut effects = VecDeque::from(update(&mut app, resized, Instant::now()));
    effects.extend(update(&mut app, Message::Script(Ok(Vec::new())), Instant::now()));
    loop {
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Ask(request, purpose) => {
                    let answer = handle.send(request);
                    waiting.push(Box::pin(async move { (purpose, answer.await.ok()) }));
                }
                Effect::LookUp(asked) => {
                    let book = app.book.clone();
                    lookups.push(tokio::task::spawn_blocking(move || asked.answer(&*book)));
                }
                Effect::Source(file) => {
                    let steps = script::read(&file).map_err(|error| error.to_string());
                    effects.extend(update(&mut app, Message::Script(steps), Instant::now()));
                }
                Effect::Remember(remembered) => {
                    let saved = app.kept.as_ref().map(|kept| kept.save(NAME, &*remembered));
                    if let Some(Err(why)) = saved {
                        app.kept = None;
                        let words = format!("what the screen remembers can't be kept: {why}");
                        effects.extend(done(&mut app, Level::Warning, words));
                    }
                }
                Effect::Copy(text) => screen.copy(&text).map_err(UiError::Terminal)?,
                Effect::Save { file, over, text } => {
                    let (level, words) = save(&file, over, &text);
                    effects.extend(done(&mut app, level, words));
                }
                Effect::Edit(path, line) => {
                    drop(events.take());
                    let ended = screen.edit(&path, line);
                    events = Some(input());
                    signals.forget_interrupts().await;
                    let (columns, rows) = screen.size().map_err(UiError::Terminal)?;
                    let resized = Message::Resize(columns, rows);
                    effects.extend(update(&mut app, resized, Instant::now()));
                    if let Some(words) = editor_failed(ended) {
                        effects.extend(done(&mut app, Level::Error, words));
                    }
                }
                Effect::Mouse(on) => screen.mouse(on).map_err(UiError::Terminal)?,
                Effect::Redraw => screen.forget().map_err(UiError::Terminal)?,
                Effect::Suspend => {
                    drop(events.take());
                    screen.suspend().map_err(UiError::Terminal)?;
                    signals.forget_interrupts().await;
                    events = Some(input());
                    let (columns, rows) = screen.size().map_err(UiError::Terminal)?;
                    let resized = Message::Resize(columns, rows);
                    effects.extend(update(&mut app, resized, Instant::now()));
                }
                Effect::Exit(exit) => return Ok(exit),
            }
        }
        let due = drawn.map_or(Instant::now(), |at| at + FRAME);
        let tick = matches!(app.state(), State::Running { .. } | State::BreakingIn { .. });
        let wake = tokio::select! {
            biased;
            _ = signals.terminate.recv() => Wake::Message(Box::new(Message::Terminate)),
            // The terminal's Ctrl-C is a key while it is ours: somebody sent these.
            _ = signals.interrupt.recv() => Wake::Message(Box::new(Message::Terminate)),
            _ = signals.quit.recv() => Wake::Message(Box::new(Message::Terminate)),
            _ = signals.hang_up.recv() => Wake::Message(Box::new(Message::Terminate)),
            _ = signals.resumed.recv() => Wake::Resumed,
            event = next(&mut events) => Wake::Input(event),
            // Whatever comes in a flood, the screen shows it in time.
            _ = time::sleep_until(due.into()), if dirty && !blind => Wake::Draw,
            _ = at(end_by), if end_by.is_some() => return Ok(Exit::Impatient),
            Some((purpose, answer)) = waiting.next() => {
                Wake::Message(Box::new(Message::Answer(purpose, answer)))
            }
            Some(answer) = lookups.next() => match answer {
                Ok(answer) => Wake::Message(Box::new(Message::LookedUp(answer))),
                // It panicked; the log has it.
                Err(_) => Wake::Message(Box::new(Message::LookedUp(LookedUp::Failed))),
            },
            news = updates.recv() => Wake::Message(Box::new(Message::Update(
                news.unwrap_or(Update::Ended(Some("the session ended without a word".into()))),
            ))),
            // None once nobody watches the files.
            Some(loaded) = settings.recv() => Wake::Message(Box::new(Message::Settings(loaded))),
            _ = time::sleep(TICK), if tick && !dirty => Wake::Message(Box::new(Message::Tick)),
        };
        let message = match wake {
            Wake::Draw => {
                (dirty, drawn) = (false, Some(Instant::now()));
                match screen.draw(&app) {
                    Ok(()) => continue,
                    // A hang-up may be seen here first.
                    Err(error) => {
                        tracing::error!(%error, "drawing; leaving the guest");
                        blind = true;
                        drop(events.take());
                        if app.must_end {
                            continue;
                        }
                        Message::Terminate
                    }
                }
            }
            Wake::Resumed => {
                drop(events.take());
                screen.retake().map_err(UiError::Terminal)?;
                events = Some(input());
                Message::Resumed
            }
            Wake::Message(message) => *message,
            Wake::Input(Some(Ok(event))) => match from_event(event) {
                Some(message) => message,
                None => continue,
            },
            // The terminal is gone: leave the guest as a hang-up would.
            Wake::Input(Some(Err(_)) | None) => {
                drop(events.take());
                Message::Terminate
            }
        };
        if matches!(message, Message::Terminate) {
            end_by.get_or_insert(Instant::now() + LEAVING);
        }
        dirty = true;
        effects.extend(update(&mut app, message, Instant::now()));
    }
}

/// Says what was done outside.
fn done(app: &mut App, level: Level, words: String) -> Vec<Effect> {
    update(app, Message::Done(level, words), Instant::now())
}

/// Writes text to a file; what is to be said about it.
fn save(file: &Path, over: bool, text: &str) -> (Level, String) {
    let home = std::env::var_os("HOME");
    let file = match (file.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => file.to_path_buf(),
    };
    let name = file.display();
    let write = || {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).create_new(!over).truncate(over);
        options.open(&file)?.write_all(text.as_bytes())
    };
    match write() {
        Ok(()) => (Level::Info, format!("{} lines are in {name}", text.lines().count())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            (Level::Error, format!("{name} is there already; :save pane -f {name} replaces it"))
        }
        Err(error) => (Level::Error, format!("write {name}: {error}")),
    }
}

/// What is to be said when the editor did not do its work.
fn editor_failed(ended: io::Result<(String, ExitStatus)>) -> Option<String> {
    const OTHER: &str = "VISUAL or EDITOR in the environment names another editor";
    match ended {
        Ok((_, status)) if status.success() => None,
        // What the shell says when there is no such program (POSIX, 2.8.2).
        Ok((name, status)) if status.code() == Some(127) => {
            Some(format!("there is no editor '{name}'; {OTHER}"))
        }
        Ok((name, status)) => Some(format!("the editor '{name}' ended with {status}")),
        Err(error) => Some(format!("run the editor: {error}; {OTHER}")),
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

async fn next<I>(events: &mut Option<I>) -> Option<io::Result<Event>>
where
    I: Stream<Item = io::Result<Event>> + Unpin,
{
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

fn from_event(event: Event) -> Option<Message> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(Message::Key(Key::of(key))),
        Event::Mouse(event) if mouse::means_something(&event) => Some(Message::Mouse(event)),
        Event::Paste(text) => Some(Message::Paste(text)),
        Event::Resize(columns, rows) => Some(Message::Resize(columns, rows)),
        _ => None,
    }
}

/// The real terminal's events.
pub fn terminal_events() -> EventStream {
    EventStream::new()
}
