//! The rows of one unit's line table, decoded and kept in 12 bytes each.
//!
//! The line program is run here and not by gimli: a question about a header
//! runs those of 2,000 units, and most of that was building rows that nobody
//! asked for. What a program may do is in DWARF 5, 6.2.5, what is before it
//! in 6.2.4; of that the names of files, most of it, are passed over.

/// One row.
#[derive(Clone, Copy, Debug)]
pub(in crate::symbols) struct Row {
    pub addr: u64,
    pub file: u32,
    pub line: u32,
    pub column: u16,
    pub is_stmt: bool,
    /// It goes on with the row before it: the same line, cut in pieces by
    /// discriminators or columns. gdb drops such rows (`dwarf_record_line_p`
    /// in gdb/dwarf2/read.c).
    pub goes_on: bool,
    /// It goes on with a line that has a statement already: not a place of
    /// its own to stop at.
    pub again: bool,
}

/// A row as it is kept.
#[derive(Clone, Copy, Debug)]
struct Packed {
    /// From the start of its sequence.
    at: u32,
    /// The line, and three flags on top.
    line: u32,
    file: u16,
    column: u16,
}

const STMT: u32 = 1 << 31;
const AGAIN: u32 = 1 << 30;
const GOES_ON: u32 = 1 << 29;
const LINE: u32 = GOES_ON - 1;

/// The rows of one unit: sequences of ascending addresses.
#[derive(Debug, Default)]
pub(in crate::symbols) struct Rows {
    rows: Vec<Packed>,
    /// By start.
    sequences: Vec<Sequence>,
}

/// Rows that cover `start..end` without a gap.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    start: u64,
    end: u64,
    rows: (u32, u32),
}

impl Packed {
    /// Without the address.
    fn new(row: &Row) -> Packed {
        let flag = |flag, set| if set { flag } else { 0 };
        Packed {
            at: 0,
            line: row.line.min(LINE)
                | flag(STMT, row.is_stmt)
                | flag(AGAIN, row.again)
                | flag(GOES_ON, row.goes_on),
            file: u16::try_from(row.file).unwrap_or(u16::MAX),
            column: row.column,
        }
    }

    fn row(self, sequence: &Sequence) -> Row {
        Row {
            addr: sequence.start + u64::from(self.at),
            file: self.file.into(),
            line: self.line & LINE,
            column: self.column,
            is_stmt: self.line & STMT != 0,
            goes_on: self.line & GOES_ON != 0,
            again: self.line & AGAIN != 0,
        }
    }
}

impl Rows {
    /// Decodes the line table at the start of `table`; what comes before
    /// damage is kept.
    pub fn read(table: &[u8]) -> Rows {
        let mut out = Rows::default();
        each_sequence(table, |_| true, |rows, end| out.add(rows, end));
        out.sequences.sort_by_key(|sequence| sequence.start);
        out.rows.shrink_to_fit();
        out
    }

    /// Adds a sequence that ends at `end`. Code the linker dropped starts at
    /// zero; it is left out.
    fn add(&mut self, rows: &mut [Row], end: u64) {
        // Nearly always sorted already, and then this is one pass.
        rows.sort_by_key(|row| row.addr);
        let start = rows.first().map_or(0, |row| row.addr);
        if start == 0 || end <= start || end - start > u32::MAX.into() {
            return;
        }
        let first = self.rows.len() as u32;
        let inside = rows.iter().filter(|row| row.addr <= end);
        self.rows
            .extend(inside.map(|row| Packed { at: (row.addr - start) as u32, ..Packed::new(row) }));
        self.sequences.push(Sequence { start, end, rows: (first, self.rows.len() as u32) });
    }

    /// Every row with the end of its code, by sequence. Of several rows at
    /// one address only the last has code of its own; as gdb does, the last
    /// one that begins a statement stands for it when the last does not.
    pub fn spans(&self, start: u64, end: u64) -> Vec<(Row, u64)> {
        let mut out = Vec::new();
        for sequence in &self.sequences {
            if sequence.start >= end {
                break;
            }
            if sequence.end > start {
                self.spans_in(sequence, start, end, &mut |row, next| out.push((row, next)));
            }
        }
        out
    }

