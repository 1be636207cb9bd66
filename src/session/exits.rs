//! Where control can leave a source line: the instructions that can be reached
//! from the pc without leaving the line are decoded, and every way out of them
//! is an exit. One resume with breakpoints on the exits then does what would
//! take a packet exchange for each instruction otherwise.

use crate::arch::insn::{Flow, MAX_LEN, instruction};
use crate::base::{
    addr::Addr,
    memory::{Gap, Memory},
};
use crate::symbols::{
    answer::{CodeFrame, LineRow},
    placed::Symbols,
};
use std::collections::BTreeSet;

/// A line with so many instructions is not walked but stepped.
const MOST_INSTRUCTIONS: usize = 2000;

/// The line a step started on, in the frame it started in.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Functions from the outermost (not inlined) one in, and the line each is
    /// at; the innermost is the one that is stepped.
    chain: Vec<(String, Option<u32>)>,
    /// Whether code inlined in this line belongs to it (`next`), or is
    /// another place (`step`).
    with_inlined: bool,
    /// Code that begins no statement, which the step goes through as if it
    /// were of the line.
    through: Option<(Addr, Addr)>,
    /// Whether every line of the innermost function counts as this one.
    whole: bool,
    /// Code that belongs to it whatever line it is of.
    before: Option<(Addr, Addr)>,
}

impl Line {
    /// The line at `pc` in the frame that is `outer` frames out of the
    /// innermost (inlined) one. `None` when there is no line there.
    pub fn at(symbols: &Symbols, pc: Addr, with_inlined: bool, outer: usize) -> Option<Line> {
        symbols.row_at(pc).filter(|row| row.line != 0)?;
        let frames = symbols.frames_at(pc);
        let frames = frames.get(outer..)?;
        frames.first()?.line?;
        Some(Line { chain: chain(frames), with_inlined, through: None, whole: false, before: None })
    }

    /// All the code of the function that is `outer` frames out of the
    /// innermost one at `addr`, what is inlined in it included.
    pub fn whole_function(symbols: &Symbols, addr: Addr, outer: usize) -> Option<Line> {
        let frames = symbols.frames_at(addr);
        let frames = frames.get(outer..).filter(|frames| !frames.is_empty())?;
        Some(Line {
            chain: chain(frames),
            with_inlined: true,
            through: None,
            whole: true,
            before: None,
        })
    }

    /// How many bytes from `addr` on belong to the line without a gap, as far
    /// as is worth reading at once.
    pub fn reach(&self, symbols: &Symbols, addr: Addr) -> u64 {
        const MOST: u64 = 160;
        let rows = symbols.rows_of(addr, addr.offset(MOST));
        let inside = rows.iter().take_while(|row| self.contains(symbols, row.start.max(addr)));
        inside.last().map_or(0, |row| row.end.since(addr).min(MOST))
    }

    /// With all the code of its function that is before the end of its row at
    /// `pc`, so that a jump back in a loop stays in it (gdb's
    /// `until_next_command`).
    pub fn and_all_before(mut self, symbols: &Symbols, pc: Addr) -> Line {
        let start = symbols.function_at(pc).map(|function| function.entry);
        let end = symbols.row_at(pc).map(|row| row.end);
        self.before = start.zip(end);
        self
    }

    /// How many functions deep the line is: 1 when it is in no inlined one.
    pub fn depth(&self) -> usize {
        self.chain.len()
    }

    /// Whether both are the same line of the same function.
    pub fn is_same_place(&self, other: &Line) -> bool {
        self.chain == other.chain
    }

