//! A port where gdb finds the stopped guest: `target remote :PORT`. What is known
//! of the stop is answered without a packet on the line, and what gdb reads is
//! known to us from then on.
//!
//! It can look, change values, step and continue, and set breakpoints, which the
//! session does for it ([`gdb_run`](super::gdb_run)): they are seen on the screen, and
//! go when gdb goes. gdb keeps what it has read until it resumes the guest itself, so
//! when the guest runs for another reason gdb is disconnected; else it would show the
//! past as the present. One gdb at a time.
//!
//! Its threads are the CPUs, the first thread being CPU 0, each with the registers
//! it was stopped with.

use super::{
    Bound,
    console::accepted,
    gdb_run::{Came, Point, Running},
    next, tell,
};
use crate::base::addr::Addr;
use crate::link::quick_acks;
use crate::rsp::server::{self, Arrival, Asked, MOST_MEMORY, PACKET_SIZE, Server};
use crate::session::{
    answer::{Answer, Failure, StopAnswer},
    console::Heard,
    request::{Level, Request, WeakHandle},
    view::{CpuView, TargetView},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::broadcast,
};

/// Serves gdb until the session ends.
pub(super) async fn run(
    bound: Option<Bound>,
    mut heard: broadcast::Receiver<Heard>,
    session: WeakHandle,
) {
    let Some(bound) = bound else { return };
    let Some(listener) = bound.open("gdb finds the stopped guest here", &session).await else {
        return;
    };
    loop {
        tokio::select! {
            biased;
            // What is asked of the session says whether the guest is stopped.
            news = next(&mut heard) => if news.is_none() { return },
            stream = accepted(&listener) => {
                let words = match Client::serve(stream, &session, &mut heard, &listener).await {
                    Ended::Over => return,
                    Ended::Left => continue,
                    Ended::Resumed => {
                        "gdb is disconnected: the guest runs, and what gdb has read is the past; attach it again at the next stop"
                    }
                    Ended::Stranger => {
                        "what came to the port for gdb was no gdb, and was sent away"
                    }
                    Ended::Running => {
                        "a gdb came and was sent away: it can attach while the guest is stopped"
                    }
                };
                tell(&session, Level::Info, words.into()).await;
            }
        }
    }
}

/// How a gdb went.
enum Ended {
    /// It left.
    Left,
    /// The guest was resumed by others, or is gone.
    Resumed,
    /// The guest ran when it came.
    Running,
    /// It was no gdb.
    Stranger,
    /// The session is over.
    Over,
}

/// What is known of the guest that gdb looks at.
struct Client {
    session: WeakHandle,
    server: Server,
    target: TargetView,
    cpus: Vec<CpuView>,
    /// The CPU whose registers are meant.
    chosen: u32,
    /// The CPU that a step is for, when it is one alone.
    stepped: Option<u64>,
    run: Running,
}

/// What becomes of a packet.
enum Reply {
    Packet(Vec<u8>),
    /// The answer is the next stop.
    Later,
    /// Answered, if at all, and then gdb is gone.
    Last(Option<Vec<u8>>),
    /// The guest runs now.
    Gone,
}

fn packet(text: impl Into<Vec<u8>>) -> Reply {
    Reply::Packet(text.into())
}

impl Client {
    async fn serve(
        mut stream: TcpStream,
        session: &WeakHandle,
        heard: &mut broadcast::Receiver<Heard>,
        listener: &tokio::net::TcpListener,
    ) -> Ended {
        let mut client = match Client::new(session).await {
            Ok(client) => client,
            Err(ended) => return ended,
        };
        let ended = client.talk(&mut stream, heard, listener).await;
        client.run.leave(session).await;
        ended
    }

