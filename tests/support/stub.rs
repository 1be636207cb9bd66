//! A model of kgdb's end of the line, written after `get_packet`,
//! `put_packet` and `gdb_serial_stub` of `kernel/debug/gdbstub.c`, byte by
//! byte, with the same blindness: it waits without a time limit and takes any
//! byte but `+` for a request to send again.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kgdb_tui::rsp::frame::{checksum, encode, expand, hex, hex_digit, unhex};

/// x86 `BUFMAX`.
const BUFMAX: usize = 1024;

/// Where the model is in the kernel's code.
#[derive(Debug, Clone, PartialEq)]
enum State {
    /// The kernel runs; the line belongs to the console.
    Running,
    /// `get_packet`, before the `$`.
    Idle,
    /// `get_packet`, in the payload.
    Payload(Vec<u8>),
    /// `get_packet`, in the checksum.
    Checksum(Vec<u8>, Option<u8>),
    /// `put_packet`: the frame was sent, one byte decides.
    Put(Vec<u8>, After),
}

/// What follows a packet that was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
enum After {
    Listen,
    Resume,
}

/// The model. Feed it with [`Stub::byte`], take what it sends from `out`.
pub struct Stub {
    state: State,
    /// Bytes sent, not yet taken by the harness.
    pub out: VecDeque<u8>,
    /// `kgdb_connected`.
    pub connected: bool,
    /// Bytes that a running kernel got.
    pub junk: Vec<u8>,
    /// How often the kernel was resumed by `c`.
    pub continues: usize,
    /// How often one instruction was stepped.
    pub steps: usize,
    /// Addresses of software breakpoints.
    pub breakpoints: BTreeSet<u64>,
    /// Bytes written by `M` or `X`.
    pub written: BTreeMap<u64, u8>,
    /// A packet was taken that nobody sent: two wrongs made a good checksum,
    /// which no client can see.
    pub fooled: bool,
    /// Packets that wait behind the one being sent: `O` and `OK` of a monitor
    /// command.
    more: VecDeque<Vec<u8>>,
}

impl Stub {
    /// A kernel that stopped and waits for a packet, not connected.
    pub fn stopped() -> Stub {
        Stub {
            state: State::Idle,
            out: VecDeque::new(),
            connected: false,
            junk: Vec::new(),
            continues: 0,
            steps: 0,
            breakpoints: BTreeSet::new(),
            written: BTreeMap::new(),
            fooled: false,
            more: VecDeque::new(),
        }
    }

    /// A running kernel.
    pub fn running() -> Stub {
        Stub { state: State::Running, ..Stub::stopped() }
    }

    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// The kernel enters the debugger (`gdb_serial_stub`): when connected, a
    /// `T` packet is sent first.
    pub fn stop(&mut self) {
        assert!(self.is_running());
        self.state = State::Idle;
        if self.connected {
            self.put(b"T05thread:01f4;", After::Listen);
        }
    }

    /// Console text, only while the kernel runs.
    pub fn print(&mut self, text: &[u8]) {
        assert!(self.is_running());
        self.out.extend(text);
    }

    /// What memory holds: a pattern, and what was written.
    pub fn memory(&self, addr: u64) -> u8 {
        self.written.get(&addr).copied().unwrap_or((addr as u8).wrapping_mul(31) ^ 0x5a)
    }

