//! `x`: memory as it is, unit by unit.

use super::{
    answer::{Answer, Failure},
    request::Examining,
    run::Session,
    symbol_answer::CodeAnswer,
};
use crate::arch::insn::{Insn, MAX_LEN};
use crate::base::{addr::Addr, memory::Gap, text};
use crate::eval::{ctype::Basic, ctype::CType, typed::Typed};
use std::sync::Arc;

/// The longest text `x/s` reads.
const LONGEST_TEXT: usize = 256;

/// Units of one command at most.
const MOST: u32 = 4096;

/// What `x` showed last: a bare `x` goes on there.
#[derive(Clone, Copy, Debug)]
pub struct Examined {
    format: char,
    unit: u32,
    next: Option<Addr>,
}

impl Default for Examined {
    /// gdb's.
    fn default() -> Examined {
        Examined { format: 'x', unit: 4, next: None }
    }
}

impl Examined {
    /// The format and unit of the next, from what is said of them: what is not
    /// said stays, except that some formats have a size of their own.
    fn with(self, asked: &Examining) -> Examined {
        let format = asked.format.unwrap_or(self.format);
        let unit = match (asked.unit, format) {
            (Some(unit), _) => unit,
            (None, 'a') => 8,
            (None, 'c') if asked.format.is_some() => 1,
            (None, 's') => 1,
            (None, 'f') if self.unit < 4 => 8,
            (None, _) => self.unit,
        };
        Examined { format, unit, ..self }
    }
}

impl Session {
    /// `x/NFU EXPRESSION`.
    pub(super) async fn examine(&mut self, asked: &Examining) -> Result<Answer, Failure> {
        let examined = self.scratch.examined.with(asked);
        let (format, unit) = (examined.format, examined.unit);
        let count = asked.count.unwrap_or(1);
        if count == 0 || count.unsigned_abs() > MOST {
            return Err(Failure::Other(format!(
                "the count must be from 1 to {MOST}, or below zero"
            )));
        }
        if !(format == 'i' && self.is_offline()) {
            self.need_stopped()?;
        }
        let start = match asked.address.trim() {
            "" => examined.next.ok_or_else(|| Failure::Other("an address is missing".into()))?,
            text => self.examined_address(text).await?,
        };
        let back = match (count < 0, format) {
            (true, 's' | 'i') => {
                return Err(Failure::Other(
                    "texts and instructions have no fixed size, so there is no going back".into(),
                ));
            }
            (true, _) => u64::from(count.unsigned_abs()) * u64::from(unit),
            (false, _) => 0,
        };
        let (at, count) = (start.back(back), count.unsigned_abs());
        let (answer, next) = match format {
            'i' => self.examine_code(at, count).await?,
            's' => self.examine_text(at, count).await?,
            _ => self.examine_units(at, count, unit, format).await?,
        };
        self.scratch.examined =
            Examined { next: Some(if back > 0 { at } else { next }), ..examined };
        // gdb's $_ is the last address that was examined.
        let last = next.back(u64::from(unit));
        let ty = CType::Basic(Basic::Void).pointer();
        let value = Typed::of_bytes(ty, &last.0.to_le_bytes());
        Arc::make_mut(&mut self.scratch.kept).set("_".into(), value);
        Ok(answer)
    }

    /// Where `x` looks: an expression, else a location.
    pub(super) async fn examined_address(&mut self, text: &str) -> Result<Addr, Failure> {
        match self.address_of(text).await {
            Ok(address) => Ok(address),
            Err(why @ Failure::Expression { .. }) => self.address(text).map_err(|_| why),
            Err(why) => Err(why),
        }
    }

    async fn examine_code(&mut self, at: Addr, count: u32) -> Result<(Answer, Addr), Failure> {
        let symbols = self.usable_symbols();
        let len = u64::from(count) * MAX_LEN as u64;
        let insns = match self.is_offline() {
            true => self.file_instructions(&symbols, at, len, count as usize)?,
            false => self.instructions(at, len, count as usize).await?,
        };
        let end = insns.last().map_or(at, Insn::next);
        let rows = symbols.rows_of(at, end);
        let instructions = self.insn_answers(&symbols, insns, &rows);
        let code = CodeAnswer { instructions, ..CodeAnswer::default() };
        Ok((Answer::Code(Box::new(code)), end))
    }

    async fn examine_text(&mut self, at: Addr, count: u32) -> Result<(Answer, Addr), Failure> {
        let symbols = self.usable_symbols();
        let (mut values, mut lines) = (Vec::new(), Vec::new());
        let mut next = at;
        for _ in 0..count {
            let from = next;
            let read = self.compute(move |_, memory| memory.c_string(from, LONGEST_TEXT)).await?;
            let value = match read {
                Ok(value) => value,
                Err(_) if !values.is_empty() => break,
                Err(gap) => return Err(Failure::Other(gap.to_string())),
            };
            // A text that is longer goes on in the next.
            let ended = usize::from(value.len() < LONGEST_TEXT);
            next = from.offset((value.len() + ended) as u64);
            let name = symbols.describe(from).map_or(String::new(), |name| format!(" <{name}>"));
            lines.push(format!("{from}{name}:\t\"{}\"", text::printable(&value)));
            values.push(value);
        }
        let text = lines.join("\n");
        Ok((Answer::Memory { address: at, unit: 1, values, text }, next))
    }

