//! Breakpoints as a file of commands (`save breakpoints`), in gdb's form:
//! `source` sets them again.

use super::{
    conduct::{After, Scope},
    request::{BreakKind, Means, ModuleEvent},
    wish::Wish,
};
use std::fmt::Write;

/// The commands that set these wishes.
pub fn script(wishes: &[Wish]) -> String {
    let mut out = String::new();
    for wish in wishes {
        one(&mut out, wish);
    }
    out
}

fn one(out: &mut String, wish: &Wish) {
    let temporary = wish.kind == BreakKind::Temporary;
    let watch = wish.watch.as_ref().map(|watch| watch.access.command());
    let word = match (&wish.catch, wish.means) {
        _ if wish.crash.is_some() && temporary => "tcatch",
        _ if wish.crash.is_some() => "catch",
        (Some(_), _) if temporary => "tcatch",
        (Some(_), _) => "catch",
        (None, _) if wish.conduct.log.is_some() => "dprintf",
        (None, _) if watch.is_some() => watch.unwrap_or_default(),
        (None, Means::Software) if temporary => "tbreak",
        (None, Means::Software) => "break",
        (None, Means::Hardware) if temporary => "thbreak",
        (None, Means::Hardware) => "hbreak",
    };
    let place = match &wish.catch {
        Some(catch) => {
            let event = match catch.event {
                ModuleEvent::Load => "load",
                ModuleEvent::Unload => "unload",
            };
            format!("{event} {}", catch.module.as_deref().unwrap_or_default())
        }
        None => wish.crash.map_or(wish.location.clone(), |event| event.word().to_owned()),
    };
    let force = if wish.forced && wish.crash.is_none() { " --force" } else { "" };
    let _ = write!(out, "{word}{force} {}", place.trim());
    if let Some(log) = &wish.conduct.log {
        let _ = write!(out, ",{log}");
    }
    let when = &wish.when;
    let scope = Scope { task: when.task, cpu: when.cpu, comm: when.comm.clone() }.words();
    if !scope.is_empty() && wish.conduct.log.is_none() {
        let _ = write!(out, " {scope}");
    }
    if let Some(condition) = &when.condition {
        match &wish.conduct.log {
            // What stands behind the format is what it prints.
            Some(_) => {
                let _ = write!(out, "\ncondition $bpnum {condition}");
            }
            None => {
                let _ = write!(out, " if {condition}");
            }
        }
    }
    out.push('\n');
    if wish.conduct.ignore > 0 {
        let _ = writeln!(out, "ignore $bpnum {}", wish.conduct.ignore);
    }
    if !wish.conduct.commands.is_empty() {
        out.push_str("commands\n");
        for command in &wish.conduct.commands {
            let _ = writeln!(out, "  {command}");
        }
        out.push_str("end\n");
    }
    match wish.conduct.after {
        After::Stays => {}
        After::Disabled(count) => {
            let _ = writeln!(out, "enable count {count} $bpnum");
        }
        After::Deleted => out.push_str("enable delete $bpnum\n"),
    }
    if !wish.enabled {
        out.push_str("disable $bpnum\n");
    }
}
