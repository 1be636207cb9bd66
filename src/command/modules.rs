//! Modules as text.

use crate::base::text::printable;
use crate::session::module_answer::{FunctionAnswer, ModuleAnswer, ParameterAnswer, SectionAnswer};
use crate::session::view::ModuleView;

/// Modules of a list that are named at one.
const MOST_NAMED: usize = 8;

/// A table like that of `lsmod`, with where they are and their symbols.
pub fn modules(modules: &[ModuleView]) -> String {
    let name = |module: &ModuleView| printable(&module.name);
    let names = modules.iter().map(|module| name(module).chars().count());
    let width = names.max().unwrap_or(0).max(16);
    let uses: Vec<String> = modules.iter().map(used_by).collect();
    let used = uses.iter().map(|text| text.chars().count()).max().unwrap_or(0).clamp(7, 40);
    let mut out = vec![format!(
        "{:<width$} STATE       SIZE BASE               {:<used$} SYMBOLS",
        "MODULE", "USED BY"
    )];
    for (module, uses) in modules.iter().zip(&uses) {
        let size = module.size.map_or("?".into(), |size| size.to_string());
        let mut line = format!(
            "{:<width$} {:<7} {size:>8} {:<18} {uses:<used$} {}",
            name(module),
            module.state,
            module.base.to_string(),
            module.symbols
        );
        if let Some(path) = &module.path {
            line.push_str(&format!(" from {}", path.display()));
        }
        out.push(line);
        out.extend(module.why.iter().map(|why| format!("    {why}")));
    }
    out.join("\n")
}

/// `2 a,b (OE)`: how often it is used, by which modules, and its taints.
fn used_by(module: &ModuleView) -> String {
    let mut text = match module.refs {
        Some(refs) => refs.to_string(),
        None => "-".into(),
    };
    let mut names: Vec<String> =
        module.used_by.iter().take(MOST_NAMED).map(|name| printable(name)).collect();
    if module.used_by.len() > MOST_NAMED {
        names.push("…".into());
    }
    if module.permanent {
        names.push("[permanent]".into());
    }
    if !names.is_empty() {
        text.push_str(&format!(" {}", names.join(",")));
    }
    if !module.taints.is_empty() {
        text.push_str(&format!(" ({})", module.taints));
    }
    text
}

/// All about one module.
pub fn module(m: &ModuleAnswer) -> String {
    let mut out =
        vec![format!("{}: {}, struct module at {}", printable(&m.name), m.state, m.address)];
    let mut add = |what: &str, text: String| out.push(format!("{what:<11} {text}"));
    for piece in &m.memory {
        let text = piece.text.map_or(String::new(), |text| format!(", {text} of them code"));
        add(piece.what, format!("{} {} bytes{text}", piece.start, piece.size));
    }
    let refs = m.refs.map_or("unknown".into(), |refs| match refs {
        0 => "not in use".into(),
        1 => "once".into(),
        times => format!("{times} times"),
    });
    let permanent =
        if m.permanent { "; it can't be unloaded: it has no exit function" } else { "" };
    add("used", format!("{refs}{permanent}"));
    let lists = [("used by", &m.used_by), ("uses", &m.uses)];
    for (what, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        add(what, names.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", "));
    }
    let facts = [
        ("taints", Some(&m.taints).filter(|taints| !taints.is_empty())),
        ("version", m.version.as_ref()),
        ("srcversion", m.srcversion.as_ref()),
        ("build-id", m.build_id.as_ref()),
    ];
    for (what, text) in facts {
        if let Some(text) = text {
            add(what, printable(text));
        }
    }
    for (what, function) in [("init", &m.init), ("exit", &m.exit)] {
        if let Some(function) = function {
            add(what, self::function(function));
        }
    }
    let path = m.path.as_ref().map_or(String::new(), |path| format!(" from {}", path.display()));
    add("symbols", format!("{}{path}", m.symbols));
    out.extend(m.proven_by.iter().map(|proof| format!("proven by   {proof}")));
    out.extend(m.why.iter().map(|why| format!("    {why}")));
    if !m.parameters.is_empty() {
        out.push("parameters".into());
        let names = m.parameters.iter().map(|p| printable(&p.name).chars().count());
        let types = m.parameters.iter().filter_map(|p| Some(p.type_name.as_ref()?.len()));
        let widths = (names.max().unwrap_or(0), types.max().unwrap_or(0));
        out.extend(m.parameters.iter().map(|p| parameter(p, widths)));
    }
    if !m.sections.is_empty() {
        out.push("sections".into());
        out.extend(m.sections.iter().map(section));
    }
    out.extend(m.troubles.iter().cloned());
    out.join("\n")
}

