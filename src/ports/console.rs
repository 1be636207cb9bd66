//! A local port on the guest's console: any terminal can attach (`nc`, `telnet`,
//! `socat -,raw,echo=0 tcp:…`), several may. Each gets the last of what the guest
//! printed, then everything; what it types goes to the guest while that runs.

use super::{Bound, next};
use crate::session::{
    console::Heard,
    request::{Request, WeakHandle},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{broadcast, mpsc},
};

/// How much of the past a new terminal gets.
const PAST: usize = 16 * 1024;

/// Terminals at a time.
const MOST: usize = 16;

/// Serves terminals until the session ends.
pub(super) async fn run(
    bound: Option<Bound>,
    mut heard: broadcast::Receiver<Heard>,
    session: WeakHandle,
) {
    let Some(bound) = bound else { return };
    let Some(listener) = bound.open("the guest's console", &session).await else { return };
    let mut past = Past::default();
    let terminals = Arc::new(AtomicUsize::new(0));
    loop {
        tokio::select! {
            biased;
            news = next(&mut heard) => match news {
                Some(Ok(news)) => past.take(&news),
                Some(Err(_)) => {}
                None => return,
            },
            stream = accepted(&listener) => {
                let count = terminals.fetch_add(1, Ordering::Relaxed);
                if count >= MOST {
                    terminals.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                // It hears from here on, and nothing twice.
                let terminal = Terminal {
                    heard: heard.resubscribe(),
                    session: session.clone(),
                    state: past.state.clone(),
                };
                let first = past.greeting();
                let terminals = Arc::clone(&terminals);
                tokio::spawn(async move {
                    terminal.serve(stream, first).await;
                    terminals.fetch_sub(1, Ordering::Relaxed);
                });
            }
        }
    }
}

/// The next connection. A failure (too many open files) is waited out.
pub(super) async fn accepted(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Only speed is lost without it.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection");
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        }
    }
}

/// What the guest does, as a terminal is told it.
#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Away,
    Runs,
    Stopped(String),
}

/// The last of what the guest printed.
#[derive(Default)]
struct Past {
    text: VecDeque<u8>,
    state: State,
}

impl Past {
    fn take(&mut self, heard: &Heard) {
        match heard {
            Heard::Text(text) => {
                self.text.extend(text.iter());
                let over = self.text.len().saturating_sub(PAST);
                self.text.drain(..over);
            }
            other => self.state.follow(other),
        }
    }

    /// What a new terminal gets first.
    fn greeting(&self) -> Vec<u8> {
        let does = match &self.state {
            State::Away => "it is not connected".to_string(),
            State::Runs => "it runs".to_string(),
            State::Stopped(at) => format!("it is stopped {at}"),
        };
        let mut text = format!("-- the guest's console, by kgdb-tui; {does} --\r\n").into_bytes();
        // Whole lines only, where some are cut.
        let cut = self.text.len() >= PAST;
        let start = self.text.iter().position(|byte| *byte == b'\n').filter(|_| cut);
        text.extend(self.text.iter().skip(start.map_or(0, |at| at + 1)));
        text
    }
}

impl State {
    fn follow(&mut self, heard: &Heard) {
        match heard {
            Heard::Text(_) => {}
            Heard::Runs => *self = State::Runs,
            Heard::Stopped { at, .. } => *self = State::Stopped(at.clone()),
            Heard::Away => *self = State::Away,
        }
    }
}

/// One terminal.
struct Terminal {
    heard: broadcast::Receiver<Heard>,
    session: WeakHandle,
    state: State,
}

impl Terminal {
    async fn serve(mut self, stream: TcpStream, first: Vec<u8>) {
        let (input, mut output) = stream.into_split();
        let (replies, mut said) = mpsc::channel(16);
        let typist = tokio::spawn(take_typed(input, self.session.clone(), replies));
        let shown = async {
            output.write_all(&first).await?;
            loop {
                tokio::select! {
                    news = next(&mut self.heard) => {
                        let Some(news) = news else { return Ok(()) };
                        self.show(news, &mut output).await?;
                    }
                    words = said.recv() => {
                        let Some(words) = words else { return Ok(()) };
                        output.write_all(&line(&words, true)).await?;
                    }
                }
            }
        };
        // Who hangs up is gone, that is all.
        let result: std::io::Result<()> = shown.await;
        typist.abort();
        if let Err(error) = result {
            tracing::debug!(%error, "a terminal on the console port");
        }
    }

    async fn show(
        &mut self,
        news: Result<Heard, u64>,
        output: &mut OwnedWriteHalf,
    ) -> std::io::Result<()> {
        let words = match news {
            Ok(Heard::Text(text)) => return output.write_all(&text).await,
            Err(count) => format!("{count} pieces of text are left out: this terminal is slow"),
            Ok(heard) => {
                let was_stopped = matches!(self.state, State::Stopped(_));
                self.state.follow(&heard);
                match (&heard, was_stopped) {
                    // A step is over in a moment, and comes by the hundred.
                    (Heard::Stopped { step: true, .. }, _) | (Heard::Runs, _) => return Ok(()),
                    (Heard::Stopped { at, .. }, _) => format!("stopped {at}"),
                    _ => return Ok(()),
                }
            }
        };
        output.write_all(&line(&words, false)).await
    }
}

