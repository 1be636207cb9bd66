//! One boot of the guest, and how to reach it.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::demo::build::Built;
use crate::demo::process::Watched;
use crate::demo::relay::{self, Relay};
use crate::demo::shell::Shell;
use crate::demo::{DemoError, tail};

/// How long a boot may take on a slow and busy machine; two seconds are usual.
pub const BOOT_PATIENCE: Duration = Duration::from_secs(60);

/// How often a guest is booted that does not come up: one in some hundred boots
/// under software emulation hangs early, before init, with no debugger near.
const BOOTS: u32 = 3;

/// When and where the kernel can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The kernel stops while it boots (`kgdbwait`) and waits for a debugger.
    Wait,
    /// It boots to a shell on ttyS1, where sysrq-g stops it; ttyS0 is for kgdb
    /// alone.
    Running,
    /// ttyS0 is for everything: log, shell and kgdb. BREAK and then `g` stop it.
    Shared,
}

/// What stands between the guest's ttyS0 and the debugger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// `socat` with a TCP port.
    SocatTcp,
    /// QEMU's own unix socket.
    Unix,
    /// QEMU's own telnet port, which can send BREAK.
    Telnet,
}

/// What the guest does with the demo module at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hgfs {
    /// Nothing.
    Absent,
    /// Loads it.
    Loaded,
    /// Loads it and reads `/proc/hgfs` about once a second.
    Busy,
}

/// How to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// When and where the kernel can be stopped.
    pub mode: Mode,
    /// What stands between it and the debugger.
    pub link: Link,
    /// Whether the kernel chooses its address at random.
    pub kaslr: bool,
    /// The demo module.
    pub hgfs: Hgfs,
    /// More words for the kernel command line.
    pub append: String,
}

impl Default for Boot {
    /// Running, behind socat, addresses at random, no module.
    fn default() -> Boot {
        Boot {
            mode: Mode::Running,
            link: Link::SocatTcp,
            kaslr: true,
            hgfs: Hgfs::Absent,
            append: String::new(),
        }
    }
}

impl Boot {
    /// The kernel command line.
    pub fn command_line(&self) -> String {
        let mut words = vec!["kgdboc=ttyS0,115200"];
        words.extend(match self.mode {
            Mode::Wait => ["console=ttyS1", "guest.shell=ttyS1", "kgdbwait"].as_slice(),
            Mode::Running => &["console=ttyS1", "guest.shell=ttyS1"],
            Mode::Shared => &["console=ttyS0", "guest.shell=ttyS0"],
        });
        if !self.kaslr {
            words.push("nokaslr");
        }
        words.extend(match self.hgfs {
            Hgfs::Absent => None,
            Hgfs::Loaded => Some("hgfs.load"),
            Hgfs::Busy => Some("hgfs.demo"),
        });
        words.extend(self.append.split_whitespace());
        words.join(" ")
    }

    /// QEMU's arguments; `serial` is the chardev of ttyS0.
    fn qemu_args(&self, built: &Built, serial: &str, shell: Option<&Path>) -> Vec<String> {
        let mut args: Vec<String> = [
            // Software emulation, always: `/dev/kvm` may be there and not work,
            // and a test must not depend on which.
            "-accel",
            "tcg",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "512",
            "-display",
            "none",
            "-vga",
            "none",
            "-monitor",
            "none",
            "-no-user-config",
            "-nodefaults",
            "-kernel",
        ]
        .map(str::to_owned)
        .to_vec();
        args.push(built.bzimage.display().to_string());
        args.extend(["-initrd".to_owned(), built.initrd.display().to_string()]);
        args.extend(["-append".to_owned(), self.command_line()]);
        args.extend(["-chardev".to_owned(), format!("socket,id=kgdb,{serial},server=on,wait=off")]);
        args.extend(["-serial", "chardev:kgdb"].map(str::to_owned));
        if let Some(path) = shell {
            let path = for_qemu(path);
            args.push("-chardev".to_owned());
            args.push(format!("socket,id=shell,path={path},server=on,wait=off"));
            args.extend(["-serial", "chardev:shell"].map(str::to_owned));
        }
        args
    }
}

/// A running guest. Dropping it ends QEMU and the relay.
#[derive(Debug)]
pub struct Guest {
    address: String,
    // Dropped in this order.
    shell: Option<Shell>,
    relay: Option<Relay>,
    qemu: Watched,
    dir: PrivateDir,
}