    /// Whether `addr` still belongs to the line.
    pub fn contains(&self, symbols: &Symbols, addr: Addr) -> bool {
        let pieces = [self.through, self.before];
        if pieces.iter().flatten().any(|(start, end)| (*start..*end).contains(&addr)) {
            return true;
        }
        let other = chain(&symbols.frames_at(addr));
        let depth = self.chain.len();
        if other.len() < depth || (!self.with_inlined && other.len() != depth) {
            return false;
        }
        // Callers may be at any line of theirs as long as they are the same
        // functions: an inlined function may be reached from one line only,
        // but the compiler interleaves.
        let same_callers =
            self.chain[..depth - 1].iter().zip(&other).all(|(mine, theirs)| mine.0 == theirs.0);
        let (mine, theirs) = (&self.chain[depth - 1], &other[depth - 1]);
        same_callers && mine.0 == theirs.0 && (self.whole || mine.1 == theirs.1)
    }

    /// Lets the step go through a row on its way. Only the last one counts.
    pub fn go_through(&mut self, row: &LineRow) {
        self.through = Some((row.start, row.end));
    }

    /// Whether the frames at `addr` are those of the line's function or
    /// inlined in it.
    pub fn is_within_function(&self, symbols: &Symbols, addr: Addr) -> bool {
        let other = chain(&symbols.frames_at(addr));
        other.first().map(|f| &f.0) == self.chain.first().map(|f| &f.0)
    }
}

fn chain(frames: &[CodeFrame]) -> Vec<(String, Option<u32>)> {
    frames.iter().rev().map(|frame| (frame.function.clone(), frame.line)).collect()
}

/// How many inlined functions begin exactly at `pc`: a step that comes there
/// stands at their call, not yet inside (as gdb shows it).
pub fn begun_inlines(symbols: &Symbols, pc: Addr) -> usize {
    symbols.inline_ranges_at(pc).iter().take_while(|instance| instance.entry == pc).count()
}

/// Whether a step may end at `addr`: at the start of a row that begins a
/// statement.
pub fn begins_statement(row: &LineRow, addr: Addr) -> bool {
    row.start == addr && row.is_stmt && row.line != 0
}

/// The ways out of a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exits {
    /// Addresses outside the line that its code jumps or falls to.
    pub places: BTreeSet<Addr>,
    /// Call instructions in the line (only when calls are to be entered).
    pub calls: BTreeSet<Addr>,
    /// Whether the function can return from the line.
    pub returns: bool,
    /// Its last instructions: those that return or jump out of it.
    pub ends: BTreeSet<Addr>,
    /// Instructions whose target only the registers know, or that can't be
    /// decoded: from these on it takes instruction steps.
    pub unclear: BTreeSet<Addr>,
    /// How many instructions of the line can be reached.
    pub instructions: usize,
    /// How many of them an instruction step must not be used for: calls, which
    /// it would enter, what may not come back (`int`, `hlt`), and `pushf` and
    /// `popf`, which leak the step flag.
    pub delicate: usize,
}

