//! The guest's kernel: whose it is, and how kgdb is set up in it.

use super::{Part, Report, line::stop_words};
use crate::session::{
    kernel_facts::KgdbAnswer,
    view::{Match, TargetView},
};

const GUEST: Part = Part::Guest;

/// That nothing was looked at.
pub(super) fn not_looked(report: &mut Report, why: &str) {
    let give = "a stopped guest, and its vmlinux (--vmlinux)";
    report.not_looked(GUEST, "release, command line, kgdboc, sysrq", why, give);
}

/// The same of a guest that runs.
pub(super) fn not_looked_unless_stopped(report: &mut Report, why: &str) {
    report.not_looked(GUEST, "release, command line, kgdboc, sysrq", why, &stop_words());
}

/// Whose kernel it is; whether the vmlinux is proven to be its own.
pub(super) fn identity(report: &mut Report, target: &TargetView) -> bool {
    let release = target.release.clone();
    match &release {
        Some(release) => report.ok(GUEST, "release", release.clone()),
        None => report.not_looked(
            GUEST,
            "release",
            "neither kdb nor a vmlinux tells it",
            "--vmlinux FILE",
        ),
    }
    let release = release.unwrap_or_else(|| "RELEASE".into());
    let what = "vmlinux";
    let path = target.vmlinux.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    match target.matches {
        Match::Match => {
            report.ok(GUEST, what, format!("{path} is the guest's own, proven by its build-id"));
            if let Some(slide) = target.slide {
                let found = format!("{slide}, found by itself; nokaslr is not needed");
                report.ok(GUEST, "KASLR slide", found);
            }
        }
        Match::Mismatch | Match::Trusted => {
            let id = |id: &Option<String>| id.clone().unwrap_or_else(|| "unknown".into());
            let (file, guest) = (id(&target.vmlinux_build_id), id(&target.build_id));
            let found = format!(
                "{path} is NOT the guest's kernel: its build-id is {file}, the guest's is {guest}"
            );
            let cure = format!(
                "the debug package of {release} (linux-image-{release}-dbgsym, -dbg, kernel-debuginfo), or the vmlinux of the build that the guest runs"
            );
            report.wrong(GUEST, what, found, &cure);
        }
        Match::Unknown if target.vmlinux.is_none() => {
            let looked = match target.looked.is_empty() {
                true => "none was given".to_owned(),
                false => format!("none was found: {}", target.looked.join("; ")),
            };
            report.not_looked(GUEST, what, &looked, "--vmlinux FILE, or --debug-dir DIR");
        }
        Match::Unknown => {
            let found = format!("{path} could not be proven to be the guest's");
            let cure = "give the vmlinux of the guest's own build";
            report.warning(GUEST, what, found, cure);
        }
    }
    target.matches == Match::Match
}

/// How kgdb is set up.
pub(super) fn facts(report: &mut Report, facts: &KgdbAnswer) {
    if let Some(line) = &facts.command_line {
        command_line(report, line, facts.kgdboc.as_deref());
    }
    let carries = facts.driver.as_deref().unwrap_or_default();
    match facts.kgdboc.as_deref() {
        Some("") if carries.is_empty() => report.wrong(
            GUEST,
            "kgdboc",
            "not set, and no other driver carries the debugger's bytes",
            "kgdb-tui guest-setup prints a script for the guest: sh SCRIPT now",
        ),
        Some("") => report.ok(GUEST, "kgdboc", format!("not set; {carries} is used instead")),
        Some(value) => report.ok(GUEST, "kgdboc", value),
        None => report.not_looked(
            GUEST,
            "kgdboc",
            "it is a module, or this kernel does not have it",
            "in the guest: cat /sys/module/kgdboc/parameters/kgdboc",
        ),
    }
    match (facts.sysrq, facts.sysrq_always) {
        (_, Some(true)) => {
            report.ok(GUEST, "kernel.sysrq", "always enabled (sysrq_always_enabled)")
        }
        (Some(1), _) => report.ok(GUEST, "kernel.sysrq", "1: every key, g too"),
        (Some(mask), _) => report.warning(
            GUEST,
            "kernel.sysrq",
            // `sysrq_dbg_op.enable_mask` is 0: no bit of a mask allows it.
            format!(
                "{mask}: BREAK and Alt-SysRq with g do nothing; echo g > /proc/sysrq-trigger works"
            ),
            "in the guest, as root: sysctl kernel.sysrq=1",
        ),
        (None, _) => report.warning(
            GUEST,
            "kernel.sysrq",
            "this kernel has no sysrq (CONFIG_MAGIC_SYSRQ)",
            "stop it by kgdbwait or breakpoints",
        ),
    }
    match facts.lockdown {
        None | Some("none") => report.ok(GUEST, "lockdown", "not locked down"),
        Some(level) => report.wrong(
            GUEST,
            "lockdown",
            format!("{level}: kgdb may not be used"),
            "turn Secure Boot off in the guest's firmware, and take lockdown= off its command line",
        ),
    }
    match facts.panic_timeout {
        Some(0) => report.ok(GUEST, "panic_timeout", "0: an oops or a panic stops in the debugger"),
        Some(seconds) => report.warning(
            GUEST,
            "panic_timeout",
            format!("{seconds}: an oops or a panic does not stop in the debugger"),
            "in the guest, as root: sysctl kernel.panic=0; or in kgdb-tui: set crash-stops on",
        ),
        None => {}
    }
    match facts.rodata {
        Some(true) => report.ok(GUEST, "read-only code", "yes; kgdb sets breakpoints all the same"),
        Some(false) => report.ok(GUEST, "read-only code", "no"),
        None => {}
    }
}

