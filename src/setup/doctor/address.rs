//! This machine's end of the line: the port, socket or tty, who made it, who
//! has it, and whether it may be used.

use super::{
    Part, Report,
    holders::{Process, Processes, owner, tcp_sockets, unix_sockets},
};
use crate::link::endpoint::{Endpoint, HostPort};
use rustix::fs::{Access, access};
use std::{
    fs,
    net::ToSocketAddrs,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

const HOST: Part = Part::Host;

/// Looks at the address; whether it makes sense to connect.
pub(super) fn look(report: &mut Report, connect: Option<&Endpoint>) -> bool {
    sysrq(report);
    match connect {
        None => {
            report.not_looked(HOST, "address", "there is none", "--connect ADDRESS");
            false
        }
        Some(Endpoint::Tcp(at)) => {
            let relay =
                format!("start the relay: socat -d -d /tmp/com_guest tcp-listen:{}", at.port);
            tcp(report, at, &relay)
        }
        Some(Endpoint::Telnet(at)) => {
            tcp(report, at, "start the guest, or the server, that has this telnet port")
        }
        Some(Endpoint::Unix(path)) => socket(report, path),
        Some(Endpoint::Serial { path, .. }) => tty(report, path),
        Some(Endpoint::Path(path)) => by_kind(report, path),
        Some(Endpoint::Replay(path)) => {
            let words = format!("{} is the record of a line, not one", path.display());
            report.not_looked(HOST, "address", &words, "--connect ADDRESS");
            false
        }
        Some(Endpoint::Exec(command)) => {
            report.ok(HOST, "address", format!("the command: {command}"));
            true
        }
    }
}

/// Alt-SysRq typed into the window of a virtual machine is taken by the kernel of
/// this machine, if that allows it.
fn sysrq(report: &mut Report) {
    let Ok(text) = fs::read_to_string("/proc/sys/kernel/sysrq") else {
        return report.ok(HOST, "Alt-SysRq keys", "this machine takes none");
    };
    let found = match text.trim() {
        "0" => "kernel.sysrq is 0 here: they do nothing on this machine".to_owned(),
        mask => format!(
            "kernel.sysrq is {mask} here: they act on this machine, not on a guest in a window; stop the guest by: echo g > /proc/sysrq-trigger, typed in it"
        ),
    };
    report.ok(HOST, "Alt-SysRq keys", found);
}

fn named(process: Option<&Process>) -> String {
    match process {
        Some(process) => process.to_string(),
        None => "a program of another user".to_owned(),
    }
}

fn tcp(report: &mut Report, at: &HostPort, start: &str) -> bool {
    let addresses: Vec<_> = match (at.host.as_str(), at.port).to_socket_addrs() {
        Ok(addresses) => addresses.map(|address| address.ip()).collect(),
        Err(error) => {
            let cure = "check the name, or write the address in numbers";
            report.wrong(HOST, "address", format!("no address for {}: {error}", at.host), cure);
            return false;
        }
    };
    if !addresses.iter().any(|address| address.is_loopback()) {
        report.ok(HOST, "address", format!("{at} is another machine; only it knows who listens"));
        return true;
    }
    let (sockets, processes) = (tcp_sockets(), Processes::read());
    let what = "TCP port";
    let on_port = |socket: &&super::holders::Tcp| socket.local.1 == at.port;
    let client = sockets.iter().find(|socket| socket.connected && socket.remote.1 == at.port);
    if let Some(listens) = sockets.iter().find(|s| on_port(s) && s.listens) {
        let server = processes.of_socket(listens.inode);
        report.ok(HOST, what, format!("{} listens on {at}", named(server)));
        if let Some(server) = server {
            behind(report, server);
        }
        return true;
    }
    // socat without `fork` serves one client, and listens no more meanwhile.
    if sockets.iter().any(|socket| on_port(&socket) && socket.connected) {
        let who = named(client.and_then(|client| processes.of_socket(client.inode)));
        let cure = "end that program; one line has room for one debugger";
        report.wrong(HOST, what, format!("{at} is in use by {who}"), cure);
        return false;
    }
    report.wrong(HOST, what, format!("nothing listens on {at}"), start);
    false
}

/// The socket that a relay is between: one of its arguments names it.
fn behind(report: &mut Report, relay: &Process) {
    if relay.name != "socat" {
        return;
    }
    let path = |arg: &String| {
        let arg = arg.split(',').next().unwrap_or_default();
        let path = arg.rsplit_once(':').map_or(arg, |(_, path)| path);
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    let Some(path) = relay.args.iter().skip(1).find_map(path) else { return };
    let what = "relay";
    match fs::metadata(&path) {
        Ok(_) => report.ok(HOST, what, format!("{relay} leads to {}", path.display())),
        Err(error) => {
            let found = format!("{relay} leads to {}: {error}", path.display());
            report.wrong(HOST, what, found, "start the guest, which makes it; then the relay");
        }
    }
}

fn by_kind(report: &mut Report, path: &Path) -> bool {
    match fs::metadata(path).map(|data| data.file_type()) {
        Ok(kind) if kind.is_char_device() => tty(report, path),
        Ok(kind) if kind.is_socket() => socket(report, path),
        Ok(_) => {
            let found = format!("{} is neither a socket nor a tty", path.display());
            report.wrong(HOST, "address", found, "give the guest's socket, or a tty");
            false
        }
        Err(error) => absent(report, "address", path, &error),
    }
}

fn absent(report: &mut Report, what: &str, path: &Path, error: &std::io::Error) -> bool {
    let cure = "start the guest, which makes it (VMware: kgdb-tui vmx FILE), or plug the adapter in, or check the name";
    report.wrong(HOST, what, format!("{}: {error}", path.display()), cure);
    false
}

fn socket(report: &mut Report, path: &Path) -> bool {
    let what = "socket";
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) => return absent(report, what, path, &error),
        Ok(data) if !data.file_type().is_socket() => {
            let cure = "give the socket that the guest makes; one that is left from another time may be deleted";
            report.wrong(HOST, what, format!("{shown} is no socket"), cure);
            return false;
        }
        Ok(_) => {}
    }
    if access(path, Access::READ_OK | Access::WRITE_OK).is_err() {
        let owner = owner(path).unwrap_or_default();
        let cure = format!(
            "run as the user who started the guest, or: sudo setfacl -m u:$USER:rw {shown}"
        );
        report.wrong(HOST, what, format!("no permission to use {shown} ({owner})"), &cure);
        return false;
    }
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let ends: Vec<_> =
        unix_sockets().into_iter().filter(|end| end.path == real || end.path == path).collect();
    // It may have been made under another name of the same directory; connecting
    // tells then.
    let Some(listens) = ends.iter().find(|end| end.listens) else { return true };
    let processes = Processes::read();
    let server = processes.of_socket(listens.inode);
    report.ok(HOST, what, format!("{} listens on {shown}", named(server)));
    // The other end has no name; who was told this one's is most likely it.
    if ends.iter().any(|end| !end.listens) {
        let text = path.to_string_lossy();
        let client = processes.all().iter().find(|process| {
            Some(process.pid) != server.map(|server| server.pid) && process.mentions(&text)
        });
        let who = match client {
            Some(client) => client.to_string(),
            None => "another program".to_owned(),
        };
        let cure =
            "end that program, or connect to it when it is a relay (--connect localhost:9999)";
        report.wrong(HOST, "socket's user", format!("{who} is connected to {shown}"), cure);
        return false;
    }
    true
}