    async fn talk(
        &mut self,
        stream: &mut TcpStream,
        heard: &mut broadcast::Receiver<Heard>,
        listener: &tokio::net::TcpListener,
    ) -> Ended {
        let session = self.session.clone();
        let (mut bytes, mut first) = ([0; 4096], true);
        loop {
            let read = tokio::select! {
                biased;
                news = next(heard) => match news {
                    // What gdb waits for has an end of its own.
                    Some(Ok(Heard::Runs | Heard::Away)) if !self.run.is_under_way() => {
                        // It may be about the way to this stop.
                        match self.run.is_past(&session).await {
                            Some(false) => continue,
                            Some(true) => return Ended::Resumed,
                            None => return Ended::Over,
                        }
                    }
                    Some(_) => continue,
                    None => return Ended::Over,
                },
                arrived = self.run.next() => {
                    let came = self.run.came(arrived, &session).await;
                    let out = match self.came(came).await {
                        Ok(out) => out,
                        Err(ended) => return ended,
                    };
                    match stream.write_all(&out).await {
                        Ok(()) => continue,
                        Err(_) => return Ended::Left,
                    }
                }
                // One at a time: two would not know of each other's writes.
                other = accepted(listener) => {
                    drop(other);
                    let words = "a second gdb was sent away: one is attached already";
                    tell(&session, Level::Warning, words.into()).await;
                    continue;
                }
                read = stream.read(&mut bytes) => read,
            };
            // A client that sends its ack and then its question waits for ours.
            quick_acks(stream);
            let Ok(count @ 1..) = read else { return Ended::Left };
            // A web page can have a browser send packets in a request.
            if std::mem::take(&mut first) && !matches!(bytes[0], b'+' | b'$') {
                return Ended::Stranger;
            }
            let (arrivals, acks) = self.server.receive(&bytes[..count]);
            if stream.write_all(&acks).await.is_err() {
                return Ended::Left;
            }
            for arrival in arrivals {
                let (out, last) = match arrival {
                    Arrival::Again(last) => (last, false),
                    // When it is stopped already gdb hears nothing.
                    Arrival::Interrupt => match self.run.interrupt(&session) {
                        Some(()) => continue,
                        None => return Ended::Over,
                    },
                    // gdb waits, and asks nothing but that.
                    Arrival::Packet(_) if self.run.is_under_way() => continue,
                    Arrival::Packet(payload) => match self.answer(&payload).await {
                        Some(Reply::Packet(answer)) => (self.server.answer(&answer), false),
                        Some(Reply::Later) => continue,
                        Some(Reply::Last(answer)) => {
                            let answer = answer.map(|answer| self.server.answer(&answer));
                            (answer.unwrap_or_default(), true)
                        }
                        Some(Reply::Gone) => return Ended::Resumed,
                        None => return Ended::Over,
                    },
                };
                if stream.write_all(&out).await.is_err() || last {
                    return Ended::Left;
                }
            }
        }
    }

    async fn new(session: &WeakHandle) -> Result<Client, Ended> {
        let mut client = Client {
            session: session.clone(),
            server: Server::default(),
            target: TargetView::default(),
            cpus: Vec::new(),
            chosen: 0,
            stepped: None,
            run: Running::default(),
        };
        match client.run.look(session).await {
            None => return Err(Ended::Over),
            Some(false) => return Err(Ended::Running),
            Some(true) => {}
        }
        match session.ask(Request::Target).await {
            None => return Err(Ended::Over),
            Some(Ok(Answer::Target(target))) => client.target = *target,
            Some(_) => return Err(Ended::Running),
        }
        client.read_cpus().await?;
        Ok(client)
    }

    /// Reads which CPUs there are, and with what registers.
    async fn read_cpus(&mut self) -> Result<(), Ended> {
        match self.session.ask(Request::Cpus).await {
            None => return Err(Ended::Over),
            Some(Ok(Answer::Cpus { cpus })) => self.cpus = cpus,
            // Without symbols that are proven there is one CPU: the one that
            // stopped.
            Some(_) => match self.own_cpu().await {
                Some(cpu) => self.cpus = vec![cpu],
                None => return Err(Ended::Running),
            },
        }
        let current = self.cpus.iter().find(|cpu| cpu.current);
        self.chosen = current.map_or(0, |cpu| cpu.cpu);
        Ok(())
    }

    /// What gdb is told of what came while it waited.
    async fn came(&mut self, came: Came) -> Result<Vec<u8>, Ended> {
        let answer = match came {
            Came::Stop(stop) => {
                self.read_cpus().await.map_err(|ended| match ended {
                    // It was resumed by somebody else in the meantime.
                    Ended::Running => Ended::Resumed,
                    other => other,
                })?;
                self.stopped(&stop)
            }
            // gdb takes this for a stop without a reason, and shows the words.
            Came::Failed(why) => server::error(&why),
            Came::Words(words) if words.is_empty() => return Ok(Vec::new()),
            Came::Words(words) => server::output(&format!("{words}\n")),
            Came::Gone => return Err(Ended::Resumed),
            Came::Over => return Err(Ended::Over),
        };
        Ok(self.server.answer(&answer))
    }

    /// A stop as gdb is told of it: the pc is at the breakpoint, not behind it.
    fn stopped(&self, stop: &StopAnswer) -> Vec<u8> {
        let why = match stop.pc.and_then(|pc| self.run.point_at(pc)) {
            Some(Point { hardware: true, .. }) => "hwbreak:;",
            Some(Point { hardware: false, .. }) => "swbreak:;",
            None => "",
        };
        format!("T05{why}thread:{:x};", thread(self.current())).into_bytes()
    }

