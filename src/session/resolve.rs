//! What a user names (`vfs_read`, `fs/read_write.c:451`, `hgfs!init`,
//! `*0xffff…`) to addresses in the guest.

use super::breakpoints::Site;
use crate::base::addr::{Addr, parse_number};
use crate::symbols::{answer::LineMiss, placed::Symbols};

/// A location as it was written, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `*0xffff…`, `*symbol+0x10`, or a bare number.
    Address(String),
    /// `file.c:42`.
    Line(String, u32),
    /// `42`: a line of the file that is shown.
    LineHere(u32),
    /// `vfs_read`, `hgfs!HgfsSendRequest`.
    Function(String),
}

impl Location {
    /// Takes a location apart.
    pub fn parse(text: &str) -> Result<Location, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("a location is missing: FUNCTION, FILE:LINE or *ADDRESS".into());
        }
        if let Some(expression) = text.strip_prefix('*') {
            return Ok(Location::Address(expression.trim().to_string()));
        }
        if text.starts_with("0x") || text.starts_with('$') {
            return Ok(Location::Address(text.to_string()));
        }
        if let Some((file, line)) = text.rsplit_once(':') {
            let line = line.trim().parse().map_err(|_| {
                format!("'{line}' is no line number; write FILE:LINE, such as fs/read_write.c:451")
            })?;
            return Ok(Location::Line(file.trim().to_string(), line));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            let line = text.parse().map_err(|_| format!("'{text}' is no line number"))?;
            return Ok(Location::LineHere(line));
        }
        Ok(Location::Function(text.to_string()))
    }
}

/// What is needed to resolve a location besides the symbols.
#[derive(Clone, Copy, Default)]
pub struct Here<'a> {
    /// The file of the selected frame, as DWARF has it.
    pub file: Option<&'a str>,
    /// Values of `$registers`.
    pub registers: Option<&'a crate::arch::Registers>,
}

/// Every place a breakpoint at this location needs.
pub fn sites(symbols: &Symbols, text: &str, here: Here<'_>) -> Result<Vec<Site>, String> {
    let mut places = match Location::parse(text)? {
        Location::Address(expression) => vec![address(symbols, &expression, here)?],
        Location::Line(file, line) => return line_sites(symbols, &file, line),
        Location::LineHere(line) => {
            let file = here.file.ok_or("no file is shown, so a line needs one: FILE:LINE")?;
            return line_sites(symbols, file, line);
        }
        Location::Function(name) => {
            let found = symbols.find_functions(&name);
            if found.is_empty() {
                return Err(unknown_function(symbols, &name));
            }
            found.iter().map(|f| if f.inlined { f.entry } else { f.after_prologue }).collect()
        }
    };
    places.sort_unstable();
    places.dedup();
    Ok(places.into_iter().map(|addr| site(symbols, addr)).collect())
}

/// The one address a location means for `list`, `disassemble`, `x`, …: the
/// entry of a function, the first address of a line.
pub fn one(symbols: &Symbols, text: &str, here: Here<'_>) -> Result<Addr, String> {
    match Location::parse(text)? {
        Location::Address(expression) => address(symbols, &expression, here),
        Location::Line(file, line) => first(lines(symbols, &file, line)?),
        Location::LineHere(line) => {
            first(lines(symbols, here.file.ok_or("no file is shown")?, line)?)
        }
        Location::Function(name) => address(symbols, &name, here),
    }
}

fn first(places: Vec<Addr>) -> Result<Addr, String> {
    places.into_iter().min().ok_or_else(|| "no code there".to_string())
}

fn lines(symbols: &Symbols, file: &str, line: u32) -> Result<Vec<Addr>, String> {
    symbols
        .find_lines(file, line)
        .map(|found| found.sites)
        .map_err(|miss: LineMiss| miss.to_string())
}

