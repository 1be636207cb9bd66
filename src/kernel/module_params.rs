//! The parameters of a module, with their values as sysfs shows them.
//!
//! What a value is, `ops` of `struct kernel_param` tells: it points at one of
//! the kernel's own (`param_ops_int` and the like, kernel/params.c), or at one
//! of the module's, whose `get` may still be the kernel's.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory},
        text::printable,
    },
    kernel::{
        KernelError, Struct,
        modules::Module,
        record::{Field, Record, number},
        symbol,
    },
    symbols::placed::Symbols,
};

/// More parameters than any module has.
pub const MAX_PARAMETERS: u64 = 512;
/// More elements than are shown of an array.
const MAX_ELEMENTS: u64 = 256;
/// More letters than are shown of a text.
const MAX_TEXT: usize = 256;
/// Most texts fit here, and a read of this size is cheap.
const SHORT_TEXT: usize = 32;

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// `int`, `array of ushort` and the like; `None` when it has functions of
    /// its own.
    pub type_name: Option<String>,
    /// Its value, or why there is none.
    pub value: Result<String, String>,
    /// Its mode in sysfs, where it is not when this is 0.
    pub mode: u16,
}

/// How a value is kept and written (`STANDARD_PARAM_DEF` in kernel/params.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Signed(usize),
    Unsigned(usize),
    /// `%#08x`.
    Hex,
    Bool,
    InverseBool,
    /// A pointer to a text.
    Pointer,
    /// A text in a buffer: `struct kparam_string`.
    Text,
    /// `struct kparam_array`.
    Array,
}

/// The kernel's own, by what comes after `param_ops_` and `param_get_`.
const KINDS: [(&str, Kind); 15] = [
    ("byte", Kind::Unsigned(1)),
    ("short", Kind::Signed(2)),
    ("ushort", Kind::Unsigned(2)),
    ("int", Kind::Signed(4)),
    ("uint", Kind::Unsigned(4)),
    ("long", Kind::Signed(8)),
    ("ulong", Kind::Unsigned(8)),
    ("ullong", Kind::Unsigned(8)),
    ("hexint", Kind::Hex),
    ("bool", Kind::Bool),
    ("bool_enable_only", Kind::Bool),
    ("invbool", Kind::InverseBool),
    ("bint", Kind::Signed(4)),
    ("charp", Kind::Pointer),
    ("string", Kind::Text),
];

/// What is needed to read parameters, looked up once.
struct Reader<'a> {
    symbols: &'a Symbols,
    memory: &'a dyn Memory,
    /// Of `struct kernel_param`.
    size: u64,
    name: Field,
    ops: Field,
    mode: Field,
    argument: Field,
    /// Of `struct kernel_param_ops`.
    set: Field,
    get: Field,
    /// Where the kernel's own are.
    known: Vec<(Addr, &'static str, Kind)>,
    getters: Vec<(Addr, Kind)>,
}

/// The parameters of a module, in its order: one packet for all of them, and
/// one for the name and one for the value of each.
pub fn parameters(
    symbols: &Symbols,
    memory: &dyn Memory,
    module: &Module,
) -> Result<Vec<Parameter>, KernelError> {
    let layout = Struct::new(symbols, "module")?;
    let (array, count) = (layout.field("kp")?, layout.field("num_kp")?);
    let record = Record::read(memory, module.addr, &[array, count], 1)?;
    let (array, count) = (Addr(record.uint(array)), record.uint(count));
    let absurd = || {
        let text = format!("module {} can't have {count} parameters at {array}", module.name);
        Err(KernelError::Implausible(text))
    };
    match count {
        0 => return Ok(Vec::new()),
        1..=MAX_PARAMETERS if array.0 != 0 => {}
        _ => return absurd(),
    }
    let reader = Reader::new(symbols, memory)?;
    let bytes = memory.bytes(array, (count * reader.size) as usize)?;
    // All are tried, so that one run reports every miss.
    let read: Vec<_> =
        bytes.chunks_exact(reader.size as usize).map(|one| reader.parameter(one)).collect();
    read.into_iter().collect::<Result<_, Gap>>().map_err(KernelError::from)
}

