//! The Debian packages the guest needs, and their installation.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::demo::{DemoError, Progress, tail};

/// A Debian package, and the program or file that shows it is there.
///
/// The second is looked for in `PATH` unless it starts with a slash.
pub type Probe = (&'static str, &'static str);

/// What building and booting the guest takes.
pub const NEEDED: &[Probe] = &[
    ("qemu-system-x86", "qemu-system-x86_64"),
    ("socat", "socat"),
    ("linux-source-6.1", "/usr/src/linux-source-6.1.tar.xz"),
    // The `busybox` package has a dynamic one, of no use in a RAM disk.
    ("busybox-static", "/usr/share/doc/busybox-static"),
    ("gcc", "gcc"),
    ("libc6-dev", "/usr/include/stdio.h"),
    ("make", "make"),
    ("binutils", "strip"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("xz-utils", "xz"),
    ("gzip", "gzip"),
    // objtool, which makes the unwind tables, needs it.
    ("libelf-dev", "/usr/include/gelf.h"),
];

/// The packages of a list that are not installed, in its order.
pub fn missing(of: &[Probe]) -> Vec<&'static str> {
    of.iter().filter(|(_, probe)| find(probe).is_none()).map(|(package, _)| *package).collect()
}

/// Installs packages with `apt-get`.
///
/// A user who is not root is asked (`ask` gets the question) before `sudo` is
/// used; `sudo` itself may ask for a password on the terminal.
///
/// # Errors
/// No `apt-get`, no permission, or what `apt-get` printed when it failed.
pub fn install(
    packages: &[&str],
    ask: &mut dyn FnMut(&str) -> bool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), DemoError> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if find("apt-get").is_none() {
        return Err(DemoError::NoApt(list));
    }
    let sudo = !is_root();
    if sudo {
        let question = format!("Install with sudo apt-get: {list}?");
        if find("sudo").is_none() || !ask(&question) {
            return Err(DemoError::NotInstalled(list));
        }
    }
    let steps = [
        ("reading the package lists", vec!["update"]),
        ("installing packages", {
            let mut args = vec!["install", "--yes", "--no-install-recommends"];
            args.extend(packages);
            args
        }),
    ];
    for (index, (title, args)) in steps.iter().enumerate() {
        let report = &mut |done: f64| {
            progress(&Progress {
                step: index as u32 + 1,
                steps: steps.len() as u32,
                title: (*title).to_owned(),
                // The update is short beside the download.
                fraction: if index == 0 { 0.1 * done } else { 0.1 + 0.9 * done },
                eta: None,
            });
        };
        report(0.0);
        let done = apt_get(sudo, args, report);
        // One repository that is down must not stop what the others have; when
        // it matters, the installation says so.
        if index > 0 {
            done?;
        }
    }
    Ok(())
}

/// Runs `apt-get`; `report` gets the fraction that is done.
fn apt_get(sudo: bool, args: &[&str], report: &mut dyn FnMut(f64)) -> Result<(), DemoError> {
    // `env` goes after `sudo`, which clears the environment.
    let mut words = if sudo { vec!["sudo"] } else { vec![] };
    // Machine-readable progress between the other lines, on a descriptor of its
    // own: apt closes it in the programs it runs, and a package whose script
    // then fails to print is not configured. `sudo` closes it too, so the shell
    // that opens it goes after that.
    words.extend(["sh", "-c", "exec \"$@\" 3>&1", "sh"]);
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-q"]);
    words.extend(["-o", "APT::Status-Fd=3"]);
    // Another apt-get may run, such as the daily one.
    words.extend(["-o", "DPkg::Lock::Timeout=120"]);
    words.extend(args);
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| DemoError::Start { program: words[0].to_owned(), source })?;

    let errors = child.stderr.take().map(|mut stream| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    });
    let mut said = String::new();
    if let Some(stream) = child.stdout.take() {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            match status_line(&line) {
                Some(fraction) => report(fraction),
                None => {
                    said.push_str(&line);
                    said.push('\n');
                }
            }
        }
    }
    let status =
        child.wait().map_err(|source| DemoError::Start { program: words[0].to_owned(), source })?;
    if let Some(text) = errors.and_then(|thread| thread.join().ok()) {
        said.push_str(&text);
    }
    if status.success() {
        Ok(())
    } else {
        Err(DemoError::Install { command: words.join(" "), output: tail(&said, 10) })
    }
}

/// The fraction in a line of `APT::Status-Fd`: `dlstatus:N:PERCENT:TEXT` while
/// it downloads (the first half for us), `pmstatus:PACKAGE:PERCENT:TEXT` while
/// dpkg works. From apt's `README.progress-reporting`.
fn status_line(line: &str) -> Option<f64> {
    let mut fields = line.split(':');
    let start = match fields.next()? {
        "dlstatus" => 0.0,
        "pmstatus" => 0.5,
        _ => return None,
    };
    // A package name may have an architecture after a colon.
    let percent = fields.skip(1).find_map(|field| field.parse::<f64>().ok())?;
    Some(start + percent.clamp(0.0, 100.0) / 200.0)
}

/// Where a program or file is.
fn find(probe: &str) -> Option<PathBuf> {
    if probe.starts_with('/') {
        return Path::new(probe).exists().then(|| probe.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // The administrator's directories are not in every user's PATH.
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(probe))
        .find(|file| file.is_file())
}

/// Whether we run as root: who owns our own `/proc` entry.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_progress_is_understood() {
        assert_eq!(status_line("dlstatus:3:50.0000:Retrieving file 3 of 9"), Some(0.25));
        assert_eq!(status_line("pmstatus:socat:100:Installed socat"), Some(1.0));
        assert_eq!(status_line("pmstatus:gcc-12:amd64:20.5:Unpacking"), Some(0.6025));
        assert_eq!(status_line("Reading package lists..."), None);
        assert_eq!(status_line("pmstatus:"), None);
    }

    #[test]
    fn a_probe_is_a_program_or_a_file() {
        assert!(find("sh").is_some());
        assert!(find("/proc/self/stat").is_some());
        assert_eq!(find("no-such-program-anywhere"), None);
        assert_eq!(find("/no/such/file"), None);
        let list = [("dash", "sh"), ("a", "no-such-program-anywhere"), ("b", "/no/such/file")];
        assert_eq!(missing(&list), ["a", "b"]);
    }

    #[test]
    fn nothing_to_install_asks_nothing() {
        let ask = &mut |_: &str| panic!("asked");
        install(&[], ask, &mut |_| panic!("worked")).unwrap();
    }
}
