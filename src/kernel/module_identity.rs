//! Whether a .ko is of the build that the guest has loaded.
//!
//! The build-id decides where both have one: in the module's own note
//! (`.note.gnu.build-id`), or in `build_id` of `struct module`
//! (CONFIG_STACKTRACE_BUILD_ID, since 5.14). Where one was stripped off, the
//! `srcversion` of both (a hash of the sources, scripts/mod/sumversion.c) and
//! the same sections, none larger than the room it has, are taken for a proof.
//! Less is none.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory},
        text::{self, printable},
    },
    image::file::Image,
    kernel::{
        KernelError, Struct,
        module_layout::Expected,
        module_sections::{self, Layouts, Section, build_id, goes_after_init},
        modules::{Module, State},
    },
    symbols::placed::Symbols,
};

const NOTE: &str = ".note.gnu.build-id";

/// Bytes of `srcversion`: 24 digits and room for a longer hash.
const SRCVERSION: usize = 64;

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the guest's; by what.
    Proven(String),
    /// It is of another build; why.
    Other(String),
    /// Nothing tells; what lacks.
    Unknown(String),
}

/// Judges a file by the loaded module, whose sections are known.
pub fn judge(
    symbols: &Symbols,
    memory: &dyn Memory,
    module: &Module,
    sections: &[Section],
    file: &Image,
) -> Result<Verdict, Gap> {
    let guest_id = match build_id(memory, sections)? {
        Some(id) => Some(id),
        None => build_id_member(symbols, memory, module)?,
    };
    match (guest_id, file.build_id()) {
        (Some(guest), Some(file)) => Ok(by_build_id(&guest, file)),
        (guest, of_file) => {
            let lacks = match (guest, of_file) {
                (None, Some(_)) => "the guest's module has no build-id",
                (Some(_), None) => "the file has no build-id",
                _ => "neither the file nor the guest's module has a build-id",
            };
            by_srcversion(symbols, memory, module, sections, file, lacks)
        }
    }
}

fn by_build_id(guest: &[u8], file: &[u8]) -> Verdict {
    // The member of `struct module` is filled up with zeros.
    let same = guest.starts_with(file) && guest[file.len()..].iter().all(|byte| *byte == 0);
    if same {
        return Verdict::Proven(format!("build-id {}", text::hex(file)));
    }
    Verdict::Other(format!(
        "its build-id is {}, the guest's is {}",
        text::hex(file),
        text::hex(guest)
    ))
}

/// The id that the kernel keeps for stack traces.
fn build_id_member(
    symbols: &Symbols,
    memory: &dyn Memory,
    module: &Module,
) -> Result<Option<Vec<u8>>, Gap> {
    let found = Struct::new(symbols, "module").ok().and_then(|layout| layout.find("build_id"));
    let Some((at, size)) = found.filter(|(_, size)| (1..=64).contains(size)) else {
        return Ok(None);
    };
    let id = memory.bytes(module.addr.offset(at), size as usize)?;
    Ok(id.iter().any(|byte| *byte != 0).then_some(id))
}

fn by_srcversion(
    symbols: &Symbols,
    memory: &dyn Memory,
    module: &Module,
    sections: &[Section],
    file: &Image,
    lacks: &str,
) -> Result<Verdict, Gap> {
    let of_file = modinfo(file, "srcversion");
    let (Some(of_file), Some(of_guest)) = (of_file, srcversion(symbols, memory, module)?) else {
        return Ok(Verdict::Unknown(format!(
            "nothing proves it: {lacks}, and they don't both have a srcversion"
        )));
    };
    if of_file != of_guest {
        return Ok(Verdict::Other(format!(
            "its srcversion is {of_file}, the guest's is {of_guest}"
        )));
    }
    // The names were taken from the file on the word of two of them.
    let named = Layouts::new(symbols)
        .and_then(|layouts| module_sections::sections(memory, &layouts, module, None));
    let named = match named {
        Ok(named) => named,
        Err(KernelError::Gap(gap)) => return Err(gap),
        Err(_) => sections.to_vec(),
    };
    if let Some(why) = differ(file, &named, module.state == State::Live) {
        return Ok(Verdict::Other(format!("its srcversion is the guest's, but {why}")));
    }
    Ok(Verdict::Proven(format!(
        "srcversion {of_file} and {} equal sections ({lacks})",
        named.len()
    )))
}

/// How the sections of a file differ from those of the guest.
fn differ(file: &Image, guest: &[Section], live: bool) -> Option<String> {
    let expected = Expected::new(file);
    // One of the two may have been stripped of its note.
    let stays = |name: &&str| !(live && goes_after_init(name)) && *name != NOTE;
    let expected: Vec<&str> = expected.names().filter(stays).collect();
    let names = guest.iter().map(|section| section.name.as_str());
    let names: Vec<&str> = names.filter(stays).collect();
    if let Some(name) = expected.iter().find(|name| !names.contains(name)) {
        return Some(format!("the guest's has no section {name}"));
    }
    if let Some(name) = names.iter().find(|name| !expected.contains(name)) {
        return Some(format!("the guest's has a section {name}"));
    }
    // `layout_symtab` (kernel/module) keeps a part of these two only.
    let of_size = |section: &&Section| !matches!(section.name.as_str(), ".symtab" | ".strtab");
    let mut by_addr: Vec<&Section> = guest.iter().filter(of_size).collect();
    by_addr.sort_by_key(|section| section.addr);
    by_addr.windows(2).find_map(|pair| {
        let size = file.section(&pair[0].name)?.size;
        let room = pair[1].addr.since(pair[0].addr);
        let name = &pair[0].name;
        (size > room)
            .then(|| format!("its {name} has {size} bytes, and the guest has room for {room}"))
    })
}

/// `srcversion` of the loaded module (CONFIG_MODULE_SRCVERSION_ALL, or a module
/// with a MODULE_VERSION).
fn srcversion(
    symbols: &Symbols,
    memory: &dyn Memory,
    module: &Module,
) -> Result<Option<String>, Gap> {
    let found = Struct::new(symbols, "module").ok().and_then(|layout| layout.find("srcversion"));
    let Some((at, 8)) = found else { return Ok(None) };
    let text = Addr(memory.u64(module.addr.offset(at))?);
    if text.0 == 0 {
        return Ok(None);
    }
    let text = printable(&memory.c_string(text, SRCVERSION)?);
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A value in `.modinfo` of a file: `name=value` strings, each with a NUL
/// (include/linux/moduleparam.h, `__MODULE_INFO`).
pub fn modinfo(file: &Image, name: &str) -> Option<String> {
    let mut lines = file.section_data(".modinfo")?.split(|&byte| byte == 0);
    let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(printable(&String::from_utf8_lossy(value))).filter(|value| !value.is_empty())
}