    /// One byte from the line.
    pub fn byte(&mut self, byte: u8) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Running => {
                self.junk.push(byte);
                self.state = State::Running;
            }
            State::Idle if byte == b'$' => {
                self.connected = true;
                self.state = State::Payload(Vec::new());
            }
            State::Idle => {}
            State::Payload(payload) if byte == b'#' => self.state = State::Checksum(payload, None),
            State::Payload(mut payload) => {
                payload.push(byte);
                // No `#` in a whole buffer: given up without an ack.
                if payload.len() < BUFMAX - 1 {
                    self.state = State::Payload(payload);
                }
            }
            State::Checksum(payload, None) => self.state = State::Checksum(payload, Some(byte)),
            State::Checksum(payload, Some(high)) => {
                let sum = hex_digit(high).zip(hex_digit(byte)).map(|(high, low)| high << 4 | low);
                if sum == Some(checksum(&payload)) {
                    self.out.push_back(b'+');
                    self.request(&payload);
                } else {
                    self.out.push_back(b'-');
                }
            }
            State::Put(frame, after) => match byte {
                b'+' => match (self.more.pop_front(), after) {
                    (Some(next), _) => self.put(&next, after),
                    (None, After::Resume) => self.state = State::Running,
                    (None, After::Listen) => {}
                },
                3 => self.state = State::Put(frame, after),
                b'$' => {
                    self.out.push_back(b'-');
                    self.more.clear();
                    if after == After::Resume {
                        self.state = State::Running;
                    }
                }
                _ => {
                    self.out.extend(&frame);
                    self.state = State::Put(frame, after);
                }
            },
        }
    }

    fn put(&mut self, payload: &[u8], after: After) {
        let frame = encode(payload);
        self.out.extend(&frame);
        self.state = State::Put(frame, after);
    }

    fn request(&mut self, payload: &[u8]) {
        let text = String::from_utf8_lossy(payload).into_owned();
        self.fooled |= payload.contains(&b'$');
        let reply = match payload[..].first() {
            Some(b'?') => {
                self.breakpoints.clear();
                b"S05".to_vec()
            }
            Some(b'g') => self.registers(),
            Some(b'm') => match text.get(1..).and_then(numbers) {
                Some((addr, len)) if addr >= 0x1000 && len <= 511 => {
                    let data: Vec<u8> = (addr..addr + len).map(|addr| self.memory(addr)).collect();
                    hex(&data).into_bytes()
                }
                _ => b"E22".to_vec(),
            },
            Some(b'M' | b'X') => self.write(payload),
            Some(b'Z') => match text.get(3..).and_then(numbers) {
                Some((addr, _)) if self.breakpoints.insert(addr) => b"OK".to_vec(),
                _ => b"E17".to_vec(),
            },
            Some(b'z') => match text.get(3..).and_then(numbers) {
                Some((addr, _)) if self.breakpoints.remove(&addr) => b"OK".to_vec(),
                _ => b"E02".to_vec(),
            },
            Some(b'H' | b'T' | b'P') => b"OK".to_vec(),
            Some(b'c') => {
                self.continues += 1;
                self.state = State::Running;
                return;
            }
            Some(b's') => {
                self.steps += 1;
                self.state = State::Running;
                return;
            }
            Some(b'D') => {
                self.breakpoints.clear();
                self.connected = false;
                return self.put(b"OK", After::Resume);
            }
            Some(b'q') if text.starts_with("qRcmd,") => {
                self.more.extend([b"O776f726c640a".to_vec(), b"OK".to_vec()]);
                b"O68656c6c6f20".to_vec()
            }
            Some(b'q') if text.starts_with("qC") => b"QC01f4".to_vec(),
            Some(b'q') if text == "qfThreadInfo" => b"mfffffffe,fffffffd,01,02".to_vec(),
            _ => Vec::new(),
        };
        self.put(&reply, After::Listen);
    }

    /// 156 bytes, as x86 has it.
    pub fn registers(&self) -> Vec<u8> {
        hex(&(0..156).map(|byte| byte ^ self.steps as u8).collect::<Vec<u8>>()).into_bytes()
    }

    fn write(&mut self, payload: &[u8]) -> Vec<u8> {
        let parts = || {
            let colon = payload.iter().position(|&byte| byte == b':')?;
            let (addr, len) = numbers(&String::from_utf8_lossy(&payload[1..colon]))?;
            let data = &payload[colon + 1..];
            let data = if payload[0] == b'M' { unhex(data) } else { expand(data) }?;
            (data.len() as u64 == len).then_some((addr, data))
        };
        // Only noise makes something else of it.
        let Some((addr, data)) = parts() else { return b"E22".to_vec() };
        self.written.extend((addr..).zip(data));
        b"OK".to_vec()
    }
}

fn numbers(text: &str) -> Option<(u64, u64)> {
    let (addr, len) = text.split_once(',')?;
    Some((u64::from_str_radix(addr, 16).ok()?, u64::from_str_radix(len, 16).ok()?))
}
