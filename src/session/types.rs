//! Questions about types.

use super::{
    answer::{Answer, Failure},
    run::Session,
    symbol_answer::{HoleAnswer, MemberAnswer, TypeAnswer},
};
use crate::eval::{ctype::CType, expr::evaluate};
use crate::symbols::{answer::MemberView, placed::Symbols, types::describe::Named};

/// A type that a user named, or that an expression has.
enum Meant {
    /// One that the symbols describe.
    Named(Named),
    /// One that is built of it, or of the language's own.
    Built(CType),
}

impl Session {
    /// `ptype`, with offsets `ptype /o`.
    pub(super) async fn type_of(&mut self, text: &str, offsets: bool) -> Result<Answer, Failure> {
        let meant = self.meant(text).await?;
        let symbols = self.usable_symbols();
        let named = match meant {
            Meant::Named(named) => named,
            Meant::Built(ty) => return Ok(built(&symbols, &ty)),
        };
        let described = symbols.describe_type(named, offsets);
        Ok(Answer::Type(Box::new(TypeAnswer {
            name: described.name,
            text: described.text,
            size: described.size,
            members: described.members.into_iter().map(member).collect(),
            summary: described.summary.filter(|_| offsets),
        })))
    }

    /// `whatis`.
    pub(super) async fn what_is(&mut self, text: &str) -> Result<Answer, Failure> {
        let meant = self.meant(text).await?;
        let symbols = self.usable_symbols();
        let name = match meant {
            Meant::Named(named) => symbols.whatis(named),
            Meant::Built(ty) => ty.name(&symbols),
        };
        let text = format!("type = {name}");
        let (size, members, summary) = (None, Vec::new(), None);
        Ok(Answer::Type(Box::new(TypeAnswer { name, text, size, members, summary })))
    }

    /// The type of an expression, or the type, variable or function of a name.
    async fn meant(&mut self, text: &str) -> Result<Meant, Failure> {
        let found = self.see(|context, scene| evaluate::type_of(context, scene, text)).await?;
        match found {
            Ok((CType::Known(ty), is_type)) => Ok(Meant::Named(Named { ty, pointers: 0, is_type })),
            Ok((ty, _)) => Ok(Meant::Built(ty)),
            Err(error) => {
                let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | ' ' | '*' | '!');
                match find(&self.usable_symbols(), text) {
                    Ok(named) => Ok(Meant::Named(named)),
                    Err(why) if text.chars().all(plain) => Err(why),
                    Err(_) => Err(self.failed(text, error)),
                }
            }
        }
    }
}

/// A type that is built of others, with the members of the struct that it is
/// built of.
fn built(symbols: &Symbols, ty: &CType) -> Answer {
    let name = ty.name(symbols);
    let mut base = ty;
    while let CType::Pointer(of) | CType::Array(of, _) | CType::Qualified(_, of) = base {
        base = of;
    }
    let whole = base.known().map(|ty| Named { ty, pointers: 0, is_type: false });
    let text = whole.and_then(|named| {
        // `const struct page *` is what the struct is with something around it.
        let at = name.find(&symbols.whatis(named))?;
        let (before, after) = (&name[..at], &name[at + symbols.whatis(named).len()..]);
        let described = symbols.describe_type(named, false).text;
        Some(format!("type = {before}{}{after}", described.strip_prefix("type = ")?))
    });
    let text = text.unwrap_or_else(|| format!("type = {name}"));
    let (size, members, summary) = (ty.size(symbols), Vec::new(), None);
    Answer::Type(Box::new(TypeAnswer { name, text, size, members, summary }))
}

fn find(symbols: &Symbols, name: &str) -> Result<Named, Failure> {
    symbols.find_typed(name).ok_or_else(|| {
        let anything = symbols.images().any(|placed| placed.has_types());
        Failure::Other(match anything {
            true => format!("no type, variable or function '{name}'; 'info types TEXT' searches"),
            false => "no types are known: no symbols with DWARF or BTF are loaded".into(),
        })
    })
}

fn member(view: MemberView) -> MemberAnswer {
    MemberAnswer {
        name: view.name,
        offset: view.offset,
        size: view.size,
        bit: view.bit,
        bits: view.bits,
        type_name: view.type_name,
        hole: view.hole.map(|gap| HoleAnswer { bytes: gap.bytes, bits: gap.bits }),
    }
}
