//! One machine instruction: its text for people and where control can go
//! after it. Decoding is by iced-x86 and always over live bytes of the guest,
//! because the kernel patches its own text (alternatives, ftrace, jump labels).

use crate::base::{
    addr::Addr,
    memory::{Gap, Memory},
};
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, GasFormatter, Instruction,
    InstructionInfoFactory, IntelFormatter, Mnemonic, OpAccess, OpKind,
};

/// The longest x86 instruction in bytes (Intel SDM volume 2, 2.3.11).
pub const MAX_LEN: usize = 15;

/// In whose style instructions are written (gdb: `set disassembly-flavor`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavor {
    /// `mov %rax,8(%rsp)`: as the kernel's own sources and tools do.
    #[default]
    Att,
    /// `mov QWORD PTR [rsp+8],rax`.
    Intel,
}

impl Flavor {
    /// gdb's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Flavor::Att => "att",
            Flavor::Intel => "intel",
        }
    }
}

/// Where control goes after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next instruction.
    Next,
    /// To a fixed target, always.
    Jump(Addr),
    /// To a fixed target or the next instruction.
    Branch(Addr),
    /// Into a function, known or computed; then to the next instruction.
    Call(Option<Addr>),
    /// Back to the caller.
    Return,
    /// To a place that only the registers know.
    Indirect,
    /// Out of the kernel or into another context: `iret`, `sysret`, `int`,
    /// `syscall`, `hlt`-like and everything a step may not come back from.
    Leave,
    /// No valid instruction.
    Invalid,
}

/// A decoded instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insn {
    /// Where it is.
    pub addr: Addr,
    /// Its bytes as they are in the guest.
    pub bytes: Vec<u8>,
    /// Its text, with symbol names.
    pub text: String,
    /// Where control goes after it.
    pub flow: Flow,
    /// The address it names: a branch's target, or data at a distance from
    /// the pc.
    pub refers_to: Option<Addr>,
}

impl Insn {
    /// The address after it.
    pub fn next(&self) -> Addr {
        self.addr.offset(self.bytes.len() as u64)
    }

    /// Where it jumps to, when that is a fixed place; calls are no jumps.
    pub fn jump(&self) -> Option<Addr> {
        match self.flow {
            Flow::Jump(target) | Flow::Branch(target) => Some(target),
            _ => None,
        }
    }
}

/// Why an instruction must not be stepped by the CPU's flag for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hazard {
    /// It stores or loads the flags, and that one with them.
    Flags,
    /// Other code runs before what comes after it: an interrupt, an exception.
    Aside,
    /// It goes to user mode.
    ToUser,
    /// It goes where a frame on the stack says.
    Frame,
}

/// Whether an instruction must not be stepped, and why.
pub fn hazard(insn: &Insn) -> Option<Hazard> {
    let mut decoder = Decoder::with_ip(64, &insn.bytes, insn.addr.0, DecoderOptions::NONE);
    match decoder.decode().mnemonic() {
        Mnemonic::Pushfq | Mnemonic::Popfq => Some(Hazard::Flags),
        Mnemonic::Hlt | Mnemonic::Ud2 | Mnemonic::Int | Mnemonic::Mwait => Some(Hazard::Aside),
        Mnemonic::Sysret | Mnemonic::Sysretq | Mnemonic::Sysexit | Mnemonic::Sysexitq => {
            Some(Hazard::ToUser)
        }
        Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq => Some(Hazard::Frame),
        _ => None,
    }
}

/// Names an address as `symbol` or `symbol+0x10`; `None` leaves the number.
pub type Namer<'a> = dyn Fn(Addr) -> Option<String> + 'a;

