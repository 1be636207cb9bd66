//! A relay that is as bad as it is told to be: slow, late, noisy, cut, or silent
//! with both connections open, or gone without closing one.
//!
//! It stands between a debugger, which comes by TCP, and the guest's serial
//! line. What it does to the bytes follows from its seed alone, so a run that
//! failed can be run again.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use socket2::{SockFilter, SockRef};

/// What a line of 115200 baud carries, in bytes a second: ten bits a byte.
pub const RATE_115200: u32 = 11_520;

/// How often each thing happens to a byte, from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Noise {
    /// One of its bits is turned.
    pub flip: f64,
    /// It is lost.
    pub drop: f64,
    /// It comes twice.
    pub double: f64,
    /// Another one comes before it, any of the 256.
    pub insert: f64,
}

/// What is wrong with the line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Decides what happens to which byte.
    pub seed: u64,
    /// On the way to the guest.
    pub to_guest: Noise,
    /// On the way to the debugger.
    pub to_debugger: Noise,
    /// Bytes a second each way; none is as fast as it goes.
    pub rate: Option<u32>,
    /// How much later each byte comes, each way.
    pub latency: Duration,
}

impl Faults {
    /// No noise, but the speed of a real line.
    pub fn slow(rate: u32, latency: Duration) -> Faults {
        Faults { rate: Some(rate), latency, ..Faults::default() }
    }

    /// The same noise both ways.
    pub fn noisy(seed: u64, noise: Noise) -> Faults {
        Faults { seed, to_guest: noise, to_debugger: noise, ..Faults::default() }
    }
}

/// The relay. It ends when it is dropped.
pub struct Faulty {
    shared: Arc<Shared>,
    port: u16,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    target: String,
    faults: Mutex<Faults>,
    /// Counts the changes of `faults`.
    changes: AtomicU64,
    /// Nothing is forwarded, and nothing is closed.
    silent: AtomicBool,
    /// So many more bytes reach the debugger, then the line is silent.
    silent_after: AtomicU64,
    /// Nobody is let in.
    closed: AtomicBool,
    ended: AtomicBool,
    /// Connections to debuggers that nothing comes through any more.
    vanished: Mutex<Vec<TcpStream>>,
    /// The connection that is open.
    open: Mutex<Option<(TcpStream, Stream)>>,
    bytes: [AtomicU64; 2],
    /// When each stop packet came to the debugger.
    stops: Mutex<Vec<SystemTime>>,
    faults_made: AtomicU64,
    connections: AtomicU64,
}

/// Which way a byte goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToGuest = 0,
    ToDebugger = 1,
}

impl Faulty {
    /// Listens on a port of 127.0.0.1 and leads to `target`: `unix:PATH` or
    /// `HOST:PORT`.
    pub fn start(target: &str, faults: Faults) -> Faulty {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            faults: Mutex::new(faults),
            changes: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            silent_after: AtomicU64::new(u64::MAX),
            closed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            vanished: Mutex::new(Vec::new()),
            open: Mutex::new(None),
            bytes: [AtomicU64::new(0), AtomicU64::new(0)],
            stops: Mutex::new(Vec::new()),
            faults_made: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&shared, listener, port)
        });
        Faulty { shared, port, acceptor: Some(acceptor) }
    }

    /// Where the debugger connects to.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Other faults from now on, also on the connection that is open.
    pub fn set(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
        self.shared.changes.fetch_add(1, Relaxed);
    }

    /// Forwards nothing from now on, and leaves both connections open: what a
    /// machine that froze, or a network that is gone, looks like from here.
    pub fn be_silent(&self) {
        self.shared.silent.store(true, Relaxed);
    }

    /// The same, after so many more bytes to the debugger: in the middle of an
    /// answer.
    pub fn be_silent_after(&self, bytes: u64) {
        self.shared.silent_after.store(bytes, Relaxed);
    }

    /// Whether it has fallen silent.
    pub fn is_silent(&self) -> bool {
        self.shared.silent.load(Relaxed)
    }

    /// Forwards again, first what came meanwhile.
    pub fn speak(&self) {
        self.shared.silent_after.store(u64::MAX, Relaxed);
        self.shared.silent.store(false, Relaxed);
    }

    /// Closes the connection that is open. The next one is let in.
    pub fn cut(&self) {
        if let Some((client, guest)) = lock(&self.shared.open).take() {
            let _ = client.shutdown(Shutdown::Both);
            guest.shutdown();
        }
    }

    /// Is gone without a word: nothing that the debugger sends is acknowledged any
    /// more, and nothing is closed at its end. The guest's end is free for the next
    /// one, which is let in.
    pub fn vanish(&self) {
        /// `BPF_RET | BPF_K` of linux/filter.h: keep 0 bytes of a packet, whatever it is.
        const DROP: SockFilter = SockFilter::new(0x06, 0, 0, 0);
        if let Some((client, guest)) = lock(&self.shared.open).take() {
            SockRef::from(&client).attach_filter(&[DROP]).expect("a socket takes a filter");
            lock(&self.shared.vanished).push(client);
            guest.shutdown();
        }
    }

    /// Closes the connection, and lets nobody in until [`Faulty::restart`].
    pub fn stop(&self) {
        self.shared.closed.store(true, Relaxed);
        self.cut();
    }

    /// Lets clients in again.
    pub fn restart(&self) {
        self.shared.closed.store(false, Relaxed);
    }

    /// Bytes that came from the debugger and from the guest.
    pub fn bytes(&self) -> (u64, u64) {
        let [to_guest, to_debugger] = &self.shared.bytes;
        (to_guest.load(Relaxed), to_debugger.load(Relaxed))
    }

    /// When the first byte of each stop packet of a task was handed to the debugger.
    pub fn stops(&self) -> Vec<SystemTime> {
        lock(&self.shared.stops).clone()
    }

    /// How many bytes something was done to.
    pub fn faults_made(&self) -> u64 {
        self.shared.faults_made.load(Relaxed)
    }

    /// How many clients were let in.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Relaxed)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.shared.ended.store(true, Relaxed);
        self.cut();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One client at a time, as a serial line has it.