    async fn own_cpu(&self) -> Option<CpuView> {
        let Some(Ok(Answer::Registers { registers })) =
            self.session.ask(Request::StopRegisters).await
        else {
            return None;
        };
        Some(CpuView {
            cpu: 0,
            current: true,
            stopped: true,
            pid: None,
            comm: None,
            pc: None,
            sp: None,
            function: None,
            doing: "stopped".into(),
            registers,
        })
    }

    /// The answer to a packet; `None` at the end of the session.
    async fn answer(&mut self, payload: &[u8]) -> Option<Reply> {
        Some(match server::asked(payload) {
            Asked::Supported => {
                packet(format!("PacketSize={PACKET_SIZE:x};QStartNoAckMode+;swbreak+;hwbreak+"))
            }
            Asked::NoAcks => {
                self.server.stop_acks();
                packet("OK")
            }
            Asked::WhyStopped => packet(format!("T05thread:{:x};", thread(self.current()))),
            Asked::Attached => packet("1"),
            Asked::Offsets => packet(self.offsets().await?),
            Asked::Threads => {
                let ids = self.cpus.iter().map(|cpu| format!("{:x}", thread(cpu.cpu)));
                packet(format!("m{}", ids.collect::<Vec<_>>().join(",")))
            }
            Asked::MoreThreads => packet("l"),
            Asked::ThreadName(id) => match self.cpu(id) {
                Some(cpu) => packet(crate::rsp::frame::hex(words(cpu).as_bytes())),
                None => packet("E01"),
            },
            Asked::IsThread(id) => packet(if self.cpu(id).is_some() { "OK" } else { "E01" }),
            Asked::Thread => packet(format!("QC{:x}", thread(self.chosen))),
            Asked::Choose(id) => match id.map(|id| self.cpu(id).map(|cpu| cpu.cpu)) {
                None => packet("OK"),
                Some(Some(cpu)) => {
                    self.chosen = cpu;
                    packet("OK")
                }
                Some(None) => packet("E01"),
            },
            Asked::ChooseResumed(id) => {
                self.stepped = id;
                packet("OK")
            }
            Asked::Registers => packet(server::digits(&self.registers())),
            Asked::Register(number) => packet(self.register(number)),
            Asked::WriteRegister(number, bytes) => {
                return self.write_register(number, &bytes).await;
            }
            Asked::Memory { addr, len } => return self.memory(addr, len).await,
            Asked::WriteMemory { addr, bytes } => {
                return self.done(Request::WriteBytes(Addr(addr), bytes)).await;
            }
            Asked::Resume { single } => return self.resume(single).await,
            Asked::Breakpoint { there: true, hardware, addr } => {
                match self.run.insert(&self.session, Point { hardware, addr }).await? {
                    Ok(()) => packet("OK"),
                    Err(why) => {
                        // gdb shows its own words for it.
                        let words = format!("gdb's breakpoint at {}: {why}", Addr(addr));
                        tell(&self.session, Level::Warning, words).await;
                        packet(server::error(&why))
                    }
                }
            }
            Asked::Breakpoint { there: false, hardware, addr } => {
                self.run.remove(Point { hardware, addr });
                packet("OK")
            }
            Asked::Refused(why) => packet(server::error(why)),
            Asked::Leave { answer } => Reply::Last(answer.then(|| b"OK".to_vec())),
            Asked::Unknown => packet(""),
        })
    }

    async fn resume(&mut self, single: bool) -> Option<Reply> {
        // The stub itself can step no other, and a kernel's CPUs all run.
        if single && self.stepped.is_some_and(|id| id != thread(self.current())) {
            return Some(packet(server::error("only the CPU that stopped can be stepped")));
        }
        self.run.resume(&self.session, single).await?;
        Some(Reply::Later)
    }

    fn current(&self) -> u32 {
        self.cpus.iter().find(|cpu| cpu.current).map_or(self.chosen, |cpu| cpu.cpu)
    }

    fn cpu(&self, id: u64) -> Option<&CpuView> {
        self.cpus.iter().find(|cpu| thread(cpu.cpu) == id)
    }

