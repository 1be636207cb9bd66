//! Names that were searched, with what tells those of one name apart.

use super::{code::Code, symbol_answer::MatchAnswer};
use crate::symbols::{
    lookup::search::{Found, NameKind},
    placed::{Symbols, VMLINUX},
};

impl Code {
    /// The names that fit `text` best, at most `limit`, best first.
    pub fn matches(&self, symbols: &Symbols, text: &str, limit: usize) -> Vec<MatchAnswer> {
        let found = self.search(symbols, text, limit);
        // vmlinux, or a module, has the name as well.
        let ambiguous = |one: &Found| {
            let other = |other: &Found| other.name == one.name && other.module != one.module;
            found.iter().any(other)
        };
        let choices: Vec<Option<String>> = (found.iter())
            .map(|one| {
                let module = one.module.as_deref().unwrap_or(VMLINUX);
                let is_code = matches!(one.kind, NameKind::Function | NameKind::Variable);
                (is_code && ambiguous(one)).then(|| format!("{module}!{}", one.name))
            })
            .collect();
        let answer = |(found, choose): (Found, Option<String>)| MatchAnswer {
            choose,
            name: found.name,
            kind: found.kind.word(),
            file: found.file,
            line: found.line,
            module: found.module,
            score: found.score,
        };
        found.into_iter().zip(choices).map(answer).collect()
    }
}
