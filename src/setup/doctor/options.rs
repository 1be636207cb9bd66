//! What the guest's kernel was built with.

use super::{Health, Known, Part, Report};

const CONFIG: Part = Part::Config;

/// What an option is for.
struct Rule {
    /// Its name, without `CONFIG_`.
    name: &'static str,
    /// What it is when it is not set.
    without: Health,
    /// What that means.
    means: &'static str,
    cure: &'static str,
}

const ANOTHER: &str = "a kernel that has it: Ubuntu's do, Debian's do not; or build one with it";

const RULES: &[Rule] = &[
    Rule {
        name: "KGDB",
        without: Health::Wrong,
        means: "there is no kgdb in this kernel",
        cure: ANOTHER,
    },
    Rule {
        name: "KGDB_SERIAL_CONSOLE",
        without: Health::Wrong,
        means: "kgdb can't use a serial port",
        cure: ANOTHER,
    },
    Rule {
        name: "KGDB_KDB",
        without: Health::Warning,
        means: "no kdb commands (monitor), and the vmlinux is not found by itself",
        cure: "give --vmlinux; or a kernel with it",
    },
    Rule {
        name: "MAGIC_SYSRQ",
        without: Health::Warning,
        means: "echo g > /proc/sysrq-trigger and BREAK do not stop it; kgdbwait, breakpoints and an oops do",
        cure: "a kernel that is built with it",
    },
    Rule {
        name: "MAGIC_SYSRQ_SERIAL",
        without: Health::Warning,
        means: "BREAK and g on the line do not stop it",
        cure: "stop it by: echo g > /proc/sysrq-trigger, typed in it",
    },
    Rule {
        name: "DEBUG_INFO",
        without: Health::Warning,
        means: "its own vmlinux has no lines and no types",
        cure: "the distribution's debug package, or a build with CONFIG_DEBUG_INFO_DWARF5",
    },
];

/// Looks at the options.
pub(super) fn look(report: &mut Report, known: Option<&Known>) {
    let Some(Known { config, from }) = known else {
        if !report.checks.iter().any(|check| check.part == CONFIG) {
            let give = "--config-file COPY-OF-/boot/config-RELEASE, or --vmlinux FILE";
            report.not_looked(CONFIG, "options", "neither a file nor a vmlinux tells them", give);
        }
        return;
    };
    report.ok(CONFIG, "known from", from.clone());
    for rule in RULES {
        let what = format!("CONFIG_{}", rule.name);
        match config.get(rule.name) {
            Some("m") => report.warning(
                CONFIG,
                &what,
                "m: a module, so that kgdbwait is of no use",
                "modprobe kgdboc in the guest, before kgdb is used",
            ),
            Some("n") => {
                let found = format!("not set: {}", rule.means);
                report.add(CONFIG, rule.without, &what, found).cure = Some(rule.cure.to_owned());
            }
            Some(value) => report.ok(CONFIG, &what, value),
            None => report.not_looked(
                CONFIG,
                &what,
                &format!("{from} do not tell it"),
                "--config-file COPY-OF-/boot/config-RELEASE",
            ),
        }
    }
    let is_set = |name: &str| config.is_set(name);
    if is_set("STRICT_KERNEL_RWX") || is_set("DEBUG_RODATA") {
        // kgdb falls back to text_poke (kgdb_arch_set_breakpoint in
        // arch/x86/kernel/kgdb.c), unlike what kgdb.rst says.
        let found = "y: the code is read-only; on x86 kgdb sets breakpoints all the same";
        report.ok(CONFIG, "CONFIG_STRICT_KERNEL_RWX", found);
    }
    if is_set("LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY")
        || is_set("LOCK_DOWN_KERNEL_FORCE_INTEGRITY")
    {
        let cure = "a kernel without CONFIG_LOCK_DOWN_KERNEL_FORCE_…";
        report.wrong(CONFIG, "lockdown", "it is always locked down: kgdb may not be used", cure);
    } else if is_set("SECURITY_LOCKDOWN_LSM") {
        let found = "it can be locked down: by lockdown= on the command line, or Secure Boot";
        report.ok(CONFIG, "lockdown", found);
    }
    if is_set("RANDOMIZE_BASE") {
        let found = "y: the kernel's address is found by itself; nokaslr is not needed";
        report.ok(CONFIG, "CONFIG_RANDOMIZE_BASE", found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::kconfig::Config;

    fn looked(text: &str) -> Report {
        let config = Config::of_bytes(text.as_bytes()).unwrap();
        let mut report = Report::default();
        look(&mut report, Some(&Known { config, from: "a file".into() }));
        report
    }

    #[test]
    fn ubuntus_configuration_is_good_and_debians_is_not() {
        // The lines that matter of Ubuntu's 4.2.0-14-generic.
        let report = looked(
            "CONFIG_KGDB=y\nCONFIG_KGDB_SERIAL_CONSOLE=y\nCONFIG_KGDB_KDB=y\nCONFIG_MAGIC_SYSRQ=y\nCONFIG_MAGIC_SYSRQ_SERIAL=y\nCONFIG_DEBUG_INFO=y\nCONFIG_DEBUG_RODATA=y\nCONFIG_RANDOMIZE_BASE=y\n",
        );
        let text = report.text();
        assert!(text.ends_with("nothing is wrong\n"), "{text}");
        assert!(text.contains("nokaslr is not needed") && text.contains("read-only"), "{text}");
        // Of Debian's 6.1.
        let report = looked(
            "CONFIG_MAGIC_SYSRQ=y\n# CONFIG_KGDB is not set\nCONFIG_SECURITY_LOCKDOWN_LSM=y\nCONFIG_LOCK_DOWN_KERNEL_FORCE_NONE=y\n",
        );
        assert!(!report.is_good());
        let text = report.text();
        assert!(text.contains("WRONG    CONFIG_KGDB: not set: there is no kgdb"), "{text}");
        assert!(text.contains("ok       lockdown: it can be"), "{text}");
        let report = looked("CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY=y\n");
        assert!(report.text().contains("WRONG    lockdown"), "{}", report.text());
    }

    #[test]
    fn what_nothing_tells_is_not_looked_at() {
        let mut report = Report::default();
        look(&mut report, None);
        assert!(report.is_good() && report.text().contains("--config-file"));
    }
}