/// Decodes up to `count` instructions from the bytes at `start`. Ends early at
/// the end of `bytes`; an instruction cut off by that end is not returned.
pub fn decode(
    start: Addr,
    bytes: &[u8],
    count: usize,
    flavor: Flavor,
    name: &Namer<'_>,
) -> Vec<Insn> {
    let mut formatter = formatter(flavor);
    let mut decoder = Decoder::with_ip(64, bytes, start.0, DecoderOptions::NONE);
    let mut out = Vec::new();
    let mut instruction = Instruction::default();
    while decoder.can_decode() && out.len() < count {
        let at = decoder.position();
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() && bytes.len() - at < MAX_LEN {
            break;
        }
        let raw = bytes[at..at + instruction.len()].to_vec();
        out.push(Insn {
            addr: Addr(instruction.ip()),
            text: text(&instruction, &mut *formatter, name),
            flow: flow(&instruction),
            refers_to: refers_to(&instruction).map(|(address, _)| Addr(address)),
            bytes: raw,
        });
    }
    out
}

/// Decodes one instruction for its flow alone.
pub fn decode_one(at: Addr, bytes: &[u8]) -> Option<Insn> {
    decode(at, bytes, 1, Flavor::Att, &|_| None).pop()
}

/// Decodes the instruction at `at`. Near the end of a readable page it may be
/// shorter than the longest one, so what can be read is taken. `None` when it is
/// no instruction.
pub fn instruction(memory: &dyn Memory, at: Addr) -> Result<Option<Insn>, Gap> {
    match memory.bytes(at, MAX_LEN) {
        Ok(bytes) => Ok(decode_one(at, &bytes)),
        Err(Gap::Fault(_)) => {
            let len = 0x1000 - at.0 % 0x1000;
            let bytes = memory.bytes(at, len.min(MAX_LEN as u64) as usize)?;
            Ok(decode_one(at, &bytes))
        }
        Err(miss) => Err(miss),
    }
}

/// The registers of an instruction that only copies one whole register to
/// another, and so can be done from outside: from, to.
pub fn copies_register(bytes: &[u8]) -> Option<(String, String)> {
    let mut decoder = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE);
    let instruction = decoder.decode();
    let whole = |operand| {
        let is_register = instruction.op_kind(operand) == OpKind::Register;
        is_register.then(|| instruction.op_register(operand)).filter(|r| r.is_gpr64())
    };
    if instruction.mnemonic() != Mnemonic::Mov {
        return None;
    }
    let name = |operand| whole(operand).map(|register| format!("{register:?}").to_lowercase());
    Some((name(1)?, name(0)?))
}

/// The call that ends where `before` ends, at `end`: where it goes, `None` for
/// a computed target. No answer where no call can end there. Bytes before the
/// call may look like a part of it, so of several readings a direct call wins.
pub fn call_ending_at(end: Addr, before: &[u8]) -> Option<Option<Addr>> {
    // `call rel32`, then `call r/m64` with up to a displacement of 32 bits and
    // a REX or segment prefix.
    [5, 2, 3, 4, 6, 7, 8].into_iter().find_map(|len| {
        let bytes = before.get(before.len().checked_sub(len)?..)?;
        let insn = decode_one(end.back(len as u64), bytes)?;
        match insn.flow {
            Flow::Call(target) if insn.bytes.len() == len => Some(target),
            _ => None,
        }
    })
}