fn tty(report: &mut Report, path: &Path) -> bool {
    let what = "tty";
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) => return absent(report, what, path, &error),
        Ok(data) if !data.file_type().is_char_device() => {
            report.wrong(HOST, what, format!("{shown} is no tty"), "give one, as /dev has them");
            return false;
        }
        Ok(_) => {}
    }
    if access(path, Access::READ_OK | Access::WRITE_OK).is_err() {
        let owner = owner(path).unwrap_or_default();
        let cure = "join its group: sudo usermod -aG dialout $USER, then log in again";
        report.wrong(HOST, what, format!("no permission to use {shown} ({owner})"), cure);
        return false;
    }
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if !is_tty(&real) {
        let cure = "give a serial port, such as /dev/ttyUSB0";
        report.wrong(HOST, what, format!("{shown} is a device, but no tty"), cure);
        return false;
    }
    let processes = Processes::read();
    // Who made a pseudo terminal may keep this end open as well.
    let makers: Vec<_> = ["/dev/ptmx", "/dev/pts/ptmx"]
        .iter()
        .flat_map(|m| processes.of_file(Path::new(m)))
        .collect();
    let mut users = processes.of_file(&real).iter();
    if let Some(user) = users.find(|user| !makers.contains(user)) {
        let cure = "end that program: two readers would each get half of the bytes";
        report.wrong(HOST, what, format!("{shown} is in use by {user}"), cure);
        return false;
    }
    report.ok(HOST, what, format!("{shown} is there, and nobody has it"));
    true
}

/// Whether a device is a tty, without opening it: that would set its lines.
fn is_tty(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(device) = fs::metadata(path).map(|data| data.rdev()) else { return false };
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    // Pseudo terminals are not in sysfs.
    match fs::read_link(format!("/sys/dev/char/{major}:{minor}/subsystem")) {
        Ok(subsystem) => subsystem.ends_with("tty"),
        Err(_) => true,
    }
}
