//! The demo's way to a stopped guest, told on the terminal as it goes.

use super::{
    DemoError, Progress,
    build::{Built, COMPILED_IN, Recipe},
    guest::{Boot, Guest, Hgfs, Link, Mode},
    packages,
};
use crate::base::text;
use crate::session::options::Options;
use std::{
    io::{self, BufRead, IsTerminal, Write},
    sync::atomic::AtomicBool,
};

/// Where the debugger finds the guest and its files.
pub struct Target {
    built: Built,
    address: String,
}

impl Target {
    /// The session's options for the demo guest, on top of the user's own.
    pub fn options(&self, own: Options) -> Options {
        let source = self.built.source.display().to_string();
        Options {
            // The address is one of ours, so it can be read.
            connect: self.address.parse().ok(),
            vmlinux: Some(self.built.vmlinux.clone()),
            module_paths: vec![self.built.modules.clone()],
            // The guest is gone in the end, and its address with it.
            state_dir: None,
            substitute: vec![(COMPILED_IN.to_string(), source)],
            ..own
        }
    }
}

/// Installs what is missing and builds the guest, once.
pub fn prepare(yes: bool) -> Result<Built, DemoError> {
    let mut bar = Bar::new();
    let missing = packages::missing(packages::NEEDED);
    if !missing.is_empty() {
        eprintln!("The demo guest needs these packages: {}", missing.join(" "));
        let mut ask = |question: &str| yes || ask(question);
        packages::install(&missing, &mut ask, &mut |progress| bar.show(progress))?;
        bar.end();
    }
    // The key of the build has the versions of what was installed in it.
    let recipe = Recipe::current()?;
    if !recipe.is_built() {
        eprintln!(
            "Building the demo guest, once; about 10 minutes. It is kept in {}",
            recipe.guest_dir().display()
        );
    }
    let built = recipe.build(&AtomicBool::new(false), &mut |progress| bar.show(progress))?;
    bar.end();
    Ok(built)
}

/// Boots the guest and stops it, as a user would from its shell.
pub fn boot(built: &Built, kaslr: bool) -> Result<(Guest, Target), DemoError> {
    eprintln!("Booting the demo guest in QEMU …");
    let boot = Boot {
        mode: Mode::Running,
        link: Link::SocatTcp,
        kaslr,
        hgfs: Hgfs::Busy,
        append: String::new(),
    };
    let mut guest = Guest::boot(built, &boot)?;
    if let Some(shell) = guest.shell() {
        shell.break_in()?;
    }
    let target = Target { built: built.clone(), address: guest.address().to_string() };
    Ok((guest, target))
}

fn ask(question: &str) -> bool {
    eprint!("{question} [y/N] ");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}

/// A progress bar of one line on standard error; plain lines when that is no
/// terminal.
struct Bar {
    terminal: bool,
    shown: String,
}

impl Bar {
    fn new() -> Bar {
        Bar { terminal: io::stderr().is_terminal(), shown: String::new() }
    }

    fn show(&mut self, progress: &Progress) {
        let line = line(progress, self.terminal);
        if line == self.shown {
            return;
        }
        let mut err = io::stderr().lock();
        // A bar that can't be drawn is no reason to end a build.
        let _ = if self.terminal {
            write!(err, "\r\x1b[K{line}").and_then(|()| err.flush())
        } else {
            writeln!(err, "{line}")
        };
        self.shown = line;
    }

    fn end(&mut self) {
        if self.terminal && !self.shown.is_empty() {
            eprintln!();
        }
        self.shown.clear();
    }
}

fn line(progress: &Progress, bar: bool) -> String {
    const WIDTH: usize = 24;
    let head = format!("{}/{}", progress.step, progress.steps);
    if !bar {
        return format!("{head} {}", progress.title);
    }
    let done = (progress.fraction.clamp(0.0, 1.0) * WIDTH as f64) as usize;
    let rest = progress.eta.map_or(String::new(), |eta| format!(", {} left", text::duration(eta)));
    format!("[{}{}] {head} {}{rest}", "█".repeat(done), "░".repeat(WIDTH - done), progress.title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bar_tells_the_step_and_the_rest() {
        let progress = Progress {
            step: 3,
            steps: 6,
            title: "compiling the kernel".into(),
            fraction: 0.5,
            eta: Some(Duration::from_secs(200)),
        };
        assert_eq!(
            line(&progress, true),
            "[████████████░░░░░░░░░░░░] 3/6 compiling the kernel, 3 min 20 s left"
        );
        assert_eq!(line(&progress, false), "3/6 compiling the kernel");
    }
}
