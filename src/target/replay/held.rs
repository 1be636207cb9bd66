//! What is known of one stop by what was asked and answered at it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::tape::{Exchange, TapedStop};
use crate::{
    arch::Arch,
    base::{
        addr::Addr,
        memory::{Memory, PAGE, Span, Sparse},
    },
    rsp::{frame::unhex, reply, thread::ThreadId},
};

/// Pages of memory of one stop; a record that has more is no guest's.
pub(super) const MOST_PAGES: usize = 32_768;

/// Longest read that is looked at, twice what any request may ask for.
const LONGEST: u64 = 1024;

/// The thread of the CPU that stopped, as a key.
const OWN: &[u8] = b"";

/// One stop's answers.
#[derive(Debug)]
pub struct Held {
    arch: &'static Arch,
    /// As far as it was read; first come, first kept: what was read later, after
    /// a write, is what the same write makes of it again.
    memory: Sparse,
    /// Pages in which the guest refused to read: a read never leaves a page, and
    /// memory is mapped by pages.
    refused: BTreeSet<u64>,
    /// The answers to `g`, by thread.
    registers: HashMap<Vec<u8>, Vec<u8>>,
    /// The answers to `p`, by thread and number.
    single: HashMap<(Vec<u8>, u8), Vec<u8>>,
    /// Registers that were written since, by number.
    written: BTreeMap<u8, Vec<u8>>,
    /// What the program put right before it looked at the registers: the pc
    /// behind a breakpoint.
    put_right: BTreeMap<u8, Vec<u8>>,
    /// All else, in order.
    answers: HashMap<Vec<u8>, Answers>,
    /// Lists of threads, page by page.
    lists: Vec<Vec<Exchange>>,
    list: (usize, usize),
    /// Threads that were chosen.
    threads: BTreeSet<Vec<u8>>,
    /// The thread that is chosen now.
    thread: Vec<u8>,
    /// Who stopped.
    own: Option<ThreadId>,
}

#[derive(Debug, Default)]
struct Answers {
    all: Vec<(Vec<Vec<u8>>, Vec<u8>)>,
    next: usize,
}

impl Held {
    /// Of one stop.
    pub fn of(arch: &'static Arch, stop: &TapedStop) -> Held {
        let mut held = Held {
            arch,
            memory: Sparse::new(),
            refused: BTreeSet::new(),
            registers: HashMap::new(),
            single: HashMap::new(),
            written: BTreeMap::new(),
            put_right: BTreeMap::new(),
            answers: HashMap::new(),
            lists: Vec::new(),
            list: (0, 0),
            threads: BTreeSet::new(),
            thread: OWN.to_vec(),
            own: stop.thread,
        };
        let mut changed: Vec<Span> = Vec::new();
        for exchange in &stop.exchanges {
            held.learn(exchange, &mut changed);
        }
        held.thread = OWN.to_vec();
        held
    }

    fn learn(&mut self, exchange: &Exchange, changed: &mut Vec<Span>) {
        let Exchange { request, outputs, reply } = exchange;
        let refused = reply::errno(reply).is_some();
        match request.as_slice() {
            [b'm', ..] => self.learn_memory(request, reply, changed),
            [b'g'] if !refused => {
                let bytes = unhex(reply).unwrap_or_default();
                self.registers.entry(self.thread.clone()).or_insert(bytes);
            }
            [b'p', digits @ ..] if !refused => {
                if let Some(number) = register_number(digits) {
                    let bytes = unhex(reply).unwrap_or_default();
                    self.single.entry((self.thread.clone(), number)).or_insert(bytes);
                }
            }
            [b'P', rest @ ..] if reply == b"OK" => {
                if !self.registers.contains_key(OWN)
                    && let Some((number, bytes)) = register_write(rest)
                {
                    self.put_right.insert(number, bytes);
                }
            }
            [b'M' | b'X', ..] if reply == b"OK" => changed.extend(memory_range(request)),
            [b'H', b'g', id @ ..] if reply == b"OK" => {
                self.thread = self.key(id);
                self.threads.insert(self.thread.clone());
            }
            b"qfThreadInfo" => self.lists.push(vec![exchange.clone()]),
            b"qsThreadInfo" => {
                if let Some(list) = self.lists.last_mut() {
                    list.push(exchange.clone());
                }
            }
            _ => {
                let answer = (outputs.clone(), reply.clone());
                self.answers.entry(request.clone()).or_default().all.push(answer);
            }
        }
    }

    fn learn_memory(&mut self, request: &[u8], reply: &[u8], changed: &[Span]) {
        let Some(span) = memory_range(request) else { return };
        if reply::errno(reply).is_some() {
            self.refused.insert(span.start.0 / PAGE);
            return;
        }
        let bytes = unhex(reply).unwrap_or_default();
        if bytes.len() as u64 != span.len || self.memory.page_count() >= MOST_PAGES {
            return;
        }
        let touched =
            changed.iter().any(|one| one.contains(span.start) || span.contains(one.start));
        if !touched {
            return self.memory.fill(span.start, &bytes);
        }
        for (at, byte) in bytes.iter().enumerate() {
            let at = span.start.offset(at as u64);
            if !changed.iter().any(|one| one.contains(at)) {
                self.memory.fill(at, &[*byte]);
            }
        }
    }

    /// A thread's id as a key: the one that stopped has several.
    fn key(&self, id: &[u8]) -> Vec<u8> {
        match ThreadId::parse(id) {
            Some(ThreadId(0 | -1)) => OWN.to_vec(),
            Some(id) if Some(id) == self.own => OWN.to_vec(),
            Some(id) => id.encode().into_bytes(),
            None => id.to_vec(),
        }
    }

