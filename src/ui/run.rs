//! The loop: input, news and answers in; effects out; the screen drawn when
//! something changed, at most thirty times a second.

use super::app::App;
use super::message::{Effect, Exit, Message, Purpose};
use super::term::Term;
use super::update::update;
use super::{UiError, view};
use crate::command::script;
use crate::config::keys::Key;
use crate::session::answer::{Answer, Failure};
use crate::session::request::{Handle, Update};
use crate::session::view::State;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use std::{collections::VecDeque, future::Future, io, pin::Pin, time::Duration, time::Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time;

/// Two drawings are at least this far apart.
const FRAME: Duration = Duration::from_millis(33);
/// How long the session may take to leave when the program must end.
const LEAVING: Duration = Duration::from_secs(20);
/// How often times on the screen grow while the guest runs.
const TICK: Duration = Duration::from_secs(1);

type Answered = (Purpose, Option<Result<Answer, Failure>>);
type Waiting = FuturesUnordered<Pin<Box<dyn Future<Output = Answered> + Send>>>;

/// What the loop draws on. The real terminal, or a test's.
pub trait Screen {
    /// Draws the state.
    fn draw(&mut self, app: &App) -> io::Result<()>;
    /// Forgets what is on the terminal, so that all of it is drawn next time.
    fn forget(&mut self) -> io::Result<()>;
    /// Hands the terminal to the shell; returns when it is back.
    fn suspend(&mut self) -> io::Result<()>;
    /// The terminal may have been changed by somebody else: set it up again.
    fn retake(&mut self) -> io::Result<()>;
    /// Columns and rows.
    fn size(&self) -> io::Result<(u16, u16)>;
}

impl Screen for Term {
    fn draw(&mut self, app: &App) -> io::Result<()> {
        self.screen().draw(|frame| view::draw(app, frame)).map(|_| ())
    }

    fn forget(&mut self) -> io::Result<()> {
        Term::forget(self)
    }

    fn suspend(&mut self) -> io::Result<()> {
        Term::suspend(self)
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
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            resumed: signal(SignalKind::from_raw(libc::SIGCONT))?,
        })
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
                Effect::Source(file) => {
                    let steps = script::read(&file).map_err(|error| error.to_string());
                    effects.extend(update(&mut app, Message::Script(steps), Instant::now()));
                }
                Effect::Redraw => screen.forget().map_err(UiError::Terminal)?,
                Effect::Suspend => {
                    drop(events.take());
                    screen.suspend().map_err(UiError::Terminal)?;
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
            _ = signals.hang_up.recv() => Wake::Message(Box::new(Message::Terminate)),
            _ = signals.resumed.recv() => Wake::Resumed,
            event = next(&mut events) => Wake::Input(event),
            // Whatever comes in a flood, the screen shows it in time.
            _ = time::sleep_until(due.into()), if dirty && !blind => Wake::Draw,
            _ = at(end_by), if end_by.is_some() => return Ok(Exit::Impatient),
            Some((purpose, answer)) = waiting.next() => {
                Wake::Message(Box::new(Message::Answer(purpose, answer)))
            }
            news = updates.recv() => Wake::Message(Box::new(Message::Update(
                news.unwrap_or(Update::Ended(Some("the session ended without a word".into()))),
            ))),
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
        Event::Paste(text) => Some(Message::Paste(text)),
        Event::Resize(columns, rows) => Some(Message::Resize(columns, rows)),
        _ => None,
    }
}

/// The real terminal's events.
pub fn terminal_events() -> EventStream {
    EventStream::new()
}
