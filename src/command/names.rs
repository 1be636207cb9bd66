//! Names, scopes and types as text, in gdb's words.

use crate::session::symbol_answer::{
    NameAnswer, NamesAnswer, ScopeAnswer, ScopeVariable, TypeAnswer,
};
use std::fmt::Write;

/// `info functions` and the like: by file, as gdb groups them.
pub fn names(answer: &NamesAnswer) -> String {
    if answer.what == "sources" {
        return sources(answer);
    }
    let mut out = match &answer.pattern {
        Some(pattern) => {
            format!("All {} matching regular expression \"{pattern}\":", answer.what)
        }
        None => format!("All defined {}:", answer.what),
    };
    let in_file = |symbol: &&NameAnswer| symbol.kind != "inline" && symbol.declaration.is_some();
    by_file(&mut out, answer.symbols.iter().filter(in_file));
    let mut inlined = answer.symbols.iter().filter(|symbol| symbol.kind == "inline").peekable();
    if inlined.peek().is_some() {
        out.push_str("\n\nInlined wherever they are called:");
        by_file(&mut out, inlined);
    }
    let bare = |symbol: &&NameAnswer| symbol.declaration.is_none();
    let mut bare = answer.symbols.iter().filter(bare).peekable();
    if bare.peek().is_some() {
        out.push_str("\n\nNon-debugging symbols:");
        for symbol in bare {
            let address = symbol.address.map_or(String::new(), |address| address.to_string());
            let module = symbol.module.as_ref().map_or(String::new(), |name| format!(" [{name}]"));
            let _ = write!(out, "\n{address}  {}{module}", symbol.name);
        }
    }
    if answer.symbols.is_empty() {
        out.push_str("\nnone");
    }
    more(&mut out, answer);
    out
}

fn more(out: &mut String, answer: &NamesAnswer) {
    if answer.more > 0 {
        let _ = write!(
            out,
            "\n… and {} more; say more of the name, or -n COUNT before it",
            answer.more
        );
    }
}

fn by_file<'a>(out: &mut String, symbols: impl Iterator<Item = &'a NameAnswer>) {
    let mut last: Option<(&Option<String>, &Option<String>)> = None;
    for symbol in symbols {
        let place = (&symbol.shown_file, &symbol.module);
        if last != Some(place) {
            last = Some(place);
            let module = symbol.module.as_ref().map_or(String::new(), |name| format!(" [{name}]"));
            let _ = match &symbol.shown_file {
                Some(file) => write!(out, "\n\nFile {file}{module}:"),
                None => write!(out, "\n\nOf no file{module}:"),
            };
        }
        let line = symbol.line.map_or(String::new(), |line| format!("{line}:"));
        let declared = symbol.declaration.as_deref().unwrap_or(&symbol.name);
        let _ = write!(out, "\n{line}\t{declared}");
    }
}

fn sources(answer: &NamesAnswer) -> String {
    let count = answer.names.len() + answer.more;
    let mut out = answer.names.join("\n");
    more(&mut out, answer);
    let fit = if answer.pattern.is_some() { " that fit" } else { "" };
    let files = if count == 1 { "file" } else { "files" };
    let _ = write!(out, "\n{count} source {files}{fit}");
    out.trim_start().to_owned()
}

/// `info scope`: each variable, where it is at the place, and where else.
pub fn scope(answer: &ScopeAnswer) -> String {
    let within = answer.function.as_ref().map_or(String::new(), |name| format!(" in {name}"));
    if answer.variables.is_empty() {
        return format!("no variables can be seen at {}{within}", answer.address);
    }
    let mut out = format!("Scope for {} ({}{within}):", answer.location, answer.address);
    for variable in &answer.variables {
        let _ = write!(out, "\n{}", seen(variable));
        for range in &variable.ranges {
            let _ = write!(out, "\n    {} to {}: {}", range.start, range.end, range.value);
        }
    }
    out
}

fn seen(variable: &ScopeVariable) -> String {
    let kind = if variable.argument { "argument" } else { "variable" };
    let size = variable.size.map_or(String::new(), |size| format!(", length {size}"));
    format!("{kind} {} ({}) is {}{size}", variable.name, variable.type_name, variable.value)
}

/// `ptype`; the figures of a struct follow gdb's text.
pub fn described(answer: &TypeAnswer) -> String {
    match &answer.summary {
        Some(summary) => format!("{}\n{summary}", answer.text),
        None => answer.text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str, file: Option<&str>, declaration: Option<&str>) -> NameAnswer {
        NameAnswer {
            name: name.into(),
            kind: "function",
            file: file.map(str::to_owned),
            shown_file: file.map(str::to_owned),
            line: file.map(|_| 7),
            address: Some(crate::base::addr::Addr(0x1000)),
            type_name: None,
            declaration: declaration.map(str::to_owned),
            module: None,
        }
    }

    #[test]
    fn names_are_grouped_as_gdb_groups_them() {
        let answer = NamesAnswer {
            what: "functions",
            pattern: Some("f".into()),
            names: Vec::new(),
            symbols: vec![
                symbol("f", Some("a.c"), Some("int f(void);")),
                symbol("g", Some("a.c"), Some("static int g(void);")),
                symbol("h", Some("b.c"), Some("void h(void);")),
                symbol("fs", None, None),
            ],
            truncated: true,
            more: 3,
        };
        assert_eq!(
            names(&answer),
            "All functions matching regular expression \"f\":\n\nFile a.c:\n7:\tint f(void);\n\
             7:\tstatic int g(void);\n\nFile b.c:\n7:\tvoid h(void);\n\nNon-debugging symbols:\n\
             0x1000  fs\n… and 3 more; say more of the name, or -n COUNT before it"
        );
    }
}