fn accept(shared: &Arc<Shared>, listener: TcpListener, port: u16) {
    let mut listener = Some(listener);
    while !shared.ended.load(Relaxed) {
        if shared.closed.load(Relaxed) {
            // Refused, as when the relay was ended.
            listener = None;
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let open = listener.get_or_insert_with(|| {
            TcpListener::bind(("127.0.0.1", port)).expect("the port is still ours")
        });
        open.set_nonblocking(true).expect("a socket");
        let client = match open.accept() {
            Ok((client, _)) => client,
            Err(_) => {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
        };
        client.set_nonblocking(false).expect("a socket");
        client.set_nodelay(true).expect("a socket");
        let Ok(guest) = Stream::open(&shared.target) else { continue };
        shared.connections.fetch_add(1, Relaxed);
        serve(shared, client, guest);
    }
}

fn serve(shared: &Arc<Shared>, client: TcpStream, guest: Stream) {
    *lock(&shared.open) = Some((client.try_clone().expect("a socket"), guest.clone()));
    let seen_end = Arc::new(AtomicBool::new(false));
    let pump = |from: Stream, to: Stream, way| {
        let (shared, seen_end) = (Arc::clone(shared), Arc::clone(&seen_end));
        std::thread::spawn(move || {
            forward(&shared, from, to, way, &seen_end);
            seen_end.store(true, Relaxed);
        })
    };
    let client = Stream::Tcp(client);
    let pumps =
        [pump(client.clone(), guest.clone(), Way::ToGuest), pump(guest, client, Way::ToDebugger)];
    for pump in pumps {
        let _ = pump.join();
    }
    if let Some((client, guest)) = lock(&shared.open).take() {
        let _ = client.shutdown(Shutdown::Both);
        guest.shutdown();
    }
}

/// Reads, does what the faults say, and hands the bytes to a thread that writes
/// them when they are due.
fn forward(
    shared: &Arc<Shared>,
    mut from: Stream,
    to: Stream,
    way: Way,
    seen_end: &Arc<AtomicBool>,
) {
    let (sender, due_bytes) = mpsc::channel::<(Instant, Vec<u8>)>();
    let writer = std::thread::spawn({
        let (shared, seen_end) = (Arc::clone(shared), Arc::clone(seen_end));
        move || write_when_due(&shared, to, way, &due_bytes, &seen_end)
    });
    let mut change = u64::MAX;
    let (mut faults, mut dice) = (Faults::default(), Dice(0));
    let mut last_due = Instant::now();
    let mut buffer = [0; 1024];
    while !seen_end.load(Relaxed) && !shared.ended.load(Relaxed) {
        if shared.silent.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        }
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => break,
        };
        let now_at = shared.changes.load(Relaxed);
        if change != now_at {
            change = now_at;
            faults = *lock(&shared.faults);
            // Each connection and each way has its own luck.
            let connection = shared.connections.load(Relaxed);
            dice = Dice(faults.seed ^ (connection << 8) ^ (way as u64 + 1));
        }
        shared.bytes[way as usize].fetch_add(count as u64, Relaxed);
        let noise = if way == Way::ToGuest { faults.to_guest } else { faults.to_debugger };
        let mut bytes = Vec::with_capacity(count + 2);
        for &byte in &buffer[..count] {
            let before = bytes.len();
            spoil(byte, noise, &mut dice, &mut bytes);
            if bytes.len() != before + 1 || bytes[before] != byte {
                shared.faults_made.fetch_add(1, Relaxed);
            }
        }
        let arrives = Instant::now() + faults.latency;
        match faults.rate {
            None => {
                last_due = last_due.max(arrives);
                let _ = sender.send((last_due, bytes));
            }
            // A few at a time: a timer is not as fine as a byte is short.
            Some(rate) => {
                for piece in bytes.chunks(8) {
                    let takes = Duration::from_secs(1) * piece.len() as u32 / rate.max(1);
                    last_due = last_due.max(arrives) + takes;
                    let _ = sender.send((last_due, piece.to_vec()));
                }
            }
        }
    }
    drop(sender);
    let _ = writer.join();
}

