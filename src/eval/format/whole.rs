//! The whole text of a value: structs and arrays with everything in them.

use super::{Format, Limits, chars::quoted, scalar};
use crate::{
    base::{
        addr::Addr,
        memory::{Gap, PAGE, Span},
    },
    eval::{
        ctype::{CType, Field, Shape},
        location::{Absent, Context, Place},
        typed::{MAX_BYTES, Typed},
    },
};

/// Bytes of a string that are read at first: most end before.
const FIRST_OF_STRING: u64 = 64;

/// Bytes of text at which it ends: arrays of arrays of structs.
const MOST_TEXT: usize = 1 << 20;

impl Context<'_> {
    /// A value as gdb shows a variable's: `{a = 1, next = 0xffff…}`. What a
    /// struct or array lacks is said in its place; `Err` when the value itself
    /// is absent. A string that is not read yet is `…`, and the memory was
    /// asked for it.
    pub fn text(
        &self,
        value: &Typed,
        format: Option<Format>,
        limits: &Limits,
    ) -> Result<String, Absent> {
        // All of it in one read.
        if let (Place::Memory(addr), None, Some(size @ 1..=MAX_BYTES)) =
            (&value.place, value.bits, value.ty.size(self.symbols))
        {
            self.memory.bytes(*addr, size as usize)?;
        }
        let format = format.filter(|format| *format != Format::Text);
        let mut printer = Printer { context: self, format, limits, out: String::new() };
        printer.value(value, 0)?;
        Ok(printer.out)
    }

    /// A value as gdb's `print` shows it: the same, with the type before a
    /// pointer: `(struct list_head *) 0xffff… <modules>`.
    pub fn printed(
        &self,
        value: &Typed,
        format: Option<Format>,
        limits: &Limits,
    ) -> Result<String, Absent> {
        let pointer = format.is_none_or(|format| format == Format::Text)
            && match value.ty.shape(self.symbols) {
                // A pointer that is called by a name says it, `char *` does not.
                Shape::Pointer { target, .. } => {
                    let name = value.ty.name(self.symbols);
                    // `char *const` has no name either.
                    let bare = name.trim_end_matches(|c: char| c.is_alphabetic() || c == ' ');
                    !target.is_char(self.symbols) || !bare.ends_with('*')
                }
                _ => false,
            };
        let text = match self.text(value, format, limits) {
            Err(Absent::Synthetic) if pointer => "<synthetic pointer>".to_string(),
            text => text?,
        };
        match pointer {
            true => Ok(format!("({}) {text}", value.ty.name(self.symbols))),
            false => Ok(text),
        }
    }

    /// Text in quotes that starts at an address, up to a NUL or to the limit; one
    /// that can't be another in the guest is taken from the file.
    /// `Err` when nothing can be read there, or is not read yet.
    pub fn string(&self, at: Addr, limits: &Limits) -> Result<String, Gap> {
        if let Some(text) = self.symbols.constant_text(at, limits.elements) {
            return Ok(quoted(text, text.last() != Some(&0), limits));
        }
        let most = limits.elements as u64;
        let mut bytes: Vec<u8> = Vec::new();
        while (bytes.len() as u64) < most {
            let next = at.offset(bytes.len() as u64);
            let left = most - bytes.len() as u64;
            // One that ends where mapped memory does is not read beyond.
            let want = left.min(PAGE - next.0 % PAGE);
            let want = if bytes.is_empty() { want.min(FIRST_OF_STRING) } else { want };
            match self.memory.bytes(next, want as usize) {
                Ok(more) => bytes.extend(more),
                Err(gap) if !gap.is_missing() && !bytes.is_empty() => {
                    let text = quoted(&bytes, false, limits);
                    return Ok(format!("{text}{}", no_bytes(gap)));
                }
                Err(gap) => return Err(gap),
            }
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                return Ok(quoted(&bytes[..=end], false, limits));
            }
        }
        Ok(quoted(&bytes, true, limits))
    }
}

/// Why there are no bytes, in gdb's words where it has some.
fn no_bytes(gap: Gap) -> String {
    match gap {
        Gap::Missing(Span { start, .. }) | Gap::Fault(Span { start, .. }) => {
            format!("<error: Cannot access memory at address {start}>")
        }
        Gap::Unrecorded(_) => format!("<{gap}>"),
    }
}

struct Printer<'p, 'a> {
    context: &'p Context<'a>,
    format: Option<Format>,
    limits: &'p Limits,
    out: String,
}

impl Printer<'_, '_> {
    /// A value, or the reason there is none in gdb's words.
    fn inner(&mut self, value: &Typed, depth: usize) {
        match self.value(value, depth) {
            Ok(()) => {}
            Err(Absent::OptimizedOut) => self.out.push_str("<optimized out>"),
            Err(Absent::Synthetic) => self.out.push_str("<synthetic pointer>"),
            Err(Absent::Gap(Gap::Missing(_))) => self.out.push('…'),
            Err(Absent::Gap(gap)) => self.out.push_str(&no_bytes(gap)),
            Err(Absent::Unavailable(why)) => self.out.push_str(&format!("<{why}>")),
        }
    }