    /// The row whose code holds `addr`, and the end of that.
    pub fn at(&self, addr: u64) -> Option<(Row, u64)> {
        let after = self.sequences.partition_point(|sequence| sequence.start <= addr);
        let mut near = self.sequences[..after].iter().rev().take(8);
        let sequence = near.find(|sequence| addr < sequence.end)?;
        let mut found = None;
        let end = addr.saturating_add(1);
        self.spans_in(sequence, addr, end, &mut |row, next| found = Some((row, next)));
        found
    }

    fn spans_in(&self, sequence: &Sequence, start: u64, end: u64, emit: &mut dyn FnMut(Row, u64)) {
        let rows = &self.rows[sequence.rows.0 as usize..sequence.rows.1 as usize];
        let addr = |row: &Packed| sequence.start + u64::from(row.at);
        let from = rows.partition_point(|row| addr(row) <= start).saturating_sub(1);
        // Back to the first row of the same address.
        let mut at = from;
        while at > 0 && rows[at - 1].at == rows[from].at {
            at -= 1;
        }
        while at < rows.len() && addr(&rows[at]) < end {
            let group = rows[at..].iter().take_while(|row| row.at == rows[at].at).count();
            let next = rows.get(at + group).map_or(sequence.end, addr);
            let same = &rows[at..at + group];
            let begins = |row: &&Packed| row.line & (STMT | GOES_ON) == STMT;
            let row = same.iter().rev().find(begins).unwrap_or(&same[group - 1]);
            let row = row.row(sequence);
            if next > start && next > row.addr {
                emit(row, next);
            }
            at += group;
        }
    }

    /// Every row as it is in the table.
    pub fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        self.sequences.iter().flat_map(|sequence| {
            let rows = &self.rows[sequence.rows.0 as usize..sequence.rows.1 as usize];
            rows.iter().map(|row| row.row(sequence))
        })
    }
}

/// The rows of a table that one question wants; nothing is kept.
pub(in crate::symbols) fn some_rows(table: &[u8], wanted: impl Fn(&Row) -> bool) -> Vec<Row> {
    let mut out = Vec::new();
    each_sequence(table, wanted, |rows, end| {
        let start = rows.iter().map(|row| row.addr).min().unwrap_or(0);
        if start != 0 && end > start {
            out.extend_from_slice(rows);
        }
    });
    out
}

/// Runs a line program: the wanted rows of each sequence, and where it ends. A
/// sequence without an end is damage.
fn each_sequence(
    table: &[u8],
    wanted: impl Fn(&Row) -> bool,
    mut sequence: impl FnMut(&mut [Row], u64),
) {
    let Some(mut machine) = Machine::new(table) else { return };
    let mut rows = Vec::new();
    // Of the rows of one line in a row: whether there was a discriminator,
    // and whether there was a statement.
    let (mut pieces, mut stmt) = (false, false);
    let mut last: Option<(u64, u64)> = None;
    while let Some(what) = machine.next() {
        if what == Made::End {
            sequence(&mut rows, machine.addr);
            rows.clear();
            (pieces, stmt, last) = (false, false, None);
            machine.restart();
            continue;
        }
        let same_line = last.is_some_and(|(line, _)| line == machine.line);
        let same_file = last.is_some_and(|(_, file)| file == machine.file);
        last = Some((machine.line, machine.file));
        pieces = machine.discriminator != 0 || pieces && same_line;
        let after_stmt = stmt && same_line && same_file;
        stmt = machine.is_stmt || after_stmt;
        let small = |value: u64| u32::try_from(value).unwrap_or(0);
        let row = Row {
            addr: machine.addr,
            file: small(machine.file),
            line: small(machine.line),
            column: u16::try_from(machine.column).unwrap_or(0),
            is_stmt: machine.is_stmt,
            goes_on: pieces && same_line && same_file,
            again: pieces && after_stmt,
        };
        machine.discriminator = 0;
        if wanted(&row) {
            rows.push(row);
        }
    }
}

/// What an instruction made.
#[derive(PartialEq, Eq)]
enum Made {
    Row,
    /// The end of a sequence.
    End,
}