fn write_when_due(
    shared: &Shared,
    mut to: Stream,
    way: Way,
    bytes: &mpsc::Receiver<(Instant, Vec<u8>)>,
    seen_end: &AtomicBool,
) {
    let mut last = Vec::new();
    for (due, bytes) in bytes {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if way == Way::ToDebugger {
            note_stops(shared, &mut last, &bytes);
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            while shared.silent.load(Relaxed) {
                if seen_end.load(Relaxed) || shared.ended.load(Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            let left = match way {
                Way::ToGuest => u64::MAX,
                Way::ToDebugger => shared.silent_after.load(Relaxed),
            };
            let now = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if to.write_all(&rest[..now]).is_err() {
                seen_end.store(true, Relaxed);
                return;
            }
            rest = &rest[now..];
            if left != u64::MAX {
                shared.silent_after.store(left - now as u64, Relaxed);
                if left == now as u64 {
                    shared.silent.store(true, Relaxed);
                }
            }
        }
    }
}

/// Notes a stop packet; it may come in pieces.
fn note_stops(shared: &Shared, last: &mut Vec<u8>, bytes: &[u8]) {
    const STOP: &[u8] = b"$T";
    last.extend(bytes);
    let found = last.windows(STOP.len()).filter(|window| *window == STOP).count();
    lock(&shared.stops).extend(std::iter::repeat_n(SystemTime::now(), found));
    last.drain(..last.len().saturating_sub(STOP.len() - 1));
}

/// What becomes of a byte.
pub fn spoil(byte: u8, noise: Noise, dice: &mut Dice, out: &mut Vec<u8>) {
    let Noise { flip, drop, double, insert } = noise;
    let luck = dice.fraction();
    if luck < flip {
        out.push(byte ^ (1 << dice.below(8)));
    } else if luck < flip + drop {
    } else if luck < flip + drop + double {
        out.extend([byte, byte]);
    } else if luck < flip + drop + double + insert {
        out.extend([dice.below(256) as u8, byte]);
    } else {
        out.push(byte);
    }
}

/// SplitMix64: small, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, not with, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 up to, not with, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// One end.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn open(target: &str) -> io::Result<Stream> {
        match target.strip_prefix("unix:") {
            Some(path) => UnixStream::connect(path).map(Stream::Unix),
            None => {
                let tcp = TcpStream::connect(target)?;
                tcp.set_nodelay(true)?;
                Ok(Stream::Tcp(tcp))
            }
        }
    }

    fn clone(&self) -> Stream {
        match self {
            Stream::Tcp(tcp) => Stream::Tcp(tcp.try_clone().expect("a socket")),
            Stream::Unix(unix) => Stream::Unix(unix.try_clone().expect("a socket")),
        }
    }

    fn shutdown(&self) {
        let _ = match self {
            Stream::Tcp(tcp) => tcp.shutdown(Shutdown::Both),
            Stream::Unix(unix) => unix.shutdown(Shutdown::Both),
        };
    }

    /// Comes back after a moment without bytes, for the flags to be looked at.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let moment = Some(Duration::from_millis(10));
        match self {
            Stream::Tcp(tcp) => {
                tcp.set_read_timeout(moment)?;
                tcp.read(buffer)
            }
            Stream::Unix(unix) => {
                unix.set_read_timeout(moment)?;
                unix.read(buffer)
            }
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(tcp) => tcp.write_all(bytes),
            Stream::Unix(unix) => unix.write_all(bytes),
        }
    }
}
