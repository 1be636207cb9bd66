//! `socat` between QEMU's serial port and a TCP port, as a user would run it.
//!
//! `socat UNIX-CONNECT:… TCP-LISTEN:…` serves one client and ends with it. With
//! its `fork` option two clients could mix on one serial line, so a thread
//! starts it anew each time it ends, on the same port.
//!
//! While no socat runs, QEMU drops what the guest sends.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{ChildStdin, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::demo::process::Watched;
use crate::demo::{DemoError, tail};

/// How long socat may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A relay that is kept running until it is dropped or [stopped](Relay::stop).
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    port: u16,
    keeper: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    want: Want,
    /// Closing it ends the socat that runs.
    leash: Option<ChildStdin>,
    listening: bool,
    running: bool,
    /// How many times socat began to listen.
    starts: u64,
    /// How many times it ended.
    ends: u64,
    /// What the last socat said.
    said: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Run,
    Pause,
    End,
}

impl Relay {
    /// Starts a relay from a unix socket to a free port of 127.0.0.1, and waits
    /// until it listens.
    ///
    /// # Errors
    /// There is no socat, or it does not listen; its words are in the error.
    pub fn start(socket: PathBuf) -> Result<Relay, DemoError> {
        let port = free_port()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                want: Want::Run,
                leash: None,
                listening: false,
                running: false,
                starts: 0,
                ends: 0,
                said: String::new(),
            }),
            changed: Condvar::new(),
        });
        let keeper = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || keep(&shared, &socket, port)
        });
        let relay = Relay { shared, port, keeper: Some(keeper) };
        // QEMU may have made its socket and not listen yet.
        relay.wait(|state| state.starts > 0 || state.ends >= 3)?;
        let state = relay.lock();
        if state.starts == 0 {
            return Err(DemoError::Ended { program: "socat", output: tail(&state.said, 5) });
        }
        drop(state);
        Ok(relay)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends socat, and with it the client's connection; nothing listens on the
    /// port until [`Relay::restart`].
    ///
    /// # Errors
    /// socat does not end.
    pub fn stop(&self) -> Result<(), DemoError> {
        let mut state = self.lock();
        state.want = Want::Pause;
        state.leash = None;
        self.shared.changed.notify_all();
        drop(state);
        self.wait(|state| !state.running)
    }

    /// Ends socat when it runs, and starts it anew; waits until it listens.
    ///
    /// # Errors
    /// socat does not listen again.
    pub fn restart(&self) -> Result<(), DemoError> {
        let mut state = self.lock();
        let starts = state.starts;
        state.want = Want::Run;
        state.leash = None;
        self.shared.changed.notify_all();
        drop(state);
        self.wait(|state| state.listening && state.starts > starts)
    }

    /// Waits until socat listens for the next client; for tests that connect
    /// again after they left.
    ///
    /// # Errors
    /// It does not within ten seconds, for instance because a client is
    /// connected.
    pub fn wait_listening(&self) -> Result<(), DemoError> {
        self.wait(|state| state.listening)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, done: impl Fn(&State) -> bool) -> Result<(), DemoError> {
        let end = Instant::now() + PATIENCE;
        let mut state = self.lock();
        while !done(&state) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(DemoError::Silent {
                    what: "socat".to_owned(),
                    seconds: PATIENCE.as_secs(),
                    last: tail(&state.said, 5),
                });
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut state = self.lock();
        state.want = Want::End;
        state.leash = None;
        self.shared.changed.notify_all();
        drop(state);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// The keeper thread: runs socat again and again, as long as that is wanted.
fn keep(shared: &Shared, socket: &std::path::Path, port: u16) {
    let lock = || shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    let args = [
        // Notices, because "listening on" is one.
        "-d".to_owned(),
        "-d".to_owned(),
        format!("UNIX-CONNECT:{}", socket.display()),
        format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr"),
    ];
    loop {
        let mut state = lock();
        while state.want == Want::Pause {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.want == Want::End {
            return;
        }
        let started = Watched::start("socat", &args, Stdio::null(), Stdio::piped());
        let mut socat = match started {
            Ok(socat) => socat,
            Err(error) => {
                state.said = error.to_string();
                state.want = Want::Pause;
                state.ends += 1;
                shared.changed.notify_all();
                continue;
            }
        };
        state.leash = socat.take_leash();
        state.running = true;
        state.said.clear();
        drop(state);

        if let Some(errors) = socat.take_stderr() {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                let mut state = lock();
                if line.contains("listening on") {
                    state.listening = true;
                    state.starts += 1;
                } else if line.contains("accepting connection") {
                    state.listening = false;
                }
                state.said.push_str(&line);
                state.said.push('\n');
                shared.changed.notify_all();
            }
        }
        socat.stop();
        let mut state = lock();
        let useless = !state.said.contains("listening on");
        state.leash = None;
        state.listening = false;
        state.running = false;
        state.ends += 1;
        shared.changed.notify_all();
        if useless && state.want == Want::Run {
            // QEMU is gone, or the port is taken: no use to try at full speed.
            let pause = Duration::from_millis(200);
            drop(shared.changed.wait_timeout(state, pause));
        }
    }
}

/// A port of 127.0.0.1 that nobody uses now.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16, DemoError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(DemoError::file("find a port of", "127.0.0.1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::unix::net::UnixListener;

    #[test]
    fn bytes_pass_and_the_relay_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("serial");
        let serial = UnixListener::bind(&socket).unwrap();
        let relay = Relay::start(socket).unwrap();

        for round in 0..2 {
            let mut client = TcpStream::connect(("127.0.0.1", relay.port())).unwrap();
            let (mut line, _) = serial.accept().unwrap();
            client.write_all(b"$?#3f").unwrap();
            let mut bytes = [0; 5];
            line.read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"$?#3f");
            if round == 0 {
                relay.restart().unwrap();
                assert_eq!(client.read(&mut bytes).unwrap_or(0), 0, "the connection is cut");
            }
        }
        relay.stop().unwrap();
        assert!(TcpStream::connect(("127.0.0.1", relay.port())).is_err());
    }

    #[test]
    fn a_relay_to_nothing_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let relay = Relay::start(dir.path().join("nothing"));
        assert!(relay.unwrap_err().to_string().contains("socat"));
    }
}
