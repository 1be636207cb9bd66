//! Functions at an address, with the calls that were inlined there.

use crate::{
    base::addr::{Addr, FileAddr},
    symbols::{
        answer::{CodeFrame, Function, FunctionLine, InlineInstance, SourceFile},
        code::lines::{row_in, source_file},
        dwarf::reader::{Below, Entry, Unit, number},
        placed::{Placed, Symbols},
        types::named::type_ref,
    },
};

/// Inlined calls at one address at most; real code has up to some twenty.
const MAX_INLINE: usize = 256;

/// What is at an address: the function out of line and the blocks inside it.
pub(in crate::symbols) struct Nest<'a> {
    pub placed: &'a Placed,
    pub unit: Unit<'a>,
    /// The address in the file.
    pub addr: FileAddr,
    /// The function, then every inlined call and lexical block that holds the
    /// address, each inside the one before.
    pub blocks: Vec<Entry<'a>>,
}

impl<'a> Nest<'a> {
    /// The blocks at `addr`; `None` without a DWARF function there.
    pub fn at(symbols: &'a Symbols, addr: Addr) -> Option<Nest<'a>> {
        let (placed, file) = symbols.locate(addr)?;
        Nest::in_image(placed, file)
    }

    /// The same by file address.
    pub fn in_image(placed: &'a Placed, addr: FileAddr) -> Option<Nest<'a>> {
        let range = placed.image.function_range(addr)?;
        let unit = Unit::open(&placed.image, range.unit)?;
        let function = unit.entry(range.die)?;
        let mut blocks = vec![function];
        let tags = [gimli::DW_TAG_inlined_subroutine, gimli::DW_TAG_lexical_block];
        unit.walk(range.die, &tags, &mut |entry| {
            // A block beside one that has the address claims it wrongly.
            let inside = entry.depth() > blocks.last().map_or(0, Entry::depth);
            if !inside || blocks.len() > MAX_INLINE {
                return Below::Skip;
            }
            let ranges = unit.ranges(entry);
            if ranges.is_empty() {
                // Strict DWARF 2 can't say where a block in several pieces
                // is. What is inside counts as beside it, as in gdb's
                // `read_lexical_block_scope`.
                return Below::Look;
            }
            if !ranges.iter().any(|&(start, end)| (start..end).contains(&addr.0)) {
                return Below::Skip;
            }
            blocks.push(entry.clone());
            Below::Look
        });
        Some(Nest { placed, unit, addr, blocks })
    }

    /// The places in `blocks` where a function begins, innermost first: the
    /// index of a `CodeFrame`'s depth. The last is 0, the function itself.
    pub fn frames(&self) -> Vec<usize> {
        let inlined =
            |&at: &usize| at == 0 || self.blocks[at].tag() == gimli::DW_TAG_inlined_subroutine;
        (0..self.blocks.len()).rev().filter(inlined).collect()
    }

    /// The name of the function a block is of.
    pub fn function_name(&self, block: usize) -> String {
        self.unit.name(&self.blocks[block]).unwrap_or_else(|| "?".to_owned())
    }

    fn entry_of(&self, block: usize) -> Addr {
        let ranges = self.unit.ranges(&self.blocks[block]);
        let at = self.unit.entry_pc(&self.blocks[block], &ranges);
        at.and_then(|at| self.placed.runtime(FileAddr(at))).unwrap_or_default()
    }

    fn file_attr(&self, block: &Entry<'a>, name: gimli::DwAt) -> Option<SourceFile> {
        source_file(&self.unit, number(block.attr_value(name))?)
    }

    fn runtime_ranges(&self, block: usize) -> Vec<(Addr, Addr)> {
        let ranges = self.unit.ranges(&self.blocks[block]);
        ranges.iter().filter_map(|&(s, e)| self.placed.runtime_range(s, e)).collect()
    }
}

/// A small attribute as a line or column; 0 means it is not known.
pub(in crate::symbols) fn small(entry: &Entry<'_>, name: gimli::DwAt) -> Option<u32> {
    number(entry.attr_value(name)).and_then(|n| u32::try_from(n).ok()).filter(|&n| n != 0)
}

/// The file and line a function is declared at.
pub(in crate::symbols) fn declared<'a>(
    unit: &Unit<'a>,
    entry: &Entry<'a>,
) -> (Option<SourceFile>, Option<u32>) {
    let line = unit.inherited(entry, gimli::DW_AT_decl_line);
    let line = line.and_then(|(_, value)| u32::try_from(number(Some(value))?).ok());
    let file = unit.inherited(entry, gimli::DW_AT_decl_file);
    (file.and_then(|(unit, value)| source_file(&unit, number(Some(value))?)), line)
}

impl Symbols {
    /// The functions that are at `addr`, innermost first: inlined ones, then
    /// the one out of line. At least one where [`Symbols::symbol_at`] answers.
    /// For a return address ask about the byte before it.
    pub fn frames_at(&self, addr: Addr) -> Vec<CodeFrame> {
        let row = self.row_at(addr).filter(|row| row.line != 0);
        let (mut file, mut line, mut column) = match row {
            Some(row) => (Some(row.file), Some(row.line), Some(row.column).filter(|&c| c != 0)),
            None => (None, None, None),
        };
        let Some(nest) = Nest::at(self, addr) else {
            let frame = |symbol: crate::symbols::answer::SymbolAt| CodeFrame {
                function: symbol.name,
                file,
                line,
                column,
                inlined: false,
                module: symbol.module,
                entry: symbol.start,
                depth: 0,
            };
            return self.symbol_at(addr).map(frame).into_iter().collect();
        };
        let mut out = Vec::new();
        for (depth, block) in nest.frames().into_iter().enumerate() {
            out.push(CodeFrame {
                function: nest.function_name(block),
                file: file.take(),
                line,
                column,
                inlined: block != 0,
                module: nest.placed.module(),
                entry: nest.entry_of(block),
                depth,
            });
            let entry = &nest.blocks[block];
            file = nest.file_attr(entry, gimli::DW_AT_call_file);
            line = small(entry, gimli::DW_AT_call_line);
            column = small(entry, gimli::DW_AT_call_column);
        }
        out
    }

