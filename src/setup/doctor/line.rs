//! The line itself: what listens at its other end, which of the guest's ports it
//! is, and, where the guest is stopped, what its kernel tells.

use super::{Asked, Health, Known, Part, Report, kernel};
use crate::{
    kernel::kconfig::Config,
    session::{
        answer::{Answer, Failure},
        options::Options,
        request::{Handle, Leave, Listing, Pattern, Request, Update},
        run::{self, Started},
        view::{State, SymbolsView, View},
    },
    setup::guest_script,
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, timeout, timeout_at},
};

const LINE: Part = Part::Line;
const FILES: Part = Part::Files;

/// What is looked at when it is found out which of the guest's ports the line is.
const PORT: &str = "which port";

/// As much of what the guest prints as a marker is looked for in.
const KEPT: usize = 4096;

/// What stops a guest by hand.
const BY_HAND: &str = "in the guest, as root: echo g > /proc/sysrq-trigger";

/// A session for as long as it is asked.
struct Talk {
    handle: Handle,
    updates: UnboundedReceiver<Update>,
    last: Option<Arc<View>>,
    /// The end of what the guest printed.
    heard: String,
    patience: Duration,
}

impl Talk {
    fn start(options: Options, patience: Duration) -> io::Result<Talk> {
        let Started { handle, updates, .. } = run::start(options)?;
        Ok(Talk { handle, updates, last: None, heard: String::new(), patience })
    }

    /// Takes news in; the words that tell the user what to do are said.
    fn take(&mut self, update: Update, say: &mut dyn FnMut(&str)) {
        match update {
            Update::View(view) => {
                let what = |view: &Arc<View>| match &view.state {
                    State::BreakingIn { what, .. } => Some(what.clone()),
                    _ => None,
                };
                let new = what(&view);
                if new.is_some() && new != self.last.as_ref().and_then(what) {
                    say(&new.unwrap_or_default());
                }
                self.last = Some(view);
            }
            Update::Console(text) => {
                self.heard.push_str(&String::from_utf8_lossy(&text));
                let excess = self.heard.len().saturating_sub(KEPT);
                let cut = (excess..).find(|at| self.heard.is_char_boundary(*at));
                self.heard.drain(..cut.unwrap_or_default());
            }
            Update::Message(..) | Update::Log(_) | Update::Ended(_) => {}
        }
    }