/// Walks all code reachable from `pc` inside `inside`. `reach` is how many
/// bytes from an address on belong to the line: they are asked for together.
pub fn walk(
    memory: &dyn Memory,
    pc: Addr,
    stop_at_calls: bool,
    inside: impl Fn(Addr) -> bool,
    reach: impl Fn(Addr) -> u64,
) -> Result<Exits, Gap> {
    let mut exits = Exits::default();
    let mut seen = BTreeSet::new();
    let mut todo = vec![pc];
    let mut missed = None;
    while let Some(at) = todo.pop() {
        if !seen.insert(at) {
            continue;
        }
        if seen.len() > MOST_INSTRUCTIONS {
            exits.unclear.insert(pc);
            break;
        }
        if at != pc && !inside(at) {
            exits.places.insert(at);
            continue;
        }
        let insn = match instruction(memory, at) {
            Ok(Some(insn)) => insn,
            Ok(None) => {
                exits.unclear.insert(at);
                continue;
            }
            Err(gap) => {
                // Noted by whoever records misses; the answer is the same.
                let _ = memory.bytes(at, reach(at) as usize + MAX_LEN);
                missed = Some(gap);
                continue;
            }
        };
        exits.instructions += 1;
        let by_flow = matches!(insn.flow, Flow::Call(_) | Flow::Leave | Flow::Return);
        // pushf, popf (Intel SDM volume 2).
        if by_flow || matches!(insn.bytes[..], [0x9c] | [0x9d]) {
            exits.delicate += 1;
        }
        if match insn.flow {
            Flow::Return => true,
            Flow::Jump(to) | Flow::Branch(to) => !inside(to),
            _ => false,
        } {
            exits.ends.insert(at);
        }
        match insn.flow {
            // An `int`, `ud2` (WARN), `hlt` or the like comes back, if it does, after it.
            Flow::Next | Flow::Leave => todo.push(insn.next()),
            Flow::Jump(to) => todo.push(to),
            Flow::Branch(to) => todo.extend([insn.next(), to]),
            Flow::Call(_) if stop_at_calls => {
                exits.calls.insert(at);
            }
            Flow::Call(_) => todo.push(insn.next()),
            Flow::Return => exits.returns = true,
            Flow::Indirect | Flow::Invalid => {
                exits.unclear.insert(at);
            }
        }
    }
    match missed {
        Some(gap) => Err(gap),
        None => Ok(exits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::Sparse;

    const AT: u64 = 0xffff_ffff_8100_0000;

    fn code(bytes: &[u8]) -> Sparse {
        let mut memory = Sparse::new();
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len() + MAX_LEN, 0x90);
        memory.insert(Addr(AT), &padded);
        memory
    }

    #[test]
    fn every_way_out_is_found() {
        // test; je +4 -> 8; call; (8) ret; the line is bytes 0..9
        let bytes = [0x85, 0xc0, 0x74, 0x05, 0xe8, 0, 0, 0, 0, 0xeb, 0x10, 0xc3];
        let inside = |a: Addr| a.0 < AT + bytes.len() as u64;
        let exits = walk(&code(&bytes), Addr(AT), false, inside, |_| 0).unwrap();
        assert_eq!(exits.places, BTreeSet::from([Addr(AT + 0x1b)]));
        assert!(!exits.returns && exits.unclear.is_empty() && exits.calls.is_empty());
        let exits = walk(&code(&bytes), Addr(AT), true, inside, |_| 0).unwrap();
        assert_eq!(exits.calls, BTreeSet::from([Addr(AT + 4)]));
        assert_eq!(exits.places, BTreeSet::from([Addr(AT + 0x1b)]));
    }

    #[test]
    fn returns_loops_and_jumps_by_register() {
        let back = [0xeb, 0xfe];
        let exits = walk(&code(&back), Addr(AT), false, |_| true, |_| 0).unwrap();
        assert!(exits.places.is_empty() && !exits.returns, "a loop without a way out has none");
        assert_eq!(exits.instructions, 1);
        let exits = walk(&code(&[0xc3]), Addr(AT), false, |_| true, |_| 0).unwrap();
        assert!(exits.returns);
        assert_eq!(exits.ends, BTreeSet::from([Addr(AT)]));
        // je out; inc; jmp to the je; the last instruction is the je alone.
        let branch = [0x74, 0x40, 0xff, 0xc0, 0xeb, 0xfa];
        let inside = |a: Addr| a.0 < AT + branch.len() as u64;
        let exits = walk(&code(&branch), Addr(AT), false, inside, |_| 0).unwrap();
        assert_eq!(exits.ends, BTreeSet::from([Addr(AT)]));
        let exits = walk(&code(&[0x90, 0xff, 0xe0]), Addr(AT), false, |_| true, |_| 0).unwrap();
        assert_eq!(exits.unclear, BTreeSet::from([Addr(AT + 1)]));
    }

    #[test]
    fn code_that_is_not_read_is_a_miss() {
        let memory = Sparse::new();
        assert!(walk(&memory, Addr(AT), false, |_| true, |_| 0).is_err_and(|gap| gap.is_missing()));
    }
}
