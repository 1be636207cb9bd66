//! What a module says of itself and stays as it is: its versions, its init and
//! exit functions. Read for `info module` only: one packet or two for the
//! words, one for each text.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory},
        text::printable,
    },
    kernel::{
        KernelError, Struct,
        modules::Module,
        record::{Field, Record},
    },
    symbols::placed::Symbols,
};

/// More letters than a version has.
const MAX_VERSION: usize = 64;

/// What a module says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `MODULE_VERSION`.
    pub version: Option<String>,
    /// The sum of its sources.
    pub srcversion: Option<String>,
    /// Its init function. The member keeps the address when the function is gone.
    pub init: Option<Addr>,
    /// Its exit function.
    pub exit: Option<Addr>,
}

/// Reads them. What this kernel's `struct module` lacks is `None`; an address
/// of a text that can't be read is an error.
pub fn facts(
    symbols: &Symbols,
    memory: &dyn Memory,
    module: &Module,
) -> Result<Facts, KernelError> {
    let layout = Struct::new(symbols, "module")?;
    let members = ["version", "srcversion", "init", "exit"].map(|name| layout.find(name));
    let fields: Vec<Field> = members.iter().flatten().copied().collect();
    let record = Record::read(memory, module.addr, &fields, u64::MAX)?;
    let word = |member: Option<Field>| {
        member.map(|field| Addr(record.uint(field))).filter(|addr| addr.0 != 0)
    };
    let text = |member: Option<Field>| -> Result<Option<String>, Gap> {
        let text = word(member).map(|at| memory.c_string(at, MAX_VERSION)).transpose()?;
        Ok(text.map(|text| printable(&text)))
    };
    let [version, srcversion, init, exit] = members;
    // Both are tried, so that one run reports every miss.
    let (version, srcversion) = (text(version), text(srcversion));
    Ok(Facts { version: version?, srcversion: srcversion?, init: word(init), exit: word(exit) })
}