/// A line of ours among the guest's text, with a bell or without.
fn line(words: &str, bell: bool) -> Vec<u8> {
    let bell = if bell { "\x07" } else { "" };
    format!("\r\n-- {words} --\r\n{bell}").into_bytes()
}

/// Types what a terminal sends. What the guest does not get is answered.
async fn take_typed(mut input: OwnedReadHalf, session: WeakHandle, replies: mpsc::Sender<String>) {
    let mut filter = Filter::default();
    let mut bytes = [0; 4096];
    let mut refused = String::new();
    let mut first = true;
    while let Ok(count @ 1..) = input.read(&mut bytes).await {
        if std::mem::take(&mut first) && is_browser(&bytes[..count]) {
            // The end of this task ends the connection.
            return;
        }
        let typed = filter.keys(&bytes[..count]);
        if typed.is_empty() {
            continue;
        }
        match session.ask(Request::Console(typed)).await {
            None => return,
            Some(Ok(_)) => refused.clear(),
            Some(Err(failure)) => {
                let why = failure.to_string();
                let words = format!("thrown away: {why}");
                // The same thing is not told for each key.
                let words = if refused == why { String::new() } else { words };
                refused = why;
                if !words.is_empty() && replies.send(words).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Whether a web browser begins to talk: a page of any site can have it send text to
/// a local port, and here that would be typed into a root shell.
fn is_browser(first: &[u8]) -> bool {
    let methods = ["GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "DELETE ", "PATCH ", "CONNECT "];
    methods.iter().any(|method| first.starts_with(method.as_bytes()))
        || first.starts_with(&TLS_HANDSHAKE)
}

/// How a TLS connection begins (RFC 8446, 5.1).
const TLS_HANDSHAKE: [u8; 2] = [0x16, 3];

/// Keys without what telnet says of itself.
#[derive(Default)]
struct Filter {
    /// Bytes of a telnet command that are still to come.
    command: Command,
    /// A CR was the last byte.
    after_return: bool,
}

#[derive(Default)]
enum Command {
    #[default]
    None,
    Begun,
    Option,
    Sub,
    SubEnd,
}

impl Filter {
    /// RFC 854. No text has the byte 255: it is in no UTF-8. A line end is CR LF or
    /// CR NUL there, and only CR on a serial line.
    fn keys(&mut self, bytes: &[u8]) -> Vec<u8> {
        const IAC: u8 = 255;
        let mut keys = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.command = match (&self.command, byte) {
                (Command::None, IAC) => Command::Begun,
                (Command::None, _) => {
                    let rest_of_line = self.after_return && matches!(byte, b'\n' | 0);
                    if !rest_of_line {
                        keys.push(byte);
                    }
                    self.after_return = byte == b'\r';
                    Command::None
                }
                (Command::Begun, 250) => Command::Sub,
                (Command::Begun, 251..=254) => Command::Option,
                (Command::Sub, IAC) => Command::SubEnd,
                (Command::SubEnd, 240) => Command::None,
                (Command::Sub | Command::SubEnd, _) => Command::Sub,
                (Command::Begun | Command::Option, _) => Command::None,
            };
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telnet_is_no_part_of_what_is_typed() {
        let mut filter = Filter::default();
        assert_eq!(filter.keys(b"ls\r\n\xff\xfb\x18\xff"), b"ls\r");
        assert_eq!(filter.keys(b"\xfa\x18\x00abc\xff\xf0x\r\0y\n"), b"x\ry\n");
        assert_eq!(filter.keys("é".as_bytes()), "é".as_bytes());
    }

    #[test]
    fn a_browser_types_nothing() {
        assert!(is_browser(b"POST / HTTP/1.1\r\nHost: localhost:4000\r\n\r\nreboot\n"));
        assert!(is_browser(b"\x16\x03\x01") && is_browser(b"GET /"));
        assert!(
            !is_browser(b"PUTTY=1 ls\r")
                && !is_browser(b"\x16")
                && !is_browser(b"l")
                && !is_browser(b"\r")
        );
    }

    #[test]
    fn a_new_terminal_gets_the_last_whole_lines() {
        let mut past = Past::default();
        past.take(&Heard::Text(b"# ".as_slice().into()));
        past.take(&Heard::Runs);
        let greeting = String::from_utf8(past.greeting()).unwrap();
        assert!(greeting.contains("it runs") && greeting.ends_with("\r\n# "), "{greeting}");
        for number in 0..10_000 {
            past.take(&Heard::Text(format!("line {number}\r\n").into_bytes().into()));
        }
        let greeting = past.greeting();
        assert!(greeting.len() < PAST + 100);
        let text = String::from_utf8(greeting).unwrap();
        assert!(text.lines().nth(1).unwrap().starts_with("line "), "{text:.100}");
        assert!(text.ends_with("line 9999\r\n"));
    }
}