    /// The function out of line at `addr` and the line, for many addresses:
    /// [`Symbols::frames_at`] reads the function to tell what is inlined, this
    /// looks it up. Of a function without DWARF the symbol.
    pub fn function_and_line(&self, addr: Addr) -> Option<FunctionLine> {
        let (placed, file) = self.locate(addr)?;
        let range = placed.image.function_range(file);
        let named = range.zip(placed.image.loaded()).and_then(|(range, loaded)| {
            let name = loaded.index.name(placed.image.image(), range.name);
            (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
        });
        let function = match named {
            Some(name) => name,
            None => self.frames_at(addr).pop()?.function,
        };
        let unit = range.map(|range| range.unit).or_else(|| placed.image.unit_at(file));
        let row = unit.and_then(|unit| row_in(placed, file, unit)).filter(|row| row.line != 0);
        let (file, line) = row.map(|row| (row.file, row.line)).unzip();
        Some(FunctionLine { function, file, line, module: placed.module() })
    }

    /// The function out of line that holds `addr`, by DWARF; for assembly and
    /// before the debug info is loaded, by the symbol table.
    pub fn function_at(&self, addr: Addr) -> Option<Function> {
        if let Some(nest) = Nest::at(self, addr) {
            let (file, line) = declared(&nest.unit, &nest.blocks[0]);
            let result = nest.unit.inherited(&nest.blocks[0], gimli::DW_AT_type);
            let entry = nest.entry_of(0);
            let mut ranges = nest.runtime_ranges(0);
            ranges.sort_by_key(|&(start, end)| (!(start..end).contains(&entry), start));
            return Some(Function {
                name: nest.function_name(0),
                entry,
                ranges,
                file,
                line,
                module: nest.placed.module(),
                return_type: result.and_then(|(unit, value)| type_ref(nest.placed, &unit, value)),
            });
        }
        let symbol = self.symbol_at(addr)?;
        if !self.locate(addr)?.0.is_code(addr) {
            return None;
        }
        let end = symbol.start.offset(symbol.size);
        Some(Function {
            name: symbol.name,
            entry: symbol.start,
            ranges: if symbol.size == 0 { Vec::new() } else { vec![(symbol.start, end)] },
            file: None,
            line: None,
            module: symbol.module,
            return_type: None,
        })
    }

    /// The inlined calls that are at `addr`, innermost first.
    pub fn inline_ranges_at(&self, addr: Addr) -> Vec<InlineInstance> {
        let Some(nest) = Nest::at(self, addr) else { return Vec::new() };
        let inlined = nest.frames().into_iter().filter(|&block| block != 0);
        let instance = |block: usize| InlineInstance {
            name: nest.function_name(block),
            entry: nest.entry_of(block),
            ranges: nest.runtime_ranges(block),
            call_file: nest.file_attr(&nest.blocks[block], gimli::DW_AT_call_file),
            call_line: small(&nest.blocks[block], gimli::DW_AT_call_line),
            call_column: small(&nest.blocks[block], gimli::DW_AT_call_column),
        };
        inlined.map(instance).collect()
    }
}