    fn value(&mut self, value: &Typed, depth: usize) -> Result<(), Absent> {
        let context = self.context;
        let symbols = context.symbols;
        if self.out.len() > MOST_TEXT {
            self.out.push_str("...");
            return Ok(());
        }
        let shape = value.ty.shape(symbols);
        match &shape {
            Shape::Struct { size: None, .. } => self.out.push_str("<incomplete type>"),
            Shape::Struct { .. } => self.members(value, depth)?,
            Shape::Array { element, count } => self.array(value, element, *count, depth)?,
            Shape::Function => match value.address() {
                Some(addr) if depth == 0 => {
                    let name = value.ty.name(symbols);
                    self.out.push_str(&format!("{{{name}}} {}", scalar::address(symbols, addr)));
                }
                _ => self.out.push_str("<function>"),
            },
            Shape::Void => self.out.push_str("void"),
            Shape::Unknown => return Err(Absent::because("type not known")),
            _ => {
                let size = shape.scalar_size().unwrap_or(0);
                let scalar = context.scalar_of(value, size, shape.is_signed())?;
                match (self.format, &shape) {
                    (Some(format), _) => {
                        self.out.push_str(&scalar::formatted(symbols, &shape, &scalar, format));
                    }
                    (None, Shape::Pointer { target, .. }) => self.pointer(target, scalar.addr()),
                    (None, _) => self.out.push_str(&scalar::plain(symbols, &shape, &scalar)),
                }
            }
        }
        Ok(())
    }

    /// An address with its symbol, and the text there if it is of `char`.
    fn pointer(&mut self, target: &CType, addr: Addr) {
        let symbols = self.context.symbols;
        self.out.push_str(&scalar::address(symbols, addr));
        // kgdb can't read user space (arch/x86/mm/maccess.c), so asking would
        // only cost a packet.
        if addr.0 >> 63 == 1 && target.is_char(symbols) {
            self.string_at(addr);
        }
    }

    fn string_at(&mut self, addr: Addr) {
        if self.limits.elements == 0 {
            return;
        }
        match self.context.string(addr, self.limits) {
            Ok(text) => self.out.push_str(&format!(" {text}")),
            Err(Gap::Missing(_)) => self.out.push_str(" …"),
            Err(gap) => self.out.push_str(&format!(" {}", no_bytes(gap))),
        }
    }

    fn members(&mut self, value: &Typed, depth: usize) -> Result<(), Absent> {
        if depth >= self.limits.depth {
            self.out.push_str("{...}");
            return Ok(());
        }
        let fields = value.ty.members(self.context.symbols);
        if fields.is_empty() {
            self.out.push_str("{<No data fields>}");
            return Ok(());
        }
        self.out.push('{');
        for (i, field) in fields.iter().enumerate() {
            self.out.push_str(if i > 0 { ", " } else { "" });
            self.member(value, field, depth);
        }
        self.out.push('}');
        Ok(())
    }

    fn member(&mut self, value: &Typed, field: &Field, depth: usize) {
        let member = value.field(field);
        if field.name.is_empty() {
            return self.inner(&member, depth);
        }
        self.out.push_str(&field.name);
        self.out.push_str(" = ");
        self.inner(&member, depth + 1);
    }

    fn array(
        &mut self,
        value: &Typed,
        element: &CType,
        count: Option<u64>,
        depth: usize,
    ) -> Result<(), Absent> {
        let context = self.context;
        let symbols = context.symbols;
        let size = element.size(symbols).unwrap_or(0);
        let count = count.unwrap_or(0);
        if count == 0 || size == 0 {
            // An array of no length stands for what follows it.
            let addr = value.address().ok_or(Absent::because("an array of no length"))?;
            self.out.push_str(&scalar::address(symbols, addr));
            // What follows belongs to the value, so `u8` is read too.
            if self.format.is_none() && matches!(element.shape(symbols), Shape::Char { .. }) {
                self.string_at(addr);
            }
            return Ok(());
        }
        let known = count.min((MAX_BYTES / size).max(1));
        let text = matches!(element.shape(symbols), Shape::Char { .. }) && self.format.is_none();
        // Pieces of which some are gone are told one by one.
        let whole = context.bytes(&value.place, known.saturating_mul(size));
        if text && let Ok(bytes) = &whole {
            self.out.push_str(&quoted(bytes, known < count, self.limits));
            return Ok(());
        }
        if let Err(absent @ Absent::Gap(_)) = whole {
            return Err(absent);
        }
        let bytes = whole.unwrap_or_default();
        let raw = |i: u64| bytes.get((i * size) as usize..((i + 1) * size) as usize);
        self.out.push('{');
        let (mut i, mut shown) = (0, 0);
        while i < known && shown < self.limits.elements {
            self.out.push_str(if i > 0 { ", " } else { "" });
            let place = value.place.further(i * size);
            self.inner(&Typed { ty: element.clone(), place, bits: None }, depth + 1);
            let mut run = 1;
            while i + run < known && raw(i).is_some() && raw(i) == raw(i + run) {
                run += 1;
            }
            if run > self.limits.repeats as u64 {
                self.out.push_str(&format!(" <repeats {run} times>"));
                (i, shown) = (i + run, shown + self.limits.repeats);
            } else {
                (i, shown) = (i + 1, shown + 1);
            }
        }
        self.out.push_str(if i < count { "...}" } else { "}" });
        Ok(())
    }
}
