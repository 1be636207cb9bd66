//! An exception of the kernel's in a person's words: what it was, which
//! instruction did it, to which memory, and what that address is.

use crate::{
    arch::{
        Registers,
        insn::{self, Flavor, MAX_LEN},
        operand::{self, Access, MemoryUse},
    },
    base::{
        addr::Addr,
        memory::{Gap, Memory},
    },
    kernel::{
        crash_address::{self, Sort, error_pointer, sort},
        crash_trap::Trap,
    },
    symbols::{answer::CodeFrame, placed::Symbols},
};

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A member of NULL was used.
    NullPointer,
    /// An error number was used as a pointer.
    ErrorPointer,
    /// A list entry was used after it was deleted.
    ListPoison,
    /// Memory was used after it was freed, or before it was written.
    SlabPoison,
    /// Memory of user space was used directly.
    UserPointer,
    /// Something else was used as a pointer.
    BadPointer,
    /// Memory that is read-only was written.
    ReadOnly,
    /// NULL was called.
    NullCall,
    /// Something was called that is no code.
    BadCall,
    /// BUG().
    Bug,
    /// An instruction that there is none of, or that is not allowed.
    InvalidOpcode,
    /// A division by zero, or one whose result is too large.
    Divide,
    /// A stack is full.
    StackOverflow,
    /// An exception while another was delivered.
    DoubleFault,
    /// The CPU's general protection fault, for another reason than an address.
    Protection,
    /// Another exception.
    Other,
}

impl Kind {
    /// In two or three words.
    pub fn headline(self) -> &'static str {
        match self {
            Kind::NullPointer => "NULL pointer",
            Kind::ErrorPointer => "error pointer",
            Kind::ListPoison => "deleted list entry",
            Kind::SlabPoison => "freed memory",
            Kind::UserPointer => "user-space pointer",
            Kind::BadPointer => "bad pointer",
            Kind::ReadOnly => "write to read-only memory",
            Kind::NullCall => "call of NULL",
            Kind::BadCall => "call of what is no code",
            Kind::Bug => "BUG",
            Kind::InvalidOpcode => "invalid instruction",
            Kind::Divide => "divide error",
            Kind::StackOverflow => "stack overflow",
            Kind::DoubleFault => "double fault",
            Kind::Protection => "general protection fault",
            Kind::Other => "exception",
        }
    }
}

/// What holds the address that an instruction used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The variable that is in the register.
    pub variable: String,
    /// Its type.
    pub type_name: String,
    /// The member that was meant, when it points to a struct.
    pub member: Option<String>,
}

/// What is known of the exception before it is explained.
pub struct Seen<'a> {
    /// The registers it happened with.
    pub registers: &'a Registers,
    /// The signal that the stub gave; 0 when it was not the stub that told.
    pub signal: u8,
    /// What the kernel says of it.
    pub trap: Option<&'a Trap>,
    /// Where `gs` points: the CPU's own variables.
    pub gs_base: Option<u64>,
    /// The functions at the pc, innermost first.
    pub at: &'a [CodeFrame],
    /// Who called these, nearest first: `f at file.c:12`.
    pub callers: &'a [String],
    /// The source line there.
    pub source: Option<&'a str>,
    /// The ends of the task's stack.
    pub stack: Option<(u64, u64)>,
    /// The variable in a register, and its member so many bytes on.
    pub held: &'a dyn Fn(&str, i64) -> Option<Held>,
}

/// The explanation.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// What went wrong.
    pub kind: Kind,
    /// In one line.
    pub reason: String,
    /// The instruction; `None` where there is none.
    pub instruction: Option<String>,
    /// The memory it used: the operand with the values of its registers.
    pub operand: Option<String>,
    /// The address it used.
    pub address: Option<Addr>,
    /// What that address is.
    pub address_is: Option<String>,
    /// The variable that led there: `file->handle`.
    pub expression: Option<String>,
    /// The number of the exception.
    pub vector: Option<u64>,
    /// What the error code means.
    pub error: Option<String>,
}