/// The state machine of a line program (DWARF 5, 6.2.2).
struct Machine<'a> {
    code: &'a [u8],
    /// Operands of standard instructions, from number 1 on.
    operands: &'a [u8],
    opcode_base: u8,
    default_stmt: bool,
    /// By special instruction: how many operations it advances, and lines.
    special: [(u8, i16); 256],
    length: u64,
    operations: u64,
    addr: u64,
    operation: u64,
    file: u64,
    line: u64,
    column: u64,
    discriminator: u64,
    is_stmt: bool,
    /// The linker dropped this code: no rows until the next address.
    dropped: bool,
}

impl<'a> Machine<'a> {
    /// The program of the table at the start of `table`.
    fn new(table: &'a [u8]) -> Option<Machine<'a>> {
        let mut rest = table;
        // 0xffffffff says that 8 bytes of length follow.
        let (wide, len) = match number(&mut rest, 4)? {
            0xffff_ffff => (8, number(&mut rest, 8)?),
            len => (4, len),
        };
        rest = rest.get(..usize::try_from(len).ok()?)?;
        let version = number(&mut rest, 2)?;
        if !(2..=5).contains(&version) {
            return None;
        }
        if version == 5 {
            // The sizes of an address and of a segment selector.
            number(&mut rest, 2)?;
        }
        let header = usize::try_from(number(&mut rest, wide)?).ok()?;
        let code = rest.get(header..)?;
        let length = byte(&mut rest)?.into();
        let operations = if version >= 4 { byte(&mut rest)?.into() } else { 1 };
        let default_stmt = byte(&mut rest)? != 0;
        let line_base = i16::from(byte(&mut rest)? as i8);
        let (range, opcode_base) = (byte(&mut rest)?, byte(&mut rest)?);
        let operands = rest.get(..usize::from(opcode_base).checked_sub(1)?)?;
        let mut special = [(0, 0); 256];
        for opcode in opcode_base..=255 {
            let adjusted = opcode - opcode_base;
            let (advance, line) = (adjusted.checked_div(range)?, adjusted.checked_rem(range)?);
            special[usize::from(opcode)] = (advance, line_base + i16::from(line));
        }
        let (addr, operation, file, line) = (0, 0, 1, 1);
        Some(Machine {
            code,
            operands,
            opcode_base,
            default_stmt,
            special,
            length,
            operations,
            addr,
            operation,
            file,
            line,
            column: 0,
            discriminator: 0,
            is_stmt: default_stmt,
            dropped: false,
        })
    }

    /// The state a sequence begins in.
    fn restart(&mut self) {
        (self.addr, self.operation, self.file, self.line) = (0, 0, 1, 1);
        (self.column, self.discriminator) = (0, 0);
        (self.is_stmt, self.dropped) = (self.default_stmt, false);
    }

    /// Runs to the next row or end of a sequence; `None` at the end of the
    /// program or at damage.
    fn next(&mut self) -> Option<Made> {
        loop {
            let opcode = self.byte()?;
            if opcode >= self.opcode_base {
                let (advance, lines) = self.special[usize::from(opcode)];
                self.advance_line(lines.into());
                self.advance(advance.into())?;
                if self.dropped {
                    self.discriminator = 0;
                    continue;
                }
                return Some(Made::Row);
            }
            match opcode {
                0 => {
                    if self.extended()? {
                        if self.dropped {
                            // An end before every row: there is no sequence.
                            self.addr = 0;
                        }
                        return Some(Made::End);
                    }
                }
                1 if self.dropped => self.discriminator = 0,
                1 => return Some(Made::Row),
                2 => {
                    let advance = self.unsigned()?;
                    self.advance(advance)?;
                }
                3 => {
                    let lines = signed(&mut self.code)?;
                    self.advance_line(lines);
                }
                4 => self.file = self.unsigned()?,
                5 => self.column = self.unsigned()?,
                6 => self.is_stmt = !self.is_stmt,
                // A basic block, the end of a prologue, the start of an
                // epilogue: nobody asks.
                7 | 10 | 11 => {}
                8 => self.advance(self.special[255].0.into())?,
                9 => {
                    let bytes = self.bytes(2)?;
                    if !self.dropped {
                        let by = u16::from_le_bytes([bytes[0], bytes[1]]);
                        self.addr = self.addr.checked_add(by.into())?;
                        self.operation = 0;
                    }
                }
                other => {
                    let operands = self.operands.get(usize::from(other) - 1).copied()?;
                    for _ in 0..operands {
                        self.unsigned()?;
                    }
                }
            }
        }
    }

    /// An extended instruction; whether it ends the sequence.
    fn extended(&mut self) -> Option<bool> {
        let len = usize::try_from(self.unsigned()?).ok()?;
        let code = self.bytes(len)?;
        let (&opcode, operand) = code.split_first()?;
        match opcode {
            1 => return Some(true),
            2 => {
                let mut addr = [0; 8];
                let len = operand.len().min(8);
                addr[..len].copy_from_slice(&operand[..len]);
                let addr = u64::from_le_bytes(addr);
                // DWARF says -1, linkers leave 0 or an addend; none of them
                // goes up, and in a sequence addresses do.
                self.dropped = addr < self.addr || addr >= u64::MAX - 1;
                if !self.dropped {
                    (self.addr, self.operation) = (addr, 0);
                }
            }
            4 => {
                let mut operand = operand;
                self.discriminator = unsigned(&mut operand)?;
            }
            _ => {}
        }
        Some(false)
    }

    fn advance_line(&mut self, by: i64) {
        self.line = match by < 0 {
            true => self.line.saturating_sub(by.unsigned_abs()),
            false => self.line.wrapping_add(by.unsigned_abs()),
        };
    }

    fn advance(&mut self, operations: u64) -> Option<()> {
        if self.dropped {
            return Some(());
        }
        let bytes = match self.operations {
            0 | 1 => self.length.wrapping_mul(operations),
            several => {
                let all = self.operation.wrapping_add(operations);
                self.operation = all % several;
                self.length.wrapping_mul(all / several)
            }
        };
        self.addr = self.addr.checked_add(bytes)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        byte(&mut self.code)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.code.split_at_checked(len)?;
        self.code = rest;
        Some(bytes)
    }

    fn unsigned(&mut self) -> Option<u64> {
        unsigned(&mut self.code)
    }
}

/// An unsigned number of `len` bytes.
fn number(code: &mut &[u8], len: usize) -> Option<u64> {
    let (bytes, rest) = code.split_at_checked(len)?;
    *code = rest;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn byte(code: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = code.split_first()?;
    *code = rest;
    Some(byte)
}

/// A number in LEB128 (DWARF 5, 7.6).
fn unsigned(code: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = byte(code)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The same with a sign.
fn signed(code: &mut &[u8]) -> Option<i64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = byte(code)?;
        value |= i64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let left = 64 - (shift + 7).min(64);
            return Some(value << left >> left);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(addr: u64, line: u32, is_stmt: bool) -> Row {
        Row { addr, file: 1, line, column: 0, is_stmt, goes_on: false, again: false }
    }

    #[test]
    fn of_rows_at_one_address_the_last_statement_stands() {
        let mut rows = Rows::default();
        let mut sequence =
            [row(0x10, 1, true), row(0x14, 2, true), row(0x14, 3, false), row(0x18, 4, false)];
        rows.add(&mut sequence, 0x20);
        let lines = |start, end| -> Vec<(u32, u64)> {
            rows.spans(start, end).iter().map(|(row, end)| (row.line, *end)).collect()
        };
        assert_eq!(lines(0x10, 0x20), [(1, 0x14), (2, 0x18), (4, 0x20)]);
        assert_eq!(lines(0x15, 0x16), [(2, 0x18)]);
        assert_eq!(lines(0x1f, 0x100), [(4, 0x20)]);
        assert_eq!(lines(0x20, 0x100), []);
        assert_eq!(lines(0, 0x10), []);
        for addr in 0xf..0x21 {
            let at = rows.at(addr).map(|(row, end)| (row.line, end));
            assert_eq!(at, lines(addr, addr + 1).first().copied(), "{addr:#x}");
        }
    }

    #[test]
    fn numbers_of_every_length() {
        assert_eq!(signed(&mut &[0x7f][..]), Some(-1));
        assert_eq!(signed(&mut &[0x80, 0x7f][..]), Some(-128));
        assert_eq!(signed(&mut &[0x3f][..]), Some(63));
        assert_eq!(unsigned(&mut &[0xe5, 0x8e, 0x26][..]), Some(624_485));
        assert_eq!(unsigned(&mut &[0xff; 10][..]), None);
        assert_eq!(unsigned(&mut &[0x80][..]), None);
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(unsigned(&mut &most[..]), Some(u64::MAX));
    }
}