/// The registers that no instruction in `code` writes, apart from what calls
/// do, among those named. None at all when some of it is no code.
pub fn never_written(code: &[u8], names: &[&'static str]) -> Vec<&'static str> {
    let mut left = names.to_vec();
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut infos = InstructionInfoFactory::new();
    let mut instruction = Instruction::default();
    while decoder.can_decode() && !left.is_empty() {
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            return Vec::new();
        }
        for used in infos.info(&instruction).used_registers() {
            let reads = matches!(used.access(), OpAccess::Read | OpAccess::CondRead);
            let written = format!("{:?}", used.register().full_register());
            left.retain(|name| reads || !written.eq_ignore_ascii_case(name));
        }
    }
    left
}

fn flow(instruction: &Instruction) -> Flow {
    let target = || Addr(instruction.near_branch_target());
    match instruction.flow_control() {
        FlowControl::Next => Flow::Next,
        FlowControl::UnconditionalBranch => Flow::Jump(target()),
        FlowControl::ConditionalBranch => Flow::Branch(target()),
        FlowControl::Call if instruction.is_call_near() => Flow::Call(Some(target())),
        FlowControl::IndirectCall => Flow::Call(None),
        FlowControl::Return if instruction.mnemonic() == Mnemonic::Ret => Flow::Return,
        FlowControl::IndirectBranch => Flow::Indirect,
        FlowControl::Exception if instruction.is_invalid() => Flow::Invalid,
        FlowControl::XbeginXabortXend => Flow::Next,
        FlowControl::Call
        | FlowControl::Return
        | FlowControl::Interrupt
        | FlowControl::Exception => Flow::Leave,
    }
}

fn formatter(flavor: Flavor) -> Box<dyn Formatter> {
    let mut formatter: Box<dyn Formatter> = match flavor {
        Flavor::Att => Box::new(GasFormatter::new()),
        Flavor::Intel => Box::new(IntelFormatter::new()),
    };
    let options = formatter.options_mut();
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_small_hex_numbers_in_decimal(false);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_rip_relative_addresses(true);
    // Intel's as gdb has it: `jmp 0x10`, `call 0x10`, sizes always said.
    options.set_show_branch_size(false);
    options.set_space_after_operand_separator(false);
    if flavor == Flavor::Intel {
        options.set_memory_size_options(iced_x86::MemorySizeOptions::Always);
        options.set_uppercase_keywords(true);
    }
    formatter
}

/// The address that an operand names, and whether it is data's.
fn refers_to(instruction: &Instruction) -> Option<(u64, bool)> {
    (0..instruction.op_count()).find_map(|operand| match instruction.op_kind(operand) {
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
            Some((instruction.near_branch_target(), false))
        }
        OpKind::Memory if instruction.is_ip_rel_memory_operand() => {
            Some((instruction.ip_rel_memory_address(), true))
        }
        _ => None,
    })
}