/// The sites of a line, described as that line: the first instruction of one
/// may belong to a function that is inlined there.
fn line_sites(symbols: &Symbols, file: &str, line: u32) -> Result<Vec<Site>, String> {
    let found = symbols.find_lines(file, line).map_err(|miss: LineMiss| miss.to_string())?;
    let at = |addr| {
        let frames = symbols.frames_at(addr);
        let frame = frames.iter().find(|f| f.line == Some(found.line)).or(frames.first());
        Site {
            addr,
            function: frame.map(|f| f.function.clone()),
            file: Some(found.file.name.clone()),
            line: Some(found.line),
            refused: None,
        }
    };
    Ok(found.sites.iter().map(|&addr| at(addr)).collect())
}

/// Describes the place of an address.
pub fn site(symbols: &Symbols, addr: Addr) -> Site {
    let frames = symbols.frames_at(addr);
    let top = frames.first();
    Site {
        addr,
        function: top.map(|f| f.function.clone()),
        file: top.and_then(|f| f.file.as_ref()).map(|file| file.name.clone()),
        line: top.and_then(|f| f.line),
        refused: None,
    }
}

/// `NUMBER`, `$register` or `symbol`, with any number of `+N` and `-N`.
pub fn address(symbols: &Symbols, text: &str, here: Here<'_>) -> Result<Addr, String> {
    let text = text.trim();
    let end = text.find(['+', '-']).unwrap_or(text.len());
    let (base, mut rest) = text.split_at(end);
    let base = base.trim();
    let mut value = if let Some(number) = parse_number(base) {
        number
    } else if let Some(register) = base.strip_prefix('$') {
        let registers =
            here.registers.ok_or("registers are known only while the guest is stopped")?;
        let known =
            registers.arch.reg(register).ok_or_else(|| format!("no register ${register}"))?;
        registers.get(known).ok_or_else(|| format!("${register} is not known in this frame"))?
    } else {
        let functions = symbols.find_functions(base);
        let function = functions.iter().find(|f| !f.inlined).map(|f| f.entry);
        function
            .or_else(|| symbols.symbol_addr(base))
            .ok_or_else(|| unknown_function(symbols, base))?
            .0
    };
    while !rest.is_empty() {
        let (sign, tail) = rest.split_at(1);
        let end = tail.find(['+', '-']).unwrap_or(tail.len());
        let (number, next) = tail.split_at(end);
        let number = parse_number(number.trim())
            .ok_or_else(|| format!("'{}' is no number", number.trim()))?;
        value = if sign == "+" { value.wrapping_add(number) } else { value.wrapping_sub(number) };
        rest = next;
    }
    Ok(Addr(value))
}

fn unknown_function(symbols: &Symbols, name: &str) -> String {
    let mut like = symbols.complete_function(name, 3);
    if like.is_empty() {
        like = symbols.functions_matching(name, 3);
    }
    if like.is_empty() {
        format!("no symbol '{name}' in vmlinux or a loaded module")
    } else {
        format!("no symbol '{name}'; did you mean {}?", like.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Registers, x86_64::X86_64};

    #[test]
    fn locations_are_taken_apart() {
        let parse = |text| Location::parse(text).unwrap();
        assert_eq!(parse("vfs_read"), Location::Function("vfs_read".into()));
        assert_eq!(parse(" fs/read_write.c:451 "), Location::Line("fs/read_write.c".into(), 451));
        assert_eq!(parse("*0x10"), Location::Address("0x10".into()));
        assert_eq!(parse("$rip"), Location::Address("$rip".into()));
        assert_eq!(parse("42"), Location::LineHere(42));
        assert!(Location::parse("file.c:").is_err());
        assert!(Location::parse(" ").is_err());
    }

    #[test]
    fn addresses_add_up() {
        let symbols = Symbols::new();
        let mut registers = Registers::unknown(&X86_64);
        registers.set(X86_64.sp, Some(0x1000));
        let here = Here { file: None, registers: Some(&registers) };
        let at = |text| address(&symbols, text, here);
        assert_eq!(at("0x10+0x8 - 4"), Ok(Addr(0x14)));
        assert_eq!(at("$rsp + 16"), Ok(Addr(0x1010)));
        assert_eq!(at("$rip").unwrap_err(), "$rip is not known in this frame");
        assert_eq!(at("$zork").unwrap_err(), "no register $zork");
        assert!(at("no_such_thing").unwrap_err().contains("no symbol"));
        assert!(at("1+").is_err());
    }
}
