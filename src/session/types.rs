//! Questions about types.

use super::{
    answer::{Answer, Failure, HoleAnswer, MemberAnswer, TypeAnswer},
    run::Session,
};
use crate::symbols::{answer::MemberView, placed::Symbols, types::describe::Named};

impl Session {
    /// `ptype`, with offsets `ptype /o`.
    pub(super) fn type_of(&self, name: &str, offsets: bool) -> Result<Answer, Failure> {
        let symbols = self.usable_symbols();
        let named = find(&symbols, name)?;
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
    pub(super) fn what_is(&self, name: &str) -> Result<Answer, Failure> {
        let symbols = self.usable_symbols();
        let name = symbols.whatis(find(&symbols, name)?);
        let text = format!("type = {name}");
        let (size, members, summary) = (None, Vec::new(), None);
        Ok(Answer::Type(Box::new(TypeAnswer { name, text, size, members, summary })))
    }
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
