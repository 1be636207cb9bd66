//! One line of a pane: the beginning of a struct or array, cut to a width,
//! with nothing read that is not shown.

use super::{Limits, chars::quoted};
use crate::{
    base::memory::Gap,
    eval::{
        ctype::{CType, Shape},
        location::{Absent, Context, Place},
        typed::Typed,
    },
};

/// Members or elements that are looked at: more do not fit a line.
const MOST_PARTS: usize = 8;

/// Structs inside structs that are opened.
const MAX_DEPTH: usize = 2;

/// Characters of an array or behind a pointer.
const LIMITS: Limits = Limits { elements: 48, repeats: 10, depth: MAX_DEPTH };

impl Context<'_> {
    /// A value in one line of about `width` columns: a scalar whole, of a
    /// struct or array the first parts and `…`.
    pub fn brief(&self, value: &Typed, width: usize) -> Result<String, Absent> {
        let text = self.part(value, width, 0)?;
        Ok(match text.char_indices().nth(width) {
            Some((cut, _)) if text.starts_with('{') => format!("{}…", &text[..cut]),
            _ => text,
        })
    }

    fn part(&self, value: &Typed, width: usize, depth: usize) -> Result<String, Absent> {
        match value.ty.shape(self.symbols) {
            Shape::Struct { size: Some(_), .. } => self.first_members(value, width, depth),
            Shape::Array { element, count: Some(count @ 1..) } => {
                self.first_elements(value, &element, count, width, depth)
            }
            // What a member points to is below it.
            _ if depth > 0 => self.text(value, None, &Limits { elements: 0, ..LIMITS }),
            _ => self.text(value, None, &LIMITS),
        }
    }

    fn first_members(&self, value: &Typed, width: usize, depth: usize) -> Result<String, Absent> {
        if depth > MAX_DEPTH {
            return Ok("{…}".to_string());
        }
        let fields = value.ty.members(self.symbols);
        // All that may be shown in one read, when it is next to each other.
        if let (Place::Memory(addr), Some(last)) =
            (&value.place, fields.iter().take(MOST_PARTS).next_back())
        {
            let end = last.offset.saturating_add(last.size);
            if end <= 256 {
                self.memory.bytes(*addr, end as usize)?;
            }
        }
        let mut out = String::from("{");
        for (i, field) in fields.iter().enumerate() {
            if i >= MOST_PARTS || out.len() > width {
                out.push_str(if i > 0 { ", …" } else { "…" });
                break;
            }
            out.push_str(if i > 0 { ", " } else { "" });
            let left = width.saturating_sub(out.len());
            let inner = if field.name.is_empty() { depth } else { depth + 1 };
            let text = self.or_why(self.part(&value.field(field), left, inner))?;
            match field.name.is_empty() {
                true => out.push_str(&text),
                false => out.push_str(&format!("{} = {text}", field.name)),
            }
        }
        out.push('}');
        Ok(out)
    }

    fn first_elements(
        &self,
        value: &Typed,
        element: &CType,
        count: u64,
        width: usize,
        depth: usize,
    ) -> Result<String, Absent> {
        let shape = element.shape(self.symbols);
        if let Shape::Char { .. } = shape {
            let most = count.min(LIMITS.elements as u64);
            let bytes = self.bytes(&value.place, most)?;
            // What follows the end of a string is of no interest in a line.
            let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            let ended = text.len() < bytes.len() || most == count;
            return Ok(quoted(text, !ended, &LIMITS));
        }
        if depth > MAX_DEPTH {
            return Ok("{…}".to_string());
        }
        let size = element.size(self.symbols).unwrap_or(0);
        let shown = count.min(MOST_PARTS as u64);
        let mut out = String::from("{");
        for i in 0..shown {
            if out.len() > width {
                out.push_str(", …}");
                return Ok(out);
            }
            out.push_str(if i > 0 { ", " } else { "" });
            let place = value.place.further(i.saturating_mul(size));
            let part = Typed { ty: element.clone(), place, bits: None };
            let left = width.saturating_sub(out.len());
            out.push_str(&self.or_why(self.part(&part, left, depth + 1))?);
        }
        out.push_str(if shown < count { ", …}" } else { "}" });
        Ok(out)
    }

    /// The text of a part, or why it has none; memory that is not read yet
    /// makes the whole wait.
    fn or_why(&self, part: Result<String, Absent>) -> Result<String, Absent> {
        match part {
            Err(absent @ Absent::Gap(Gap::Missing(_))) => Err(absent),
            Err(absent) => Ok(format!("<{absent}>")),
            Ok(text) => Ok(text),
        }
    }
}