/// The exception's number by what the kernel says of it
/// (arch/x86/kernel/traps.c, arch/x86/mm/fault.c; Intel SDM volume 3, table 6-1).
fn vector(said: &str) -> Option<u64> {
    const WORDS: [(&str, u64); 11] = [
        ("Oops", 14),
        ("Bad pagetable", 14),
        ("general protection", 13),
        ("stack guard page", 8),
        ("kernel stack overflow", 8),
        ("double fault", 8),
        ("invalid opcode", 6),
        ("divide error", 0),
        ("stack segment", 12),
        ("segment not present", 11),
        ("alignment check", 17),
    ];
    WORDS.iter().find(|(word, _)| said.starts_with(word)).map(|&(_, vector)| vector)
}

/// Bits of a page fault's error code (Intel SDM volume 3, 4.7).
const PRESENT: u64 = 1;
const WRITE: u64 = 2;
const USER: u64 = 4;
const RESERVED: u64 = 8;
const FETCH: u64 = 16;

/// A page fault's error code in words.
fn page_fault(code: u64) -> String {
    let access = match code {
        _ if code & FETCH != 0 => "instruction fetch",
        _ if code & WRITE != 0 => "write",
        _ => "read",
    };
    let mode = if code & USER != 0 { "user mode" } else { "kernel mode" };
    let why = match code {
        _ if code & RESERVED != 0 => "the page table is damaged",
        _ if code & PRESENT != 0 => "the page does not allow it",
        _ => "no page is there",
    };
    format!("{access} in {mode}; {why}")
}

/// Explains an exception.
///
/// # Errors
/// Reads that have no answer yet.
pub fn explain(symbols: &Symbols, memory: &dyn Memory, seen: &Seen<'_>) -> Result<Explained, Gap> {
    let pc = seen.registers.pc().unwrap_or_default();
    let code = code_at(memory, pc)?;
    let said = seen.trap.map(|trap| trap.said.as_str()).unwrap_or_default();
    let number = vector(said).or(seen.trap.map(|trap| trap.vector));
    let fault_code = seen.trap.filter(|_| number == Some(14)).map(|trap| trap.error_code);
    let error = match (number, seen.trap) {
        (Some(14), Some(trap)) => Some(page_fault(trap.error_code)),
        (Some(10..=13), Some(trap)) if trap.error_code != 0 => {
            Some(format!("segment selector {:#x}", trap.error_code & 0xfffc))
        }
        _ => None,
    };
    let instruction = insn::decode(pc, &code, 1, Flavor::Att, &|at| symbols.describe_reference(at));
    let instruction =
        instruction.into_iter().next().filter(|insn| insn.flow != insn::Flow::Invalid);
    let mut explained = Explained {
        kind: Kind::Other,
        reason: String::new(),
        instruction: instruction.map(|insn| insn.text),
        operand: None,
        address: None,
        address_is: None,
        expression: None,
        vector: number,
        error,
    };
    let who = who(seen);
    let fetched = fault_code.is_some_and(|code| code & FETCH != 0);
    if code.is_empty() || fetched {
        bad_call(symbols, memory, pc, seen, &mut explained)?;
        return Ok(explained);
    }
    let guard = said.starts_with("stack guard page") || said.starts_with("kernel stack overflow");
    match (seen.signal, number) {
        _ if guard => overflow(seen, &who, &mut explained),
        (_, Some(8)) => {
            explained.kind = Kind::DoubleFault;
            explained.reason = format!("double fault in {who}");
            overflow(seen, &who, &mut explained);
        }
        (4, _) | (0, None) if operand::is_ud2(&code) => {
            explained.kind = Kind::Bug;
            let source = seen.source.map_or(String::new(), |line| format!(": {line}"));
            explained.reason = format!("BUG in {who}{}{source}", place(seen));
        }
        (4, _) | (_, Some(6)) => {
            explained.kind = Kind::InvalidOpcode;
            explained.reason = format!("invalid instruction in {who}");
        }
        (8, _) | (_, Some(0)) => divide(&code, seen, &who, &mut explained),
        _ => bad_memory(symbols, memory, &code, fault_code, seen, &who, &mut explained)?,
    }
    Ok(explained)
}