/// The text, with the name of a branch's target after it, and the address and
/// name of pc-relative data, as gdb and objdump do.
fn text(instruction: &Instruction, formatter: &mut dyn Formatter, name: &Namer<'_>) -> String {
    let mut out = String::new();
    formatter.format(instruction, &mut out);
    if let Some((address, data)) = refers_to(instruction) {
        if data {
            out.push_str(&format!(" # 0x{address:x}"));
        }
        if let Some(symbol) = name(Addr(address)) {
            out.push_str(&format!(" <{symbol}>"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Insn {
        decode_one(Addr(0xffff_ffff_8100_0000), bytes).unwrap()
    }

    #[test]
    fn flow_of_the_instructions_a_step_must_know() {
        let at = Addr(0xffff_ffff_8100_0000);
        assert_eq!(one(&[0x90]).flow, Flow::Next);
        assert_eq!(one(&[0xe8, 0xfb, 0, 0, 0]).flow, Flow::Call(Some(at.offset(0x100))));
        assert_eq!(one(&[0xff, 0xd0]).flow, Flow::Call(None));
        assert_eq!(one(&[0xeb, 0x0e]).flow, Flow::Jump(at.offset(0x10)));
        assert_eq!(one(&[0x74, 0x0e]).flow, Flow::Branch(at.offset(0x10)));
        assert_eq!(one(&[0xff, 0xe0]).flow, Flow::Indirect);
        assert_eq!(one(&[0xc3]).flow, Flow::Return);
        assert_eq!(one(&[0x48, 0xcf]).flow, Flow::Leave);
        assert_eq!(one(&[0x0f, 0x05]).flow, Flow::Leave);
        assert_eq!(one(&[0xcc]).flow, Flow::Leave);
    }

    #[test]
    fn names_follow_the_operand() {
        let namer = |at: Addr| (at == Addr(0x1100)).then(|| "vfs_read".to_string());
        let insns =
            decode(Addr(0x1000), &[0xe8, 0xfb, 0, 0, 0, 0xc3, 0xe8], 9, Flavor::Att, &namer);
        assert_eq!(insns.len(), 2, "the cut-off call is not returned");
        assert_eq!(insns[0].text, "call 0x1100 <vfs_read>");
        assert_eq!(insns[1].addr, insns[0].next());
    }

    #[test]
    fn both_flavors_name_data_by_its_address() {
        let namer = |at: Addr| (at == Addr(0x1107)).then(|| "jiffies".to_string());
        let text = |flavor, bytes: &[u8]| {
            decode(Addr(0x1000), bytes, 1, flavor, &namer).pop().unwrap().text
        };
        let load = [0x48, 0x8b, 0x05, 0, 1, 0, 0];
        assert_eq!(text(Flavor::Att, &load), "mov 0x100(%rip),%rax # 0x1107 <jiffies>");
        assert_eq!(text(Flavor::Intel, &load), "mov rax,QWORD PTR [rip+0x100] # 0x1107 <jiffies>");
        assert_eq!(text(Flavor::Intel, &[0x74, 0x0e]), "je 0x1010");
        assert_eq!(text(Flavor::Att, &[0x83, 0xf8, 0x03]), "cmp $0x3,%eax");
    }

    #[test]
    fn a_call_is_known_by_the_bytes_before_its_return_address() {
        let end = Addr(0xffff_ffff_8100_0010);
        let ending = |bytes: &[u8]| call_ending_at(end, bytes);
        assert_eq!(ending(&[0x90, 0x90, 0xe8, 0xf0, 0, 0, 0]), Some(Some(end.offset(0xf0))));
        assert_eq!(ending(&[0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd0]), Some(None));
        assert_eq!(ending(&[0x41, 0xff, 0xd4]), Some(None), "call *%r12");
        assert_eq!(ending(&[0xff, 0x14, 0xc5, 0, 0, 0, 0x81]), Some(None), "call *table(,%rax,8)");
        assert_eq!(ending(&[0x90; 8]), None);
        assert_eq!(ending(&[0xe8]), None);
    }

    #[test]
    fn registers_that_a_function_leaves_alone_are_known() {
        let names = ["rbx", "rbp", "r12"];
        // rep movsb; mov %ecx,%eax; ret
        assert_eq!(never_written(&[0xf3, 0xa4, 0x89, 0xc8, 0xc3], &names), names);
        // push %rbx; mov %edi,%ebx; pop %rbx; xor %r12d,%r12d; ret
        let code = [0x53, 0x89, 0xfb, 0x5b, 0x45, 0x31, 0xe4, 0xc3];
        assert_eq!(never_written(&code, &names), ["rbp"]);
        assert_eq!(never_written(&[0x06], &names), [""; 0]);
    }

    #[test]
    fn a_copy_of_a_register_is_known() {
        let copies = |bytes: &[u8]| copies_register(bytes);
        let names = |from: &str, to: &str| Some((from.to_owned(), to.to_owned()));
        assert_eq!(copies(&[0x48, 0x89, 0xfb]), names("rdi", "rbx"));
        assert_eq!(copies(&[0x4c, 0x8b, 0xe7]), names("rdi", "r12"));
        assert_eq!(copies(&[0x89, 0xfb]), None, "half a register is no copy");
        assert_eq!(copies(&[0x48, 0x8b, 0x1f]), None, "from memory");
        assert_eq!(copies(&[0x48, 0x0f, 0x44, 0xdf]), None, "under a condition");
        assert_eq!(copies(&[]), None);
    }

    #[test]
    fn bytes_that_are_no_instruction_are_said_to_be_so() {
        let insns = decode(Addr(0), &[0x06; 40], 2, Flavor::Att, &|_| None);
        assert_eq!(insns[0].flow, Flow::Invalid);
    }
}