impl Guest {
    /// Boots a guest.
    ///
    /// In [`Mode::Running`] returns when its shell is ready, in [`Mode::Wait`]
    /// when the kernel waits for a debugger. In [`Mode::Shared`] returns at once,
    /// because only the debugger may read ttyS0.
    ///
    /// # Errors
    /// QEMU or socat cannot be started, or the guest is not ready in three
    /// boots of a minute each.
    pub fn boot(built: &Built, boot: &Boot) -> Result<Guest, DemoError> {
        for _ in 1..BOOTS {
            match Guest::boot_once(built, boot) {
                Err(DemoError::Silent { .. }) => {}
                result => return result,
            }
        }
        Guest::boot_once(built, boot)
    }

    fn boot_once(built: &Built, boot: &Boot) -> Result<Guest, DemoError> {
        let dir = PrivateDir::create()?;
        let serial_path = dir.0.join("kgdb");
        let shell_path = (boot.mode != Mode::Shared).then(|| dir.0.join("shell"));
        let (serial, address) = match boot.link {
            Link::Telnet => {
                let port = relay::free_port()?;
                let serial = format!("host=127.0.0.1,port={port},telnet=on");
                (serial, format!("telnet:127.0.0.1:{port}"))
            }
            Link::Unix | Link::SocatTcp => (
                format!("path={}", for_qemu(&serial_path)),
                format!("unix:{}", serial_path.display()),
            ),
        };
        let log = dir.0.join("qemu.log");
        let errors = File::create(&log).map_err(DemoError::file("create", &log))?;
        let args = boot.qemu_args(built, &serial, shell_path.as_deref());
        let qemu =
            Watched::start("qemu-system-x86_64", args, Stdio::null(), errors.into()).map_err(
                |source| DemoError::Start { program: "qemu-system-x86_64".to_owned(), source },
            )?;
        let mut guest = Guest { address, shell: None, relay: None, qemu, dir };
        guest.wait_for_port(boot.link, &serial_path)?;
        if let Some(path) = shell_path {
            guest.shell = Some(Shell::connect(&path)?);
        }
        if boot.link == Link::SocatTcp {
            let relay = Relay::start(serial_path)?;
            guest.address = format!("127.0.0.1:{}", relay.port());
            guest.relay = Some(relay);
        }
        let sign = match boot.mode {
            Mode::Running => "guest ready",
            // What the kernel says at `kgdbwait` (kgdb_initial_breakpoint in
            // kernel/debug/debug_core.c).
            Mode::Wait | Mode::Shared => "Waiting for connection",
        };
        if let Some(shell) = &mut guest.shell {
            match shell.expect(sign, BOOT_PATIENCE) {
                Ok(_) => {}
                Err(DemoError::Shell(_)) => return Err(guest.ended()),
                Err(error) => return Err(error),
            }
        }
        Ok(guest)
    }

    /// The `--connect` argument that reaches the guest's kgdb.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The shell and log on ttyS1; none in [`Mode::Shared`].
    pub fn shell(&mut self) -> Option<&mut Shell> {
        self.shell.as_mut()
    }

    /// The relay; none unless the link is [`Link::SocatTcp`].
    pub fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    /// Whether QEMU runs. It ends when the guest powers off.
    pub fn is_running(&mut self) -> bool {
        matches!(self.qemu.try_wait(), Ok(None))
    }