/// The bytes at the pc; none when nothing can be read there.
fn code_at(memory: &dyn Memory, pc: Addr) -> Result<Vec<u8>, Gap> {
    let rest = (0x1000 - pc.0 % 0x1000).min(MAX_LEN as u64) as usize;
    let mut code = match memory.bytes(pc, rest) {
        Ok(code) => code,
        Err(gap) if gap.is_missing() => return Err(gap),
        Err(_) => return Ok(Vec::new()),
    };
    if rest < MAX_LEN {
        match memory.bytes(pc.offset(rest as u64), MAX_LEN - rest) {
            Ok(more) => code.extend(more),
            Err(gap) if gap.is_missing() => return Err(gap),
            Err(_) => {}
        }
    }
    Ok(code)
}

/// Who did it: the function, what it is inlined in, and who called it when it
/// only does what its callers say.
fn who(seen: &Seen<'_>) -> String {
    let Some(innermost) = seen.at.first() else {
        let pc = seen.registers.pc().unwrap_or_default();
        return format!("code at {pc}");
    };
    let mut text = innermost.function.clone();
    let outermost = seen.at.last().filter(|outer| outer.depth != innermost.depth);
    if let Some(outer) = outermost {
        text.push_str(&format!(", inlined in {}", outer.function));
    }
    let is_helper = |frame: &CodeFrame| {
        // What only does as it is told: it is not to blame.
        const HELPERS: [&str; 6] =
            ["/lib/", "/include/", "kernel/locking/", "mm/slub.c", "mm/slab", "arch/x86/include/"];
        let file = frame.file.as_ref().map_or("", |file| file.name.as_str());
        HELPERS.iter().any(|part| file.contains(part)) || frame.function.starts_with("mem")
    };
    let outer = outermost.unwrap_or(innermost);
    if is_helper(outer)
        && let Some(caller) = seen.callers.first()
    {
        text.push_str(&format!(", called by {caller}"));
    }
    text
}

/// Before a verb: a comma after what was put between.
fn comma(who: &str) -> &'static str {
    if who.contains(", ") { "," } else { "" }
}

/// ` at file.c:12` of the innermost function.
fn place(seen: &Seen<'_>) -> String {
    let innermost = seen.at.first();
    let line = innermost.and_then(|frame| Some((frame.file.as_ref()?, frame.line?)));
    line.map_or(String::new(), |(file, line)| format!(" at {}:{line}", base_name(&file.name)))
}

/// The last part of a path.
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn bad_call(
    symbols: &Symbols,
    memory: &dyn Memory,
    pc: Addr,
    seen: &Seen<'_>,
    explained: &mut Explained,
) -> Result<(), Gap> {
    let is = crash_address::words(symbols, memory, pc.0)?;
    let by = seen.callers.first();
    let by = by.map_or(String::new(), |caller| format!("; it was called by {caller}"));
    explained.kind = if pc.0 == 0 { Kind::NullCall } else { Kind::BadCall };
    explained.reason = match pc.0 {
        0 => format!("call of NULL: there is nothing at 0x0{by}"),
        _ => format!("call of what is no code: {pc} ({is}){by}"),
    };
    explained.instruction = None;
    explained.address = Some(pc);
    explained.address_is = Some(is);
    Ok(())
}

fn overflow(seen: &Seen<'_>, who: &str, explained: &mut Explained) {
    let sp = seen.registers.sp().map_or(0, |sp| sp.0);
    // A function's frame may be far larger than the guard page.
    const NEAR: u64 = 64 * 1024;
    match seen.stack {
        Some((low, high)) if sp < low + 512 && low.wrapping_sub(sp) < NEAR || sp == low => {
            explained.kind = Kind::StackOverflow;
            explained.address = Some(Addr(sp));
            explained.reason = format!(
                "stack overflow in {who}: the stack pointer {sp:#x} is at the end of the stack, \
                 {low:#x} to {high:#x}"
            );
        }
        _ if explained.kind == Kind::Other => {
            explained.kind = Kind::StackOverflow;
            explained.reason = format!("stack overflow in {who}: the stack pointer is {sp:#x}");
        }
        _ => {}
    }
}