/// The words of the command line that matter.
fn command_line(report: &mut Report, line: &str, now: Option<&str>) {
    let what = "command line";
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = |name: &str| {
        let is = |word: &&str| {
            *word == name || word.strip_prefix(name).is_some_and(|r| r.starts_with('='))
        };
        words.iter().position(is)
    };
    let (kgdboc, wait) = (at("kgdboc"), at("kgdbwait"));
    match kgdboc {
        Some(index) => report.ok(GUEST, what, words[index]),
        None => report.warning(
            GUEST,
            what,
            "no kgdboc= on it: kgdb has its port only until the next boot",
            "kgdb-tui guest-setup prints a script for the guest: sh SCRIPT grub",
        ),
    }
    match (kgdboc, wait) {
        (_, None) => {}
        // The word does something only when a port is there already
        // (`opt_kgdb_wait` in kernel/debug/debug_core.c).
        (Some(port), Some(wait)) if port < wait => {
            report.ok(GUEST, "kgdbwait", "it stops at each boot, and waits for a debugger");
        }
        _ => report.warning(
            GUEST,
            "kgdbwait",
            "it stands before kgdboc=, or without it, and does nothing",
            "write kgdboc=… kgdbwait, in this order",
        ),
    }
    if at("nokaslr").is_some() {
        report.ok(GUEST, "nokaslr", "it is not needed");
    }
    let tty = |value: &str| {
        let tty = value.split(',').find(|part| part.starts_with("tty"));
        tty.map(str::to_owned)
    };
    let port = now.and_then(tty);
    let is_console = |word: &str| {
        word.strip_prefix("console=").is_some_and(|v| tty(v) == port && port.is_some())
    };
    if words.iter().copied().any(is_console) {
        report.ok(GUEST, "console", "on kgdb's line as well: BREAK and g stop the guest");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(facts: &KgdbAnswer) -> Report {
        let mut report = Report::default();
        super::facts(&mut report, facts);
        report
    }

    fn good() -> KgdbAnswer {
        KgdbAnswer {
            command_line: Some(
                "root=UUID=1 console=ttyS0 kgdboc=ttyS0,115200 kgdbwait nokaslr".into(),
            ),
            kgdboc: Some("ttyS0,115200".into()),
            driver: Some("kgdboc".into()),
            sysrq: Some(1),
            sysrq_always: Some(false),
            lockdown: Some("none"),
            panic_timeout: Some(0),
            rodata: Some(true),
            kdb: true,
        }
    }

    #[test]
    fn a_guest_that_is_set_up_is_good() {
        let text = found(&good()).text();
        assert!(text.ends_with("nothing is wrong\n"), "{text}");
        for words in ["kgdboc=ttyS0,115200", "stops at each boot", "not needed", "BREAK and g stop"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn each_fault_has_its_cure() {
        type Change = fn(&mut KgdbAnswer);
        let faults: [(Change, &str, &str); 8] = [
            (|f| f.kgdboc = Some(String::new()), "ok       kgdboc: not set; kgdboc", ""),
            (
                |f| (f.kgdboc, f.driver) = (Some(String::new()), Some(String::new())),
                "WRONG    kgdboc: not set",
                "sh SCRIPT now",
            ),
            (|f| f.sysrq = Some(176), "warning  kernel.sysrq: 176", "kernel.sysrq=1"),
            (|f| f.sysrq = None, "warning  kernel.sysrq: this kernel has no", "kgdbwait"),
            (|f| f.lockdown = Some("integrity"), "WRONG    lockdown: integrity", "Secure Boot"),
            (|f| f.panic_timeout = Some(30), "warning  panic_timeout: 30", "kernel.panic=0"),
            (
                |f| f.command_line = Some("ro quiet".into()),
                "warning  command line: no kgdboc=",
                "sh SCRIPT grub",
            ),
            (
                |f| f.command_line = Some("kgdbwait kgdboc=ttyS0".into()),
                "warning  kgdbwait: it stands before",
                "in this order",
            ),
        ];
        for (change, words, cure) in faults {
            let mut facts = good();
            change(&mut facts);
            let text = found(&facts).text();
            assert!(text.contains(words) && text.contains(cure), "{words}: {text}");
        }
        let always = KgdbAnswer { sysrq: Some(0), sysrq_always: Some(true), ..good() };
        assert!(found(&always).text().contains("always enabled"));
    }
}