    /// Waits until QEMU has made the port of ttyS0. It makes all its ports
    /// before the guest's first instruction.
    fn wait_for_port(&mut self, link: Link, serial: &Path) -> Result<(), DemoError> {
        let end = Instant::now() + Duration::from_secs(20);
        let ready = || match link {
            // Connecting would take the place of the debugger.
            Link::Telnet => self.address.rsplit(':').next().is_some_and(is_listening),
            Link::Unix | Link::SocatTcp => serial.exists(),
        };
        while !ready() {
            if !matches!(self.qemu.try_wait(), Ok(None)) || Instant::now() > end {
                return Err(self.ended());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn ended(&self) -> DemoError {
        let said = fs::read(self.dir.0.join("qemu.log")).unwrap_or_default();
        DemoError::Ended { program: "QEMU", output: tail(&String::from_utf8_lossy(&said), 5) }
    }
}

/// A path inside one of QEMU's comma-separated options.
fn for_qemu(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Whether a TCP port of this machine listens, without connecting to it: from
/// `/proc/net/tcp`, where state 0A is LISTEN.
fn is_listening(port: &str) -> bool {
    let Ok(port) = port.parse::<u16>() else { return false };
    let local = format!(":{port:04X}");
    fs::read_to_string("/proc/net/tcp").unwrap_or_default().lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|word| word.ends_with(&local)) && words.nth(1) == Some("0A")
    })
}

/// Lets one guest run at a time, among all processes of this user: two would
/// make each other slow on a small machine.
#[derive(Debug)]
pub struct GuestLock(File);

impl GuestLock {
    /// Waits for its turn.
    ///
    /// # Errors
    /// The lock file beside `built` cannot be made.
    pub fn take(built: &Built) -> Result<GuestLock, DemoError> {
        let path = built.dir.with_file_name("guest.lock");
        let file = File::create(&path).map_err(DemoError::file("create", &path))?;
        file.lock().map_err(DemoError::file("lock", &path))?;
        Ok(GuestLock(file))
    }
}

impl Drop for GuestLock {
    fn drop(&mut self) {
        // Closing the file would do; this says what it is for.
        let _ = self.0.unlock();
    }
}

/// A directory for sockets that only this user may enter; removed when dropped.
#[derive(Debug)]
struct PrivateDir(PathBuf);

impl PrivateDir {
    fn create() -> Result<PrivateDir, DemoError> {
        let base = std::env::temp_dir();
        let mut number = 0;
        loop {
            let dir = base.join(format!("kgdb-tui-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&dir) {
                Ok(()) => return Ok(PrivateDir(dir)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(DemoError::File { what: "create", path: dir, source }),
            }
        }
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn each_mode_has_its_command_line() {
        let boot = Boot { kaslr: false, hgfs: Hgfs::Busy, ..Boot::default() };
        assert_eq!(
            boot.command_line(),
            "kgdboc=ttyS0,115200 console=ttyS1 guest.shell=ttyS1 nokaslr hgfs.demo"
        );
        let boot =
            Boot { mode: Mode::Wait, append: " hgfs.load  quiet ".to_owned(), ..Boot::default() };
        assert_eq!(
            boot.command_line(),
            "kgdboc=ttyS0,115200 console=ttyS1 guest.shell=ttyS1 kgdbwait hgfs.load quiet"
        );
        let boot = Boot { mode: Mode::Shared, hgfs: Hgfs::Loaded, ..Boot::default() };
        assert_eq!(
            boot.command_line(),
            "kgdboc=ttyS0,115200 console=ttyS0 guest.shell=ttyS0 hgfs.load"
        );
    }

    #[test]
    fn qemu_emulates_and_has_no_more_ports_than_needed() {
        let dir = PathBuf::from("/guest");
        let built = Built {
            vmlinux: dir.join("vmlinux"),
            bzimage: dir.join("bzImage"),
            initrd: dir.join("initrd.gz"),
            modules: dir.join("modules"),
            source: dir.join("src"),
            dir,
        };
        let boot = Boot::default();
        let args = boot.qemu_args(&built, "path=/s/kgdb", Some(Path::new("/s/shell"))).join(" ");
        assert!(args.contains("-accel tcg ") && !args.contains("kvm"), "{args}");
        assert_eq!(args.matches("-serial").count(), 2);
        assert!(args.ends_with(
            "-chardev socket,id=kgdb,path=/s/kgdb,server=on,wait=off -serial chardev:kgdb \
             -chardev socket,id=shell,path=/s/shell,server=on,wait=off -serial chardev:shell"
        ));
        assert_eq!(
            boot.qemu_args(&built, "path=/s/kgdb", None).join(" ").matches("-serial").count(),
            1
        );
    }

    #[test]
    fn a_listening_port_is_seen_without_connecting() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        assert!(is_listening(&port));
        drop(listener);
        // A process that another test is just about to start has it until it is.
        let start = std::time::Instant::now();
        while is_listening(&port) {
            assert!(start.elapsed().as_secs() < 10);
        }
        assert!(!is_listening("x"));
    }

    #[test]
    fn private_directories_differ_and_go() {
        let (one, two) = (PrivateDir::create().unwrap(), PrivateDir::create().unwrap());
        assert_ne!(one.0, two.0);
        let path = one.0.clone();
        drop(one);
        assert!(!path.exists());
    }
}
