//! One machine instruction: its text for people and where control can go
//! after it. Decoding is by iced-x86 and always over live bytes of the guest,
//! because the kernel patches its own text (alternatives, ftrace, jump labels).

use crate::base::addr::Addr;
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, GasFormatter, Instruction, Mnemonic, OpKind,
};

/// The longest x86 instruction in bytes (Intel SDM volume 2, 2.3.11).
pub const MAX_LEN: usize = 15;

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
    /// AT&T text as the kernel's own tools print it, with symbol names.
    pub text: String,
    /// Where control goes after it.
    pub flow: Flow,
}

impl Insn {
    /// The address after it.
    pub fn next(&self) -> Addr {
        self.addr.offset(self.bytes.len() as u64)
    }
}

/// Names an address as `symbol` or `symbol+0x10`; `None` leaves the number.
pub type Namer<'a> = dyn Fn(Addr) -> Option<String> + 'a;

/// Decodes up to `count` instructions from the bytes at `start`. Ends early at
/// the end of `bytes`; an instruction cut off by that end is not returned.
pub fn decode(start: Addr, bytes: &[u8], count: usize, name: &Namer<'_>) -> Vec<Insn> {
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
            text: text(&instruction, name),
            flow: flow(&instruction),
            bytes: raw,
        });
    }
    out
}

/// Decodes one instruction for its flow alone.
pub fn decode_one(at: Addr, bytes: &[u8]) -> Option<Insn> {
    decode(at, bytes, 1, &|_| None).pop()
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

/// The text, with the name of a branch target or of a pc-relative operand
/// after it as objdump does.
fn text(instruction: &Instruction, name: &Namer<'_>) -> String {
    let mut out = String::new();
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    formatter.format(instruction, &mut out);
    for operand in 0..instruction.op_count() {
        let address = match instruction.op_kind(operand) {
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                instruction.near_branch_target()
            }
            OpKind::Memory if instruction.is_ip_rel_memory_operand() => {
                instruction.ip_rel_memory_address()
            }
            _ => continue,
        };
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
        let insns = decode(Addr(0x1000), &[0xe8, 0xfb, 0, 0, 0, 0xc3, 0xe8], 9, &namer);
        assert_eq!(insns.len(), 2, "the cut-off call is not returned");
        assert_eq!(insns[0].text, "call 0x1100 <vfs_read>");
        assert_eq!(insns[1].addr, insns[0].next());
    }

    #[test]
    fn bytes_that_are_no_instruction_are_said_to_be_so() {
        let insns = decode(Addr(0), &[0x06; 40], 2, &|_| None);
        assert_eq!(insns[0].flow, Flow::Invalid);
    }
}
