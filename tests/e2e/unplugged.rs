//! A serial adapter that is unplugged and plugged in again. socat is the adapter: it
//! makes a tty with a name of its own, which hangs up and is gone with it.

use crate::facts::values;
use crate::loss::{GOES_ON, at_breakpoint};
use crate::support::{
    batch::{Gate, Setup},
    guest::boot,
    tools::tool,
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

struct Adapter(Child);

impl Adapter {
    /// Plugs it in between the guest and a tty at `path`.
    fn plug_in(guest: &str, path: &Path) -> Adapter {
        let tty = format!("PTY,link={},raw,echo=0", path.display());
        let line = guest.replace("unix:", "UNIX-CONNECT:");
        let child = tool("socat").args([&tty, &line]).stdin(Stdio::null()).spawn().unwrap();
        let adapter = Adapter(child);
        let start = Instant::now();
        while !path.exists() {
            assert!(start.elapsed() < PATIENCE, "socat makes no tty");
            std::thread::sleep(Duration::from_millis(5));
        }
        adapter
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_tty_that_is_unplugged() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ttyUSB0");
    let gate = Gate::new(dir.path(), "gate");
    let source = gate.command();
    let adapter = Adapter::plug_in(guest.address(), &path);
    let setup = Setup::new(&format!("serial:{},115200", path.display()));
    let setup = setup.arg("--timeout").arg("120");
    let mut commands = vec![&source[..], "x/64xb init_mm", "wait 60", "x/64xb init_mm"];
    commands.extend(GOES_ON);
    let mut at = at_breakpoint(&mut guest, setup, &commands);

    drop(adapter);
    gate.open();
    at.batch.ok(&source);
    let failed = at.batch.next();
    let error = failed.error.unwrap_or_else(|| panic!("{}", failed.result));
    assert!(error.contains("the link is lost"), "{error}");
    at.batch.expect_said("; the guest stays stopped until a debugger comes back; trying again");
    // The name is there before the adapter is: nobody gives up for that.
    let _ = fs::remove_file(&path);
    fs::write(&path, "not yet").unwrap();
    at.batch.expect_said("it must be a socket or a tty; trying again");
    fs::remove_file(&path).unwrap();
    let start = Instant::now();
    let adapter = Adapter::plug_in(guest.address(), &path);
    at.found_again("wait 60");
    println!("plugged in again: found after {:?}", start.elapsed());
    assert_eq!(values(&at.batch.ok("x/64xb init_mm")).len(), 64);
    at.goes_on(&mut guest);
    drop(adapter);
}