    /// The pc as it was when the guest stopped, before anything was put right.
    pub fn raw_pc(&self) -> Option<Addr> {
        self.value(self.arch.def(self.arch.pc).number as u8).map(Addr)
    }

    /// The registers are as the program had put them right before it showed
    /// them.
    pub fn put_right(&mut self) {
        self.written = self.put_right.clone();
    }

    /// A register of the thread that stopped.
    pub fn value(&self, number: u8) -> Option<u64> {
        let single = self.single.get(&(OWN.to_vec(), number)).cloned();
        Some(little_endian(&single.or_else(|| self.of_registers(OWN, number))?))
    }

    /// `g` of the chosen thread.
    pub fn registers(&self) -> Option<Vec<u8>> {
        let mut bytes = self.registers.get(&self.thread)?.clone();
        if self.thread == OWN {
            for (number, value) in &self.written {
                let def = self.arch.registers.iter().find(|def| def.number == u32::from(*number));
                let place = def.and_then(|def| bytes.get_mut(def.offset..def.offset + value.len()));
                if let Some(place) = place {
                    place.copy_from_slice(value);
                }
            }
        }
        Some(bytes)
    }

    /// `p` of the chosen thread.
    pub fn register(&self, number: u8) -> Option<Vec<u8>> {
        if self.thread == OWN
            && let Some(value) = self.written.get(&number)
        {
            return Some(value.clone());
        }
        let single = self.single.get(&(self.thread.clone(), number)).cloned();
        single.or_else(|| self.of_registers(&self.thread, number))
    }

    fn of_registers(&self, thread: &[u8], number: u8) -> Option<Vec<u8>> {
        let bytes = self.registers.get(thread)?;
        let def = self.arch.registers.iter().find(|def| def.number == u32::from(number))?;
        bytes.get(def.offset..def.offset + def.size).map(<[u8]>::to_vec)
    }

    /// `P` for the thread that stopped; as the stub, for no other.
    pub fn write_register(&mut self, rest: &[u8]) -> bool {
        match register_write(rest) {
            Some((number, value)) if self.thread == OWN => {
                self.written.insert(number, value);
                true
            }
            _ => false,
        }
    }

    /// The bytes of a span, when all of them are known.
    pub fn memory(&self, span: Span) -> Option<Vec<u8>> {
        (span.len <= LONGEST).then(|| self.memory.bytes(span.start, span.len as usize).ok())?
    }

    /// Whether the guest refused to read in a page of this, so that it would
    /// refuse this.
    pub fn is_refused(&self, span: Span) -> bool {
        let last = span.start.offset(span.len.saturating_sub(1));
        [span.start, last].iter().any(|at| self.refused.contains(&(at.0 / PAGE)))
    }

    /// The parts of a span that are known.
    pub fn known_in(&self, span: Span) -> Vec<Span> {
        self.memory.known_in(Span::new(span.start, span.len.min(LONGEST)))
    }

    /// Changes the copy of the guest's memory.
    pub fn write_memory(&mut self, at: Addr, bytes: &[u8]) {
        if self.memory.page_count() < MOST_PAGES {
            self.memory.insert(at, bytes);
        }
    }

    /// Chooses a thread whose registers are read; false for one that is not
    /// known.
    pub fn choose(&mut self, id: &[u8]) -> bool {
        let key = self.key(id);
        let known = key == OWN || self.threads.contains(&key);
        if known {
            self.thread = key;
        }
        known
    }

    /// The id of the thread that stopped.
    pub fn own(&self) -> Option<ThreadId> {
        self.own
    }

    /// The answer to a request by its text: the next one, or the last once more.
    pub fn answer(&mut self, request: &[u8]) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
        match request {
            b"qfThreadInfo" => {
                let list = self.list.0.min(self.lists.len().checked_sub(1)?);
                self.list = (list, 0);
            }
            b"qsThreadInfo" => self.list.1 += 1,
            _ => {
                let answers = self.answers.get_mut(request)?;
                let at = answers.next.min(answers.all.len().checked_sub(1)?);
                answers.next = at + 1;
                return answers.all.get(at).cloned();
            }
        }
        // After the last page there is none.
        let page = self.lists.get(self.list.0)?.get(self.list.1);
        Some((Vec::new(), page.map(|page| page.reply.clone()).unwrap_or_default()))
    }

    /// Whether memory can be read there, or why not.
    #[cfg(test)]
    pub fn peek(&self, at: Addr) -> Result<u64, crate::base::memory::Gap> {
        self.memory.u64(at)
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The number of `p10`.
pub(super) fn register_number(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Number and bytes of `10=00000081ffffffff`.
fn register_write(rest: &[u8]) -> Option<(u8, Vec<u8>)> {
    let equals = rest.iter().position(|&byte| byte == b'=')?;
    let value = unhex(&rest[equals + 1..]).filter(|value| (1..=64).contains(&value.len()))?;
    Some((register_number(&rest[..equals])?, value))
}

/// The span of `mADDR,LEN`, `MADDR,LEN:…` and `XADDR,LEN:…`.
pub(super) fn memory_range(request: &[u8]) -> Option<Span> {
    let head = request.get(1..)?.split(|&byte| byte == b':').next()?;
    let text = std::str::from_utf8(head).ok()?;
    let (addr, len) = text.split_once(',')?;
    let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let span = Span::new(Addr(number(addr)?), number(len)?);
    (1..=LONGEST).contains(&span.len).then_some(span)
}