fn divide(code: &[u8], seen: &Seen<'_>, who: &str, explained: &mut Explained) {
    explained.kind = Kind::Divide;
    explained.reason = match operand::divisor(code) {
        Some(Some(register)) => match register_value(seen.registers, &register) {
            Some(0) => {
                let comma = comma(who);
                format!("divide error: {who}{comma} divides by {register}, which is 0")
            }
            Some(value) => format!(
                "divide error in {who}: the result of the division by {register} = {value:#x} does not fit"
            ),
            None => format!("divide error in {who}, by {register}"),
        },
        _ => format!("divide error in {who}"),
    };
}

/// The value of a register or of a part of one, by the part's name.
fn register_value(registers: &Registers, name: &str) -> Option<u64> {
    if let Some(value) = registers.by_name(name) {
        return Some(value);
    }
    // eax, r9d: the low half; ax, al and r9w, r9b are parts of it.
    let (whole, bits) = match name {
        _ if name.starts_with('r') => match name.as_bytes().last()? {
            b'd' => (name.trim_end_matches('d').to_owned(), 32),
            b'w' => (name.trim_end_matches('w').to_owned(), 16),
            _ => (name.trim_end_matches(['b', 'l']).to_owned(), 8),
        },
        _ if name.starts_with('e') => (format!("r{}", &name[1..]), 32),
        _ if name.ends_with('l') && name.len() == 2 => (format!("r{}x", &name[..1]), 8),
        _ => (format!("r{name}"), 16),
    };
    Some(registers.by_name(&whole)? & (u64::MAX >> (64 - bits)))
}

fn bad_memory(
    symbols: &Symbols,
    memory: &dyn Memory,
    code: &[u8],
    fault_code: Option<u64>,
    seen: &Seen<'_>,
    who: &str,
    explained: &mut Explained,
) -> Result<(), Gap> {
    let pc = seen.registers.pc().unwrap_or_default();
    let values = |name: &str| match name {
        "gs_base" => seen.gs_base,
        name => register_value(seen.registers, name),
    };
    let uses = operand::memory_uses(pc.0, code, &values);
    let Some(used) = faulting(&uses, fault_code) else {
        explained.kind = Kind::Protection;
        let what = explained.instruction.as_deref().unwrap_or("an instruction");
        let said = seen.trap.map_or("an exception", |trap| trap.said.as_str());
        explained.reason = match explained.vector {
            Some(13) => {
                format!("general protection fault in {who}: it is not allowed to execute {what}")
            }
            _ => format!("{said} in {who}, at {what}"),
        };
        return Ok(());
    };
    let registers = [used.base.as_deref(), used.index.as_ref().map(|(name, _)| name.as_str())];
    let shown: Vec<String> = (registers.iter().flatten())
        .filter_map(|name| Some(format!("{name} = {:#x}", values(name)?)))
        .collect();
    explained.operand = Some(match shown.is_empty() {
        true => used.text(),
        false => format!("{} with {}", used.text(), shown.join(", ")),
    });
    let address = used.address.unwrap_or_default();
    explained.address = Some(Addr(address));
    let base = used.base.as_deref().filter(|_| used.index.is_none());
    let held = base.and_then(|base| (seen.held)(base, used.displacement));
    explained.expression = held.as_ref().map(|held| match &held.member {
        Some(member) => format!("{}->{member}", held.variable),
        None => held.variable.clone(),
    });
    let value = base.and_then(values);
    // The distance hides what was written over the pointer.
    let told = match (value, sort(address)) {
        (Some(value), Sort::NonCanonical) => value,
        _ => address,
    };
    let is = crash_address::words(symbols, memory, told)?;
    explained.kind = match (value.map(sort), sort(address)) {
        (Some(Sort::Error(_)), _) | (_, Sort::Error(_)) => Kind::ErrorPointer,
        (_, Sort::Null) => Kind::NullPointer,
        (_, Sort::ListPoison) | (Some(Sort::ListPoison), _) => Kind::ListPoison,
        (_, Sort::SlabPoison) | (Some(Sort::SlabPoison), _) => Kind::SlabPoison,
        (_, Sort::User) => Kind::UserPointer,
        (_, Sort::Kernel)
            if fault_code.is_some_and(|code| code & (PRESENT | WRITE) == PRESENT | WRITE) =>
        {
            Kind::ReadOnly
        }
        (_, Sort::NonCanonical | Sort::Kernel) => Kind::BadPointer,
    };
    let size = match used.size {
        0 => String::new(),
        1 => " 1 byte".into(),
        size => format!(" {size} bytes"),
    };
    let verb = match (used.access, fault_code) {
        (Access::Both, _) => "changes",
        (access, _) => access.verb(),
    };
    let headline = explained.kind.headline();
    let detail = detail(explained.kind, &held, base, value, &is, fault_code);
    let comma = comma(who);
    explained.reason =
        format!("{headline}: {who}{comma} {verb}{size} at {}: {detail}", Addr(address));
    explained.address_is = Some(is);
    Ok(())
}