    /// Waits until it is known what listens, and the symbols are there.
    async fn settle(&mut self, say: &mut dyn FnMut(&str)) {
        let end = Instant::now() + self.patience;
        while !self.last.as_ref().is_some_and(|view| is_settled(view)) {
            match timeout_at(end, self.updates.recv()).await {
                Ok(Some(update)) => self.take(update, say),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// One request; what takes too long is given up.
    async fn ask(
        &mut self,
        request: Request,
        say: &mut dyn FnMut(&str),
    ) -> Result<Answer, Failure> {
        let breaks_in = request == Request::BreakIn;
        let mut answer = self.handle.send(request);
        let mut end = Instant::now() + self.patience;
        let mut given_up = false;
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => {
                    return answer.unwrap_or_else(|_| Err(Failure::NoTarget("the session has ended".into())));
                }
                Some(update) = self.updates.recv() => self.take(update, say),
                () = tokio::time::sleep_until(end) => {
                    if !breaks_in || given_up {
                        return Err(Failure::Timeout(self.patience));
                    }
                    given_up = true;
                    end += Duration::from_secs(5);
                    drop(self.handle.send(Request::CancelBreakIn));
                }
            }
        }
    }

    fn state(&self) -> State {
        self.last.as_ref().map_or(State::Knocking, |view| view.state.clone())
    }

    /// Parts from the guest, and says how it is left.
    async fn leave(&mut self, how: Leave) -> Result<(), Failure> {
        let left = timeout(self.patience, self.handle.send(Request::Leave(how))).await;
        match left {
            Ok(Ok(answer)) => answer.map(|_| ()),
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(Failure::Timeout(self.patience)),
        }
    }
}

fn is_settled(view: &View) -> bool {
    let symbols = match view.symbols {
        SymbolsView::Loading(_) => false,
        // A vmlinux that was not given is looked for at a stop.
        SymbolsView::Looking(_) => !view.state.is_stopped(),
        _ => true,
    };
    match &view.state {
        State::Stopped | State::Running { .. } | State::Offline => symbols,
        State::Connecting { why } => !why.is_empty(),
        State::Lost { .. } => true,
        State::Knocking | State::BreakingIn { .. } => false,
    }
}

/// Looks at files, at the line, and at what is behind it.
pub(super) async fn look(
    report: &mut Report,
    asked: &Asked,
    usable: bool,
    config: &mut Option<Known>,
    say: &mut dyn FnMut(&str),
) -> io::Result<()> {
    // Nothing is kept of this, and nothing that was kept is planted.
    let options = Options { state_dir: None, eager: false, ..asked.options.clone() };
    match &options.vmlinux {
        Some(_) => {
            let alone = Options { connect: None, record: None, ..options.clone() };
            let mut talk = Talk::start(alone, asked.timeout)?;
            talk.settle(say).await;
            files(report, &mut talk, config, say).await;
            let _ = talk.leave(Leave::AsIs).await;
        }
        None => {
            let why = "none was given";
            let give = "--vmlinux FILE; or a stopped guest with kdb, which leads to it";
            report.not_looked(FILES, "vmlinux", why, give);
        }
    }
    if !usable || options.connect.is_none() {
        let why = "the line can't be used yet (see above)";
        report.not_looked(LINE, "what listens", why, "cure that, and run this again");
        kernel::not_looked(report, "there is no connection");
        return Ok(());
    }
    let mut talk = Talk::start(options, asked.timeout)?;
    talk.settle(say).await;
    match talk.state() {
        State::Stopped => {
            report.ok(LINE, "what listens", "a stopped kernel, which answers as kgdb does");
            if asked.listen.is_some() {
                let why = "the guest is stopped, and prints nothing";
                report.not_looked(LINE, PORT, why, "let it run, and ask again");
            }
            guest(report, &mut talk, asked, config, say).await;
            left(report, talk.leave(Leave::Stopped).await, "stopped, it waits for a debugger");
        }
        State::Running { what, .. } => running(report, &mut talk, asked, config, &what, say).await,
        State::Connecting { why } | State::Lost { why } => {
            let cure = "what it says; then run this again";
            report.wrong(LINE, "what listens", why, cure);
            kernel::not_looked(report, "there is no connection");
        }
        State::Offline | State::Knocking | State::BreakingIn { .. } => {
            let found = format!("nothing was found out in {} s", asked.timeout.as_secs());
            report.wrong(LINE, "what listens", found, "--timeout SECONDS, for a line so slow");
            kernel::not_looked(report, "it is not known what listens");
        }
    }
    Ok(())
}

fn left(report: &mut Report, result: Result<(), Failure>, how: &str) {
    match result {
        Ok(()) => report.ok(LINE, "the guest is left", how),
        Err(why) => {
            let cure = "connect with kgdb-tui, and leave with q";
            report.wrong(LINE, "the guest is left", why.to_string(), cure);
        }
    }
}

async fn running(
    report: &mut Report,
    talk: &mut Talk,
    asked: &Asked,
    config: &mut Option<Known>,
    what: &str,
    say: &mut dyn FnMut(&str),
) {
    // What follows is for the keys of the screen.
    let what = what.split(';').next().unwrap_or_default();
    // Silence says little: only what was heard is sure to be there.
    if talk.heard.is_empty() && !asked.stop {
        let give = "--listen 60 or --stop, which make sure that it is the guest";
        let silent = report.add(LINE, Health::NotLooked, "what listens", what);
        silent.cure = Some(give.to_owned());
    } else {
        report.ok(LINE, "what listens", what);
    }
    let port = marker(report, talk, asked, say).await;
    if !asked.stop {
        let why = "the guest runs";
        kernel::not_looked_unless_stopped(report, why);
        left(report, talk.leave(Leave::Detach).await, "running");
        return;
    }
    match talk.ask(Request::BreakIn, say).await {
        Ok(_) => {
            report.ok(LINE, "stop", "the guest could be stopped");
            guest(report, talk, asked, config, say).await;
        }
        Err(why) => {
            let tty = port.map_or(String::new(), |port| format!(" --tty {port}"));
            let cure = format!(
                "while this waits, type in the guest, as root: echo g > /proc/sysrq-trigger; if that does not stop it, the script of kgdb-tui guest-setup{tty} says why there: sh SCRIPT check"
            );
            report.wrong(LINE, "stop", why.to_string(), &cure);
            kernel::not_looked(report, "the guest could not be stopped");
        }
    }
    left(report, talk.leave(Leave::Detach).await, "running");
}

/// Listens for the name of the guest's port.
async fn marker(
    report: &mut Report,
    talk: &mut Talk,
    asked: &Asked,
    say: &mut dyn FnMut(&str),
) -> Option<String> {
    let Some(time) = asked.listen else {
        let give = "--listen 60, and meanwhile in the guest, as root: sh SCRIPT mark (the script of kgdb-tui guest-setup)";
        report.not_looked(LINE, PORT, "nobody listened for its marker", give);
        return None;
    };
    say(
        "listening for a marker; in the guest, as root: sh SCRIPT mark (the script of kgdb-tui guest-setup)",
    );
    let end = Instant::now() + time;
    loop {
        if let Some(port) = guest_script::marked(&talk.heard) {
            report.ok(LINE, PORT, format!("this line is the guest's {port}"));
            return Some(port);
        }
        match timeout_at(end, talk.updates.recv()).await {
            Ok(Some(update)) => talk.take(update, say),
            Ok(None) | Err(_) => break,
        }
    }
    let found = format!("no marker came in {} s", time.as_secs());
    let cure = "the line leads elsewhere: compare the serial ports of the machine (--vmx FILE) with the relay's socket, and grep -v unknown /proc/tty/driver/serial in the guest";
    report.warning(LINE, PORT, found, cure);
    None
}

/// What a stopped guest tells.
async fn guest(
    report: &mut Report,
    talk: &mut Talk,
    asked: &Asked,
    config: &mut Option<Known>,
    say: &mut dyn FnMut(&str),
) {
    // The symbols may be looked for, or proven, only now.
    talk.settle(say).await;
    let target = match talk.ask(Request::Target, say).await {
        Ok(Answer::Target(target)) => Some(*target),
        _ => None,
    };
    let proven = target.as_ref().is_some_and(|target| kernel::identity(report, target));
    if let Ok(Answer::Link(link)) = talk.ask(Request::Link, say).await {
        let found = format!("{}, {} requests", link.description, link.total.packets);
        match link.bad_checksums + link.resends {
            0 => report.ok(LINE, "bytes", format!("{found}, none damaged or lost")),
            _ => {
                let found =
                    format!("{found}, {} damaged, {} sent again", link.bad_checksums, link.resends);
                let cure = "the same baud rate on both sides; a shorter or better cable; no other program on the line";
                report.warning(LINE, "bytes", found, cure);
            }
        }
    }
    if asked.options.vmlinux.is_none() && proven {
        report.checks.retain(|check| check.part != FILES);
        files(report, talk, config, say).await;
    }
    match talk.ask(Request::Kgdb, say).await {
        Ok(Answer::Kgdb(facts)) => {
            kernel::facts(report, &facts);
            // kgdb answers on no other port than its own.
            let tty = facts.kgdboc.as_deref().unwrap_or_default().split(',');
            if let Some(tty) = tty.into_iter().find(|word| word.starts_with("tty")) {
                report.checks.retain(|check| check.what != PORT);
                report.ok(
                    LINE,
                    PORT,
                    format!("this line is the guest's {tty}: kgdb answers there"),
                );
            }
        }
        Ok(_) => {}
        Err(why) => kernel::not_looked(report, &why.to_string()),
    }
}

/// The vmlinux, the sources, and the configuration that the first tells.
async fn files(
    report: &mut Report,
    talk: &mut Talk,
    config: &mut Option<Known>,
    say: &mut dyn FnMut(&str),
) {
    let what = "vmlinux";
    let Some(view) = talk.last.clone() else {
        return report.wrong(FILES, what, "it could not be loaded in time", "--timeout SECONDS");
    };
    let target = &view.target;
    let path = target.vmlinux.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let id = target.vmlinux_build_id.clone().unwrap_or_else(|| "none".into());
    match &view.symbols {
        SymbolsView::Ready => {
            report.ok(FILES, what, format!("{path}, with debug info, build-id {id}"));
        }
        SymbolsView::NoDebugInfo => {
            let cure = "the distribution's debug package (linux-image-RELEASE-dbgsym, -dbg, kernel-debuginfo), or the vmlinux of the build directory";
            report.warning(
                FILES,
                what,
                format!("{path} has no debug info: no lines, no types"),
                cure,
            );
        }
        SymbolsView::Failed(why) => {
            let cure = "give the vmlinux of the guest's kernel, not its bzImage or vmlinuz";
            return report.wrong(FILES, what, why.clone(), cure);
        }
        SymbolsView::None | SymbolsView::Looking(_) | SymbolsView::Loading(_) => {
            return report.wrong(
                FILES,
                what,
                "it could not be loaded in time",
                "--timeout SECONDS",
            );
        }
    }
    let around = Request::List(Listing::Around("start_kernel".into()));
    match talk.ask(around, say).await {
        Ok(Answer::Source(source)) => match source.path {
            Some(path) => report.ok(FILES, "sources", format!("found: {}", path.display())),
            None => report.warning(FILES, "sources", "not found", "--source-dir DIR"),
        },
        Ok(_) => {}
        Err(why) => {
            let cure = "--substitute-path FROM=TO, or --source-dir DIR; without sources there are instructions";
            report.warning(FILES, "sources", why.to_string(), cure);
        }
    }
    let all = Pattern { text: None, limit: Some(usize::MAX) };
    if config.is_none()
        && let Ok(Answer::Config(found)) = talk.ask(Request::Config(all), say).await
    {
        let from = match found.from {
            "vmlinux" => format!("{path}, which has it inside (CONFIG_IKCONFIG)"),
            "memory" => "the guest's memory (CONFIG_IKCONFIG)".to_owned(),
            _ => "the symbols of the vmlinux".to_owned(),
        };
        let whole = found.from != "symbols";
        *config = Some(Known { config: Config::of_options(found.options, whole), from });
    }
}

/// How to stop the guest, for what needs that.
pub(super) fn stop_words() -> String {
    format!("--stop, which stops it for a moment; or stop it, {BY_HAND}")
}
