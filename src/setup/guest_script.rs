//! Shell lines for the guest that set it up: they are printed, and run by who
//! owns the guest.

use crate::kernel::sections_script;
use thiserror::Error;

/// The beginning: what it is for, and how it is used.
const HEAD: &str = "\
# For the guest, as root: sets up kgdb on a serial port. Save it as a file there,
# or send it: kgdb-tui guest-setup | ssh root@guest sh -s -- check
#   sh THIS                look, and set kgdb up until the next boot
#   sh THIS check          only look
#   sh THIS now            kgdboc and sysrq until the next boot
#   sh THIS grub           an entry of the boot menu: the running kernel with kgdb
#   sh THIS ungrub         without it again
#   sh THIS mark           tell each serial port its name, for: kgdb-tui doctor --listen 60
#   sh THIS sections [M …] where the sections of modules are, for: kgdb-tui --sections FILE
(
";

/// What every shell has: busybox's, dash and bash.
const BODY: &str = include_str!("guest.sh");

/// What a marker begins with, after which is the name of the port.
pub const MARKER: &str = "kgdb-tui-marker ";

/// What the lines are to set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The guest's port, such as `ttyS0`.
    pub tty: String,
    /// Bits a second.
    pub baud: u32,
    /// Whether the entry of the boot menu stops at the boot (`kgdbwait`).
    pub wait: bool,
}

/// A word that is no port.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("'{0}' is no serial port of a guest; write it as /dev has it, such as ttyS0")]
pub struct NoTty(String);

/// The script.
///
/// # Errors
/// The port is no name that can be written into a script.
pub fn script(wanted: &Wanted) -> Result<String, NoTty> {
    let tty = wanted.tty.strip_prefix("/dev/").unwrap_or(&wanted.tty);
    let plain = tty.chars().all(|c| c.is_ascii_alphanumeric());
    if !plain || !tty.starts_with(|c: char| c.is_ascii_alphabetic()) || tty.len() > 16 {
        return Err(NoTty(wanted.tty.clone()));
    }
    let wait = if wanted.wait { "1" } else { "" };
    let first = format!("tty={tty} baud={} wait={wait}\n", wanted.baud);
    Ok(format!("{HEAD}{first}{}", BODY.replace("@SECTIONS@", sections_script::LINES.trim_end())))
}

/// The port whose marker is in a text that came over the line: the last one.
pub fn marked(text: &str) -> Option<String> {
    let (_, rest) = text.rsplit_once(MARKER)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric())?;
    (1..=16).contains(&end).then(|| rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        path::Path,
        process::{Command, Output},
    };

    fn wanted() -> Wanted {
        Wanted { tty: "ttyS1".into(), baud: 115_200, wait: false }
    }

    fn shells() -> Vec<Vec<&'static str>> {
        let all = [vec!["sh"], vec!["bash"], vec!["dash"], vec!["busybox", "sh"]];
        let is_there = |shell: &Vec<&str>| {
            Command::new(shell[0]).args(&shell[1..]).args(["-c", ":"]).output().is_ok()
        };
        all.into_iter().filter(is_there).collect()
    }

    fn run(shell: &[&str], root: &Path, wanted: &Wanted, words: &[&str]) -> (String, Option<i32>) {
        let script = script(wanted).unwrap();
        let Output { status, stdout, stderr } = Command::new(shell[0])
            .args(&shell[1..])
            .args(["-c", &script, "sh"])
            .args(words)
            .env("KGDB_ROOT", root)
            .env("KGDB_RELEASE", "4.2.0-14-generic")
            .output()
            .unwrap();
        let text = [stdout, stderr].concat();
        (String::from_utf8(text).unwrap(), status.code())
    }

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// As Ubuntu 15.10's grub-mkconfig writes it, with its submenu, the recovery
    /// entry and another kernel.
    const GRUB_CFG: &str = r#"set timeout=0
