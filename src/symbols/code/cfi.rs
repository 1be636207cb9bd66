//! Call frame information: where the caller's registers are, by address.
//! Linux keeps it in `.debug_frame`; other files may have `.eh_frame`.

use crate::{
    base::addr::{Addr, FileAddr},
    image::file::Image,
    symbols::{
        answer::{CfaRule, CfiRow, RegRule},
        dwarf::reader::Slice,
        placed::Symbols,
    },
};
use gimli::{
    BaseAddresses, CieOrFde, DebugFrame, DebugFrameOffset, EhFrame, EhFrameOffset,
    FrameDescriptionEntry, LittleEndian, RegisterRule, UnwindContext, UnwindExpression,
    UnwindSection,
};

/// The descriptions of an image, by address. gimli's own search goes through
/// the section from the start (up to 9 ms in a large kernel); this takes 5 µs.
pub(in crate::symbols) struct Frames {
    /// (start, end, offset of the description), by start.
    entries: Vec<(u64, u64, u32)>,
    eh: bool,
}

impl Frames {
    /// Reads where each description is.
    pub fn read(image: &Image) -> Frames {
        let eh = image.section_data(".debug_frame").is_none_or(<[u8]>::is_empty);
        let mut entries = match eh {
            false => scan(debug_frame(image), &BaseAddresses::default()),
            true => match eh_frame(image) {
                Some((section, bases)) => scan(section, &bases),
                None => Vec::new(),
            },
        };
        entries.sort_unstable();
        Frames { entries, eh }
    }

    fn at(&self, addr: FileAddr) -> Option<u32> {
        let after = self.entries.partition_point(|entry| entry.0 <= addr.0);
        let mut near = self.entries[..after].iter().rev().take(4);
        near.find(|entry| addr.0 < entry.1).map(|entry| entry.2)
    }
}

fn debug_frame(image: &Image) -> DebugFrame<Slice<'_>> {
    let data = image.section_data(".debug_frame").unwrap_or_default();
    let mut section = DebugFrame::new(data, LittleEndian);
    section.set_address_size(8);
    section
}

fn eh_frame(image: &Image) -> Option<(EhFrame<Slice<'_>>, BaseAddresses)> {
    let data = image.section_data(".eh_frame")?;
    let mut section = EhFrame::new(data, LittleEndian);
    section.set_address_size(8);
    let bases = BaseAddresses::default().set_eh_frame(image.section(".eh_frame")?.addr.0);
    Some((section, bases))
}

fn scan<'a, S>(section: S, bases: &BaseAddresses) -> Vec<(u64, u64, u32)>
where
    S: UnwindSection<Slice<'a>>,
{
    let mut out = Vec::new();
    let mut entries = section.entries(bases);
    let mut last_cie = None;
    // What comes before damage is good.
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let fde = partial.parse(|section, bases, at| match &last_cie {
            Some((known, cie)) if *known == at => Ok::<_, gimli::Error>(Clone::clone(cie)),
            _ => {
                let cie: gimli::CommonInformationEntry<Slice<'a>> =
                    section.cie_from_offset(bases, at)?;
                last_cie = Some((at, cie.clone()));
                Ok(cie)
            }
        });
        let Ok(fde) = fde else { continue };
        let (start, end) = (fde.initial_address(), fde.end_address());
        if let Ok(at) = u32::try_from(fde.offset())
            && start != 0
            && start < end
        {
            out.push((start, end, at));
        }
    }
    out
}

impl Symbols {
    /// Where the caller's registers are when the pc is `pc`; `None` for code
    /// without a description (assembly). For a return address ask about the
    /// byte before it. Needs no loading.
    pub fn cfi_row(&self, pc: Addr) -> Option<CfiRow> {
        let (placed, file) = self.locate(pc)?;
        let image = placed.image.image();
        let frames = placed.image.frames();
        let at = frames.at(file)? as usize;
        let found = match frames.eh {
            false => {
                let (section, bases) = (debug_frame(image), BaseAddresses::default());
                let get = DebugFrame::cie_from_offset;
                let fde = section.fde_from_offset(&bases, DebugFrameOffset(at), get).ok()?;
                row(&section, &bases, &fde, file)?
            }
            true => {
                let (section, bases) = eh_frame(image)?;
                let get = EhFrame::cie_from_offset;
                let fde = section.fde_from_offset(&bases, EhFrameOffset(at), get).ok()?;
                row(&section, &bases, &fde, file)?
            }
        };
        let (start, end) = placed.runtime_range(found.start.0, found.end.0)?;
        Some(CfiRow { start, end, ..found })
    }
}

/// The row for `addr`, with `start` and `end` still of the file.
fn row<'a, S>(
    section: &S,
    bases: &BaseAddresses,
    fde: &FrameDescriptionEntry<Slice<'a>>,
    addr: FileAddr,
) -> Option<CfiRow>
where
    S: UnwindSection<Slice<'a>>,
{
    let mut context = UnwindContext::new();
    let row = fde.unwind_info_for_address(section, bases, &mut context, addr.0).ok()?;
    let bytes = |expression: &UnwindExpression<usize>| {
        let expression = expression.get(section).ok()?;
        Some(expression.0.slice().to_vec())
    };
    let cfa = match row.cfa() {
        gimli::CfaRule::RegisterAndOffset { register, offset } => {
            CfaRule::Register { dwarf: register.0, offset: *offset }
        }
        gimli::CfaRule::Expression(expression) => CfaRule::Expression(bytes(expression)?),
    };
    let mut rules = Vec::new();
    for (register, rule) in row.registers() {
        let rule = match rule {
            RegisterRule::Undefined => RegRule::Undefined,
            RegisterRule::SameValue => RegRule::SameValue,
            RegisterRule::Offset(offset) => RegRule::Offset(*offset),
            RegisterRule::ValOffset(offset) => RegRule::ValOffset(*offset),
            RegisterRule::Register(other) => RegRule::Register(other.0),
            RegisterRule::Expression(e) => RegRule::Expression(bytes(e)?),
            RegisterRule::ValExpression(e) => RegRule::ValExpression(bytes(e)?),
            // No rule of x86_64 is left to the architecture.
            _ => RegRule::Undefined,
        };
        rules.push((register.0, rule));
    }
    rules.sort_by_key(|(register, _)| *register);
    Some(CfiRow {
        cfa,
        rules,
        return_register: fde.cie().return_address_register().0,
        start: Addr(fde.initial_address()),
        end: Addr(fde.end_address()),
        signal_frame: fde.is_signal_trampoline(),
    })
}