    async fn examine_units(
        &mut self,
        at: Addr,
        count: u32,
        unit: u32,
        format: char,
    ) -> Result<(Answer, Addr), Failure> {
        let symbols = self.usable_symbols();
        let len = count as usize * unit as usize;
        let read = self.compute(move |_, memory| memory.bytes(at, len)).await?;
        let bytes = match read {
            Ok(bytes) => bytes,
            // What comes before the page that can't be read is shown.
            Err(gap) => self.readable(at, len, unit, gap).await?,
        };
        let values: Vec<String> = bytes
            .chunks_exact(unit as usize)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                formatted(u64::from_le_bytes(word), unit, format, |addr| symbols.describe(addr))
            })
            .collect();
        // As many in a row as gdb has.
        let per_row = match unit {
            8 => 2,
            4 => 4,
            _ => 8,
        };
        let rows = values.chunks(per_row).enumerate().map(|(row, values)| {
            let start = at.offset((row * per_row) as u64 * u64::from(unit));
            let name = symbols.describe(start).map_or(String::new(), |name| format!(" <{name}>"));
            format!("{start}{name}:\t{}", values.join("\t"))
        });
        let mut lines: Vec<String> = rows.collect();
        let end = at.offset(bytes.len() as u64);
        if bytes.len() < len {
            lines.push(format!("{end}: can't be read in the guest"));
        }
        let text = lines.join("\n");
        Ok((Answer::Memory { address: at, unit, values, text }, end))
    }

    /// The whole units before what the guest can't read.
    async fn readable(
        &mut self,
        at: Addr,
        len: usize,
        unit: u32,
        gap: Gap,
    ) -> Result<Vec<u8>, Failure> {
        let page = crate::base::memory::PAGE;
        let mut known = Vec::new();
        while known.len() < len {
            let from = at.offset(known.len() as u64);
            let piece = ((page - from.0 % page) as usize).min(len - known.len());
            match self.compute(move |_, memory| memory.bytes(from, piece)).await? {
                Ok(bytes) => known.extend(bytes),
                Err(_) => break,
            }
        }
        known.truncate(known.len() / unit as usize * unit as usize);
        if known.is_empty() { Err(Failure::Other(gap.to_string())) } else { Ok(known) }
    }
}

fn formatted(
    value: u64,
    unit: u32,
    format: char,
    describe: impl Fn(Addr) -> Option<String>,
) -> String {
    let (width, bits) = (unit as usize * 2, unit as usize * 8);
    let shift = 64 - unit * 8;
    let signed = ((value << shift) as i64) >> shift;
    match format {
        'd' => signed.to_string(),
        'u' => value.to_string(),
        'o' if value == 0 => "0".to_string(),
        'o' => format!("0{value:o}"),
        't' => format!("{value:0bits$b}"),
        'c' => match value as u8 {
            byte @ 0x20..=0x7e => format!("{} '{}'", byte as i8, byte as char),
            byte => format!("{} '\\{byte:03o}'", byte as i8),
        },
        'a' => match describe(Addr(value)) {
            Some(name) => format!("0x{value:x} <{name}>"),
            None => format!("0x{value:x}"),
        },
        'f' if unit == 8 => f64::from_bits(value).to_string(),
        'f' if unit == 4 => f32::from_bits(value as u32).to_string(),
        'f' => signed.to_string(),
        _ => format!("0x{value:0width$x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_gdbs() {
        let plain = |value, unit, format| formatted(value, unit, format, |_| None);
        assert_eq!(plain(0xff, 1, 'x'), "0xff");
        assert_eq!(plain(0xff, 1, 'd'), "-1");
        assert_eq!(plain(0xff, 4, 'd'), "255");
        assert_eq!(plain(0xffff_ffff, 4, 'x'), "0xffffffff");
        assert_eq!(plain(8, 2, 'o'), "010");
        assert_eq!(plain(0, 2, 'o'), "0");
        assert_eq!(plain(5, 1, 't'), "00000101");
        assert_eq!(plain(0x61, 1, 'c'), "97 'a'");
        assert_eq!(plain(0, 1, 'c'), "0 '\\000'");
        assert_eq!(plain(0x3ff8_0000_0000_0000, 8, 'f'), "1.5");
        assert_eq!(formatted(0x10, 8, 'a', |_| Some("f+0x1".into())), "0x10 <f+0x1>");
    }

    #[test]
    fn what_is_not_said_stays() {
        let asked = |unit, format| Examining { unit, format, ..Examining::default() };
        let first = Examined::default().with(&asked(Some(8), Some('x')));
        assert_eq!((first.format, first.unit), ('x', 8));
        let second = first.with(&asked(None, Some('d')));
        assert_eq!((second.format, second.unit), ('d', 8));
        let text = second.with(&asked(None, Some('s')));
        assert_eq!((text.format, text.unit), ('s', 1));
        let char = second.with(&asked(None, Some('c')));
        assert_eq!((char.format, char.unit), ('c', 1));
        let addr = Examined::default().with(&asked(None, Some('a')));
        assert_eq!((addr.format, addr.unit), ('a', 8));
    }
}