function gfxmode {
	set gfxpayload="${1}"
}
menuentry 'Ubuntu' --class ubuntu --class gnu-linux $menuentry_id_option 'gnulinux-simple-1' {
	recordfail
	if [ "${grub_platform}" = xen ]; then insmod xzio; fi
	linux	/boot/vmlinuz-4.2.0-16-generic root=UUID=1 ro quiet splash $vt_handoff
	initrd	/boot/initrd.img-4.2.0-16-generic
}
submenu 'Advanced options for Ubuntu' $menuentry_id_option 'gnulinux-advanced-1' {
	menuentry 'Ubuntu, with Linux 4.2.0-14-generic (recovery mode)' --class ubuntu {
		linux	/boot/vmlinuz-4.2.0-14-generic root=UUID=1 ro recovery nomodeset
		initrd	/boot/initrd.img-4.2.0-14-generic
	}
	menuentry 'Ubuntu, with Linux 4.2.0-14-generic' --class ubuntu --unrestricted {
		recordfail
		if [ x$feature_platform_search_hint = xy ]; then
		  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos1  1
		fi
		linux	/boot/vmlinuz-4.2.0-14-generic root=UUID=1 ro kgdbwait kgdboc=ttyS0 quiet $vt_handoff
		initrd	/boot/initrd.img-4.2.0-14-generic
	}
}
"#;

    #[test]
    fn every_shell_takes_the_lines() {
        for shell in shells() {
            let output = Command::new(shell[0])
                .args(&shell[1..])
                .args(["-n", "-c", &script(&wanted()).unwrap()])
                .output()
                .unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{shell:?}: {output:?}");
        }
    }

    #[test]
    fn the_running_kernels_entry_is_made_once_and_taken_away() {
        for shell in shells() {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path();
            write(root, "boot/grub/grub.cfg", GRUB_CFG);
            fs::create_dir_all(root.join("etc/grub.d")).unwrap();
            let (said, status) = run(&shell, root, &wanted(), &["grub"]);
            assert_eq!(status, Some(0), "{shell:?}: {said}");
            let made = root.join("etc/grub.d/42_kgdb-tui");
            let entry = Command::new("sh").arg(&made).output().unwrap();
            let entry = String::from_utf8(entry.stdout).unwrap();
            let want = "menuentry 'Linux 4.2.0-14-generic with kgdb on ttyS1' --class linux --unrestricted --id kgdb-tui {";
            assert_eq!(entry.lines().next(), Some(want), "{shell:?}");
            assert!(entry.contains("\tlinux /boot/vmlinuz-4.2.0-14-generic root=UUID=1 ro quiet $vt_handoff kgdboc=ttyS1,115200 sysrq_always_enabled\n"), "{entry}");
            assert!(entry.contains("--hint-bios=hd0,msdos1  1\n") && entry.ends_with("\t}\n"));
            assert_eq!(entry.matches('{').count(), entry.matches('}').count());
            // As update-grub makes it of both.
            write(root, "boot/grub/grub.cfg", &format!("{entry}{GRUB_CFG}"));
            let before = fs::read(&made).unwrap();
            let (said, _) = run(&shell, root, &wanted(), &["grub"]);
            assert!(said.contains("is there already"), "{said}");
            assert_eq!(fs::read(&made).unwrap(), before);
            let wait = Wanted { wait: true, ..wanted() };
            run(&shell, root, &wait, &["grub"]);
            assert!(fs::read_to_string(&made).unwrap().contains("sysrq_always_enabled kgdbwait\n"));
            run(&shell, root, &wanted(), &["ungrub"]);
            assert!(!made.exists());
        }
    }

    #[test]
    fn menus_of_files_and_no_menu_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let (said, status) = run(&["sh"], root, &wanted(), &["grub"]);
        assert_eq!(status, Some(1));
        assert!(said.contains("command line in your boot loader: kgdboc=ttyS1,115200"), "{said}");
        let entry = "title Fedora\nversion 4.2.0\nlinux /vmlinuz-4.2.0-14-generic\noptions root=UUID=1 ro\n";
        write(root, "boot/loader/entries/0123-4.2.0-14-generic.conf", entry);
        for _ in 0..2 {
            let (said, status) = run(&["sh"], root, &wanted(), &["grub"]);
            assert_eq!(status, Some(0), "{said}");
        }
        let made = fs::read_to_string(root.join("boot/loader/entries/kgdb-tui.conf")).unwrap();
        assert!(made.starts_with("title Linux 4.2.0-14-generic with kgdb on ttyS1\n"), "{made}");
        assert!(
            made.ends_with("options root=UUID=1 ro kgdboc=ttyS1,115200 sysrq_always_enabled\n")
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_cure() {
        for shell in shells() {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path();
            write(
                root,
                "boot/config-4.2.0-14-generic",
                "CONFIG_KGDB=y\nCONFIG_KGDB_SERIAL_CONSOLE=m\nCONFIG_MAGIC_SYSRQ=y\n",
            );
            write(
                root,
                "proc/tty/driver/serial",
                "serinfo:1.0 driver revision:\n0: uart:16550A port:000003F8 irq:4 tx:0 rx:0\n1: uart:unknown port:000002F8 irq:3\n",
            );
            write(root, "proc/sys/kernel/sysrq", "176\n");
            write(root, "sys/module/kgdboc/parameters/kgdboc", "\n");
            write(root, "sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
            let (said, status) = run(&shell, root, &wanted(), &["check"]);
            assert_eq!(status, Some(1), "{said}");
            for words in [
                "ok       CONFIG_KGDB=y",
                "ok       CONFIG_KGDB_SERIAL_CONSOLE=m",
                "warning  CONFIG_KGDB_KDB is not set",
                "WRONG    ttyS1 has no hardware",
                "warning  kgdboc is not set",
                "warning  kernel.sysrq is 176",
                "WRONG    the kernel is locked down",
            ] {
                assert!(said.contains(words), "{shell:?}: {words}: {said}");
            }
            let (said, status) =
                run(&shell, root, &Wanted { tty: "ttyS0".into(), ..wanted() }, &["now"]);
            assert_eq!(status, Some(0), "{said}");
            let kgdboc = fs::read_to_string(root.join("sys/module/kgdboc/parameters/kgdboc"));
            assert_eq!(kgdboc.unwrap(), "ttyS0,115200\n");
            let (said, status) = run(&shell, root, &wanted(), &["x"]);
            assert_eq!(status, Some(2), "{said}");
        }
    }

    #[test]
    fn markers_and_sections_come_out() {
        for shell in shells() {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), "dev/ttyS1", "");
            let (said, status) = run(&shell, dir.path(), &wanted(), &["mark"]);
            assert_eq!(status, Some(0), "{shell:?}: {said}");
            let heard = fs::read_to_string(dir.path().join("dev/ttyS1")).unwrap();
            assert_eq!(marked(&heard).as_deref(), Some("ttyS1"));
        }
        assert_eq!(marked("kgdb-tui-marker ttyS0\r\n x kgdb-tui-marker ttyS"), None, "half a name");
        assert_eq!(marked("kgdb-tui-marker \n"), None);
        assert!(script(&wanted()).unwrap().contains("echo \"$f:$a\""));
    }

    #[test]
    fn a_port_is_no_command() {
        for tty in ["", "ttyS0;reboot", "../x", "0", "ttyS0 "] {
            let wrong = Wanted { tty: tty.into(), ..wanted() };
            assert!(script(&wrong).unwrap_err().to_string().contains("such as ttyS0"), "{tty}");
        }
        let device = Wanted { tty: "/dev/ttyS0".into(), ..wanted() };
        assert!(script(&device).unwrap().contains("tty=ttyS0 baud=115200 wait=\n"));
    }
}
