//! Code as the files have it, and names for the addresses in it.

use crate::{
    base::addr::{Addr, FileAddr},
    image::symtab::Place,
    symbols::{
        answer::SourceFile,
        code::lines::source_file,
        dwarf::reader::Unit,
        placed::{Placed, Placement, Symbols},
    },
};
use std::borrow::Cow;

impl Symbols {
    /// `len` bytes of code as the file has them, before any patching by the
    /// guest. A module's are relocated to its made-up layout, so they are
    /// given only where that is its place (without a guest). `None` too when
    /// they are not all in one section.
    pub fn file_code(&self, start: Addr, len: usize) -> Option<Cow<'_, [u8]>> {
        let (placed, file) = self.locate(start)?;
        match placed.placement {
            Placement::Slide(_) => placed.image.image().code(file, len),
            Placement::Sections(_) => None,
        }
    }

    /// The first line of `file` that the line table has for code in
    /// `start..end`, also when another line takes its place at the same
    /// address: the brace that a function opens with.
    pub fn first_line(&self, start: Addr, end: Addr, file: &SourceFile) -> Option<u32> {
        let (placed, at) = self.locate(start)?;
        let unit = Unit::open(&placed.image, placed.image.unit_at(at)?)?;
        let rows = placed.image.rows(&unit);
        let span = at.0..at.0.saturating_add(end.since(start));
        let inside = rows.iter().filter(|row| span.contains(&row.addr));
        let of_file =
            inside.filter(|row| source_file(&unit, row.file.into()).as_ref() == Some(file));
        of_file.min_by_key(|row| row.addr).map(|row| row.line)
    }

    /// What an instruction refers to by `addr`: as [`Symbols::describe`]; a
    /// per-CPU variable by its offset; what a module without a guest calls
    /// outside of itself by the name it has for it.
    pub fn describe_reference(&self, addr: Addr) -> Option<String> {
        let with = |name: &str, distance: u64| match distance {
            0 => name.to_owned(),
            _ => format!("{name}+0x{distance:x}"),
        };
        self.describe(addr).or_else(|| {
            let outside = |placed: &Placed| {
                let Placement::Slide(slide) = placed.placement else { return None };
                let file = FileAddr(addr.0.wrapping_sub(slide));
                let (name, distance) = placed.image.image().outside_name(file)?;
                Some(with(name, distance))
            };
            self.images().find_map(outside).or_else(|| self.describe_per_cpu(addr.0))
        })
    }

    /// The per-CPU variable of vmlinux at an offset into a CPU's area, which
    /// is what `%gs:` and a pc-relative address make together.
    fn describe_per_cpu(&self, offset: u64) -> Option<String> {
        let table = self.vmlinux()?.image.image().symbols();
        let per_cpu = table.iter().take_while(|symbol| symbol.addr.0 <= offset);
        let holds = |symbol: &crate::image::symtab::Symbol<'_>| {
            symbol.place == Place::PerCpu && offset - symbol.addr.0 < symbol.size
        };
        let symbol = per_cpu.filter(holds).last()?;
        match offset - symbol.addr.0 {
            0 => Some(symbol.name.to_owned()),
            distance => Some(format!("{}+0x{distance:x}", symbol.name)),
        }
    }
}