fn function(f: &FunctionAnswer) -> String {
    let name = f.name.as_ref().map_or(String::new(), |name| format!(" {name}"));
    format!("{}{name}{}", f.address, if f.gone { ", its memory was given back" } else { "" })
}

fn parameter(p: &ParameterAnswer, (names, types): (usize, usize)) -> String {
    let value = match (&p.value, &p.why) {
        (Some(value), _) => format!("= {}", printable(value)),
        (None, Some(why)) => format!("({why})"),
        (None, None) => String::new(),
    };
    let type_name = p.type_name.as_deref().unwrap_or("");
    format!("  {} {:<names$}  {type_name:<types$}  {value}", p.mode, printable(&p.name))
}

fn section(s: &SectionAnswer) -> String {
    let note = match s.state {
        "loaded" => String::new(),
        state => format!("  {state}"),
    };
    format!("  {:<18} {}{note}", s.address.to_string(), printable(&s.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::addr::Addr;

    #[test]
    fn a_module_tells_all() {
        let at = |offset: u64| Addr(0xffff_ffff_c000_0000 + offset);
        let parameter =
            |name: &str, type_name: Option<&str>, value: Result<&str, &str>| ParameterAnswer {
                name: name.into(),
                type_name: type_name.map(str::to_string),
                value: value.ok().map(str::to_string),
                why: value.err().map(str::to_string),
                mode: "0644".into(),
            };
        let section = |name: &str, offset, state| SectionAnswer {
            name: name.into(),
            address: at(offset),
            state,
        };
        let answer = ModuleAnswer {
            name: "hgfs".into(),
            address: at(0x2000),
            state: "live",
            refs: Some(2),
            used_by: vec!["hgfs_pong".into(), "fuse".into()],
            taints: "OE".into(),
            version: Some("1.2".into()),
            init: Some(FunctionAnswer { address: at(0x9000), name: None, gone: true }),
            exit: Some(FunctionAnswer {
                address: at(0x10),
                name: Some("HgfsExit".into()),
                gone: false,
            }),
            sections: vec![section(".text", 0, "loaded"), section(".init.text", 0x9000, "gone")],
            parameters: vec![
                parameter("latency_ms", Some("uint"), Ok("2")),
                parameter("open", None, Err("set by HgfsOpen")),
            ],
            symbols: "loaded",
            proven_by: Some("build-id 5e40".into()),
            troubles: vec!["build-id: 36 bytes can't be read".into()],
            ..ModuleAnswer::default()
        };
        assert_eq!(
            module(&answer),
            "\
hgfs: live, struct module at 0xffffffffc0002000
used        2 times
used by     hgfs_pong, fuse
taints      OE
version     1.2
init        0xffffffffc0009000, its memory was given back
exit        0xffffffffc0000010 HgfsExit
symbols     loaded
proven by   build-id 5e40
parameters
  0644 latency_ms  uint  = 2
  0644 open              (set by HgfsOpen)
sections
  0xffffffffc0000000 .text
  0xffffffffc0009000 .init.text  gone
build-id: 36 bytes can't be read"
        );
    }
}