/// The piece of memory that the exception was about.
fn faulting(uses: &[MemoryUse], fault_code: Option<u64>) -> Option<&MemoryUse> {
    let known = || uses.iter().filter(|used| used.address.is_some());
    let bad = |used: &&MemoryUse| used.address.is_some_and(|address| sort(address) != Sort::Kernel);
    let fits = |used: &&MemoryUse| match fault_code {
        Some(code) if code & WRITE != 0 => used.access.writes(),
        Some(_) => used.access != Access::Write,
        None => true,
    };
    let fitting = || known().filter(fits);
    // Without an error code only an address that is bad by itself is sure.
    match fault_code {
        Some(_) => fitting().find(bad).or_else(|| fitting().next()).or_else(|| known().next()),
        None => known().find(bad),
    }
}

fn detail(
    kind: Kind,
    held: &Option<Held>,
    base: Option<&str>,
    value: Option<u64>,
    is: &str,
    fault_code: Option<u64>,
) -> String {
    let in_register = base.map_or(String::new(), |base| format!("in {base}"));
    let member = held.as_ref().and_then(|held| held.member.as_ref());
    match (kind, held, value) {
        (Kind::NullPointer, Some(held), Some(0)) => match member {
            Some(member) => format!(
                "member `{member}` of a NULL `{}` (`{}`, {in_register})",
                held.type_name, held.variable
            ),
            None => format!("`{}` ({}, {in_register}) is NULL", held.variable, held.type_name),
        },
        (Kind::NullPointer, Some(held), Some(value)) => {
            format!("`{}` ({}, {in_register}) is {value:#x}", held.variable, held.type_name)
        }
        (Kind::NullPointer, None, Some(0)) => format!("the pointer {in_register} is NULL"),
        (Kind::ErrorPointer, held, value) => {
            let pointer = match value.map(sort) {
                Some(Sort::Error(number)) => error_pointer(number),
                _ => is.to_owned(),
            };
            match (held, member) {
                (Some(held), Some(member)) => format!(
                    "member `{member}` of a `{}` that is {pointer} (`{}`, {in_register})",
                    held.type_name, held.variable
                ),
                (Some(held), None) => {
                    format!("`{}` ({}, {in_register}) is {pointer}", held.variable, held.type_name)
                }
                (None, _) => format!("the pointer {in_register} is {pointer}"),
            }
        }
        (Kind::UserPointer, _, _) => {
            let why = match fault_code {
                Some(code) if code & PRESENT != 0 => "the CPU forbids that (SMAP)",
                _ => "nothing is there",
            };
            format!("{is}, not by copy_from_user or copy_to_user; {why}{}", of(held, &in_register))
        }
        _ => format!("{is}{}", of(held, &in_register)),
    }
}

fn of(held: &Option<Held>, in_register: &str) -> String {
    match held {
        Some(Held { variable, type_name, member: Some(member) }) => {
            format!("; member `{member}` of `{variable}` ({type_name}, {in_register})")
        }
        Some(held) => format!("; `{}` ({}, {in_register})", held.variable, held.type_name),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
