//! The virtual machine's serial port, as VMware's file has it.

use super::{Asked, Part, Report};
use crate::{
    link::endpoint::Endpoint,
    setup::{vmx_edit, vmx_file},
};
use std::path::Path;

const MACHINE: Part = Part::Machine;

/// Looks at the file.
pub(super) fn look(report: &mut Report, asked: &Asked) {
    let Some(path) = &asked.vmx else {
        let why = "no file was given";
        return report.not_looked(
            MACHINE,
            "VMware's file",
            why,
            "--vmx FILE, for a guest in VMware",
        );
    };
    let file = match vmx_file::read(path) {
        Ok(file) => file,
        Err(error) => {
            let cure = "give the .vmx of the guest's virtual machine";
            return report.wrong(MACHINE, "VMware's file", error.to_string(), cure);
        }
    };
    let shown = path.display();
    let ports = vmx_edit::ports(&file.vmx);
    for twice in file.vmx.duplicates() {
        if twice.key.starts_with("serial") {
            let lines: Vec<String> = twice.lines.iter().map(usize::to_string).collect();
            let found = format!("{} is there twice, in lines {}", twice.key, lines.join(" and "));
            report.wrong(MACHINE, "VMware's file", found, "delete one of the lines");
        }
    }
    let wanted = match asked.options.connect.as_ref() {
        Some(Endpoint::Unix(path) | Endpoint::Path(path)) => Some(path.as_path()),
        _ => None,
    };
    let socket = wanted.map_or(String::new(), |path| format!(" --socket {}", path.display()));
    let cure = format!("power the virtual machine off, then: kgdb-tui vmx {shown}{socket}");
    let is_it = |file: &str| wanted.is_none_or(|wanted| Path::new(file) == wanted);
    let sockets: Vec<_> = ports.iter().filter(|port| port.is_socket()).collect();
    let Some(port) = sockets.iter().find(|port| is_it(&port.file)) else {
        let found = match sockets.first() {
            None => "no serial port of the virtual machine leads to a socket".to_owned(),
            Some(port) => format!("{}, and not {}", port.describe(), show(wanted)),
        };
        return report.wrong(MACHINE, "serial port", found, &cure);
    };
    let number = port.number;
    report.ok(
        MACHINE,
        "serial port",
        format!("{}; in the guest it is ttyS{number}", port.describe()),
    );
    let lacks = vmx_edit::lacks(&file.vmx, number);
    if lacks.is_empty() {
        let found = "the machine makes the socket, loses no bytes, and yields while it polls";
        report.ok(MACHINE, &format!("serial{number}"), found);
    }
    for (key, value, now) in lacks {
        let now = now.map_or("not there".to_owned(), |now| format!("\"{now}\""));
        let found = format!("it is {now}, should be \"{value}\"");
        // Without these the line works, only worse.
        match key.ends_with("yieldOnMsrRead") || key.ends_with("tryNoRxLoss") {
            true => report.warning(MACHINE, &key, found, &cure),
            false => report.wrong(MACHINE, &key, found, &cure),
        }
    }
    if let Some(printer) = ports.iter().find(|port| port.is_printer()) {
        let found = format!("{}: kgdboc must name ttyS{number}", printer.describe());
        report.ok(MACHINE, "virtual printer", found);
    }
    if !Path::new(&port.file).exists() {
        let found = format!("{} does not exist", port.file);
        report.wrong(MACHINE, "socket", found, "power the virtual machine on, which makes it");
    }
}

fn show(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::options::Options;
    use std::{fs, os::unix::net::UnixListener, time::Duration};

    fn asked(vmx: Option<&Path>, connect: Option<&str>) -> Asked {
        let connect = connect.map(|text| text.parse().unwrap());
        Asked {
            options: Options { connect, ..Options::default() },
            vmx: vmx.map(Path::to_owned),
            config_file: None,
            stop: false,
            listen: None,
            timeout: Duration::from_secs(1),
        }
    }

    fn looked(vmx: Option<&Path>, connect: Option<&str>) -> Report {
        let mut report = Report::default();
        look(&mut report, &asked(vmx, connect));
        report
    }

    #[test]
    fn a_file_is_looked_at_and_its_cure_cures() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guest.vmx");
        let socket = dir.path().join("com");
        fs::write(&path, "config.version = \"8\"\nserial0.present = \"TRUE\"\nserial0.fileType = \"thinprint\"\n").unwrap();
        let report = looked(Some(&path), None);
        assert!(!report.is_good());
        assert!(report.text().contains(&format!("kgdb-tui vmx {}", path.display())));

        let file = vmx_file::read(&path).unwrap();
        let plan = vmx_file::plan(&file, Some(&socket)).unwrap();
        vmx_file::write(&file, &plan.vmx).unwrap();
        let report = looked(Some(&path), None);
        assert!(report.text().contains("in the guest it is ttyS1"), "{}", report.text());
        assert!(report.text().contains("cure: power the virtual machine on"));
        let _listener = UnixListener::bind(&socket).unwrap();
        for connect in [None, Some(format!("unix:{}", socket.display()))] {
            let report = looked(Some(&path), connect.as_deref());
            assert!(report.is_good(), "{}", report.text());
        }
        let report = looked(Some(&path), Some("unix:/tmp/another"));
        assert!(report.text().contains("and not /tmp/another"), "{}", report.text());

        let mut vmx = vmx_file::read(&path).unwrap();
        vmx.vmx.set("serial1.yieldOnMsrRead", "FALSE").unwrap();
        fs::write(&path, vmx.vmx.bytes()).unwrap();
        let report = looked(Some(&path), None);
        assert!(report.is_good() && report.text().contains("warning  serial1.yieldOnMsrRead"));
        vmx.vmx.set("serial1.pipe.endPoint", "client").unwrap();
        fs::write(&path, vmx.vmx.bytes()).unwrap();
        assert!(looked(Some(&path), None).text().contains("WRONG    serial1.pipe.endPoint"));
    }

    #[test]
    fn without_a_file_it_says_how_to_give_one() {
        let report = looked(None, None);
        assert!(report.is_good() && report.text().contains("--vmx FILE"));
        let report = looked(Some(Path::new("/nowhere/x.vmx")), None);
        assert!(!report.is_good(), "{}", report.text());
    }
}