    /// Where the kernel is: where the first segment of its file begins, as gdb wants
    /// it to move all of the symbols. Only when these are proven to be the guest's.
    async fn offsets(&self) -> Option<String> {
        let proven = self.target.matches.is_guests();
        if !proven || self.target.slide.is_none_or(|slide| slide.0 == 0) {
            return Some(String::new());
        }
        Some(match self.session.ask(Request::Symbol("_text".into())).await? {
            Ok(Answer::Symbol(symbol)) => format!("TextSeg={:x}", symbol.address.0),
            _ => String::new(),
        })
    }

    /// The registers of the chosen CPU as gdb has them for amd64: those of the
    /// stub, and ds, es, fs, gs, which it never fills in.
    fn registers(&self) -> Vec<Option<u8>> {
        (0..GDB_REGISTERS.len()).flat_map(|number| self.register_bytes(number)).collect()
    }

    fn register_bytes(&self, number: usize) -> Vec<Option<u8>> {
        let Some((name, size)) = GDB_REGISTERS.get(number) else { return Vec::new() };
        let cpu = self.cpus.iter().find(|cpu| cpu.cpu == self.chosen);
        let found = cpu.and_then(|cpu| cpu.registers.iter().find(|(own, _)| own == name));
        match found.and_then(|(_, value)| *value) {
            Some(value) => value.0.to_le_bytes()[..*size].iter().copied().map(Some).collect(),
            None => vec![None; *size],
        }
    }

    fn register(&self, number: usize) -> Vec<u8> {
        match self.register_bytes(number) {
            bytes if bytes.is_empty() => b"E01".to_vec(),
            bytes => server::digits(&bytes),
        }
    }

    async fn write_register(&mut self, number: usize, bytes: &[u8]) -> Option<Reply> {
        let Some((name, size)) = GDB_REGISTERS.get(number) else { return Some(packet("E01")) };
        if self.chosen != self.current() {
            let words = "only registers of the CPU that stopped can be written";
            return Some(packet(server::error(words)));
        }
        let value =
            bytes.iter().take(*size).rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let reply = self.done(Request::WriteRegister(name.to_string(), value)).await;
        if let Some(Ok(Answer::Cpus { cpus })) = self.session.ask(Request::Cpus).await {
            self.cpus = cpus;
        }
        reply
    }

    /// Memory as far as it can be read from its beginning on: gdb asks for the rest
    /// by itself.
    async fn memory(&self, addr: u64, len: u64) -> Option<Reply> {
        let request = Request::Bytes(Addr(addr), len.min(MOST_MEMORY));
        Some(match self.session.ask(request).await? {
            Ok(Answer::Bytes { bytes }) => {
                let known: Vec<Option<u8>> =
                    bytes.into_iter().take_while(Option::is_some).collect();
                match known.is_empty() && len > 0 {
                    true => packet("E14"),
                    false => packet(server::digits(&known)),
                }
            }
            other => failed(other),
        })
    }

    async fn done(&self, request: Request) -> Option<Reply> {
        Some(match self.session.ask(request).await? {
            Ok(_) => packet("OK"),
            other => failed(other),
        })
    }
}

fn failed(result: Result<Answer, Failure>) -> Reply {
    match result {
        Err(Failure::Running | Failure::NoTarget(_)) => Reply::Gone,
        Err(failure) => packet(server::error(&failure.to_string())),
        Ok(_) => packet(server::error("another answer came than was asked for")),
    }
}

/// A CPU as a thread: 0 is none in this protocol.
fn thread(cpu: u32) -> u64 {
    u64::from(cpu) + 1
}

/// What a CPU does, for `info threads`.
fn words(cpu: &CpuView) -> String {
    let task = match (cpu.pid, cpu.comm.as_deref()) {
        (Some(pid), Some(comm)) => format!(", pid {pid} {comm}"),
        _ => String::new(),
    };
    format!("CPU {}{task}, {}", cpu.cpu, cpu.doing)
}

/// gdb's registers for amd64, and their bytes, in the order of its `g` packet as far
/// as a kernel's stub goes (gdb/features/i386/64bit-core.xml).
const GDB_REGISTERS: [(&str, usize); 24] = [
    ("rax", 8),
    ("rbx", 8),
    ("rcx", 8),
    ("rdx", 8),
    ("rsi", 8),
    ("rdi", 8),
    ("rbp", 8),
    ("rsp", 8),
    ("r8", 8),
    ("r9", 8),
    ("r10", 8),
    ("r11", 8),
    ("r12", 8),
    ("r13", 8),
    ("r14", 8),
    ("r15", 8),
    ("rip", 8),
    ("eflags", 4),
    ("cs", 4),
    ("ss", 4),
    ("ds", 4),
    ("es", 4),
    ("fs", 4),
    ("gs", 4),
];