/// The text of a parameter of the kernel itself that is kept in a buffer
/// (`struct kparam_string`): `__param_NAME` (include/linux/moduleparam.h). Three
/// small reads.
///
/// # Errors
/// A read that has no answer; the kernel has no such parameter.
pub fn builtin_text(
    symbols: &Symbols,
    memory: &dyn Memory,
    name: &str,
) -> Result<String, KernelError> {
    let at = symbol(symbols, &format!("__param_{name}"))?;
    let argument = Struct::new(symbols, "kernel_param")?.offset("arg")?;
    let text = Struct::new(symbols, "kparam_string")?;
    let (max, text) = (text.field("maxlen")?, text.offset("string")?);
    let string = Addr(memory.u64(at.offset(argument))?);
    let max_len = memory.uint(string.offset(max.0), max.1 as usize);
    let text = memory.u64(string.offset(text));
    let (max_len, text) = (max_len?, Addr(text?));
    Ok(printable(&memory.c_string(text, max_len.min(MAX_TEXT as u64) as usize)?))
}

impl<'a> Reader<'a> {
    fn new(symbols: &'a Symbols, memory: &'a dyn Memory) -> Result<Reader<'a>, KernelError> {
        let one = Struct::new(symbols, "kernel_param")?;
        let ops = Struct::new(symbols, "kernel_param_ops")?;
        let at = |prefix: &str, name: &str| symbols.symbol_addr(&format!("{prefix}{name}"));
        let mut known: Vec<_> = (KINDS.iter())
            .filter_map(|&(name, kind)| Some((at("param_ops_", name)?, name, kind)))
            .collect();
        known.extend(symbols.symbol_addr("param_array_ops").map(|at| (at, "array", Kind::Array)));
        let getters =
            KINDS.iter().filter_map(|&(name, kind)| Some((at("param_get_", name)?, kind)));
        Ok(Reader {
            symbols,
            memory,
            size: Some(one.size()).filter(|size| (8..=256).contains(size)).ok_or_else(|| {
                KernelError::NoType("struct kernel_param of a size that can be".into())
            })?,
            name: one.field("name")?,
            ops: one.field("ops")?,
            mode: one.field("perm")?,
            argument: one.field("arg")?,
            set: ops.field("set")?,
            get: ops.field("get")?,
            known,
            getters: getters.collect(),
        })
    }

    /// One, from the bytes of its structure. Only a miss is an error: what
    /// can't be read is said in its place.
    fn parameter(&self, one: &[u8]) -> Result<Parameter, Gap> {
        let word = |(at, len): Field| number(one, at, len);
        let name = told(self.text(Addr(word(self.name))));
        let (ops, argument) = (Addr(word(self.ops)), Addr(word(self.argument)));
        let known = self.known.iter().find(|known| known.0 == ops);
        let (type_name, value) = match known {
            Some(&(_, _, Kind::Array)) => {
                let array = told(self.array(argument));
                match array? {
                    Ok((of, value)) => (Some(format!("array of {of}")), Ok(Ok(value))),
                    Err(why) => (Some("array".to_string()), Ok(Err(why))),
                }
            }
            Some(&(_, name, kind)) => (Some(name.to_string()), told(self.value(kind, argument))),
            None => (None, self.of_its_own(ops, argument)),
        };
        let (name, value) = (name?, value?);
        let name = name.unwrap_or_else(|_| "?".into());
        Ok(Parameter { name, type_name, value, mode: word(self.mode) as u16 })
    }

    /// The value of one with functions of its own, where it is the kernel's
    /// function that writes it; else who sets it.
    fn of_its_own(&self, ops: Addr, argument: Addr) -> Result<Result<String, String>, Gap> {
        let record = match told(Record::read(self.memory, ops, &[self.set, self.get], 1))? {
            Ok(record) => record,
            Err(why) => return Ok(Err(why)),
        };
        let (set, get) = (Addr(record.uint(self.set)), Addr(record.uint(self.get)));
        if let Some((_, kind)) = self.getters.iter().find(|getter| getter.0 == get) {
            return told(self.value(*kind, argument));
        }
        let name = |at: Addr| self.symbols.symbol_at(at).map_or(at.to_string(), |found| found.name);
        Ok(Err(match (get.0, set.0) {
            (0, 0) => "it has no functions".into(),
            (0, _) => format!("set by {}", name(set)),
            _ => format!("told by {}", name(get)),
        }))
    }

    /// A value in sysfs's words.
    fn value(&self, kind: Kind, at: Addr) -> Result<String, Gap> {
        let uint = |size: usize| self.memory.uint(at, size);
        let truth = |yes: bool| if yes { "Y" } else { "N" }.to_string();
        Ok(match kind {
            Kind::Unsigned(size) => uint(size)?.to_string(),
            Kind::Signed(size) => {
                let unused = 64 - 8 * size.min(8) as u32;
                ((uint(size)? << unused) as i64 >> unused).to_string()
            }
            Kind::Hex => match uint(4)? {
                // C writes no 0x before nothing.
                0 => "00000000".into(),
                value => format!("{value:#08x}"),
            },
            Kind::Bool => truth(uint(1)? != 0),
            Kind::InverseBool => truth(uint(1)? == 0),
            Kind::Pointer => match Addr(uint(8)?) {
                Addr(0) => "(null)".into(),
                text => self.text(text)?,
            },
            Kind::Text | Kind::Array => return self.string(at),
        })
    }

    /// `struct kparam_string`.
    fn string(&self, at: Addr) -> Result<String, Gap> {
        let Some(layout) = Struct::new(self.symbols, "kparam_string").ok() else {
            return Ok(String::new());
        };
        let (Some(max), Some(text)) = (layout.find("maxlen"), layout.find("string")) else {
            return Ok(String::new());
        };
        let max_len = self.memory.uint(at.offset(max.0), max.1 as usize);
        let text = self.memory.u64(at.offset(text.0));
        let (max_len, text) = (max_len?, Addr(text?));
        Ok(printable(&self.memory.c_string(text, max_len.min(MAX_TEXT as u64) as usize)?))
    }

    /// `struct kparam_array`: the name of what its elements are, and these.
    fn array(&self, at: Addr) -> Result<(&'static str, String), KernelError> {
        let layout = Struct::new(self.symbols, "kparam_array")?;
        let members = ["max", "elemsize", "num", "ops", "elem"].map(|name| layout.field(name));
        let [max, size, num, ops, elements] = members;
        let fields = [max?, size?, num?, ops?, elements?];
        let record = Record::read(self.memory, at, &fields, 1)?;
        let [max, size, num, ops, elements] = fields.map(|field| record.uint(field));
        let absurd = |what: &str| KernelError::Implausible(what.to_string());
        let of = self.known.iter().find(|known| known.0.0 == ops);
        let &(_, of, kind) =
            of.ok_or_else(|| absurd("its elements have functions of their own"))?;
        let count = match num {
            0 => max,
            num => u64::from(self.memory.u32(Addr(num))?),
        };
        if kind == Kind::Array || count > max || count > MAX_ELEMENTS || size > 4096 {
            return Err(absurd("it is no array that can be"));
        }
        let elements = (0..count).map(|i| self.value(kind, Addr(elements).offset(i * size)));
        let elements: Vec<_> = elements.collect();
        let elements: Vec<String> = elements.into_iter().collect::<Result<_, Gap>>()?;
        Ok((of, elements.join(",")))
    }

    fn text(&self, at: Addr) -> Result<String, Gap> {
        let short = self.memory.c_string(at, SHORT_TEXT)?;
        let whole = short.len() < SHORT_TEXT;
        Ok(printable(&if whole { short } else { self.memory.c_string(at, MAX_TEXT)? }))
    }
}

/// An error that is no miss, as words.
fn told<T, E: Into<KernelError>>(result: Result<T, E>) -> Result<Result<T, String>, Gap> {
    match result.map_err(Into::into) {
        Ok(value) => Ok(Ok(value)),
        Err(KernelError::Gap(gap)) if gap.is_missing() => Err(gap),
        Err(error) => Ok(Err(error.to_string())),
    }
}
