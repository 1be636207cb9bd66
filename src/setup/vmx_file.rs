//! Reading and writing VMware's file: with a copy of what it was, in one step,
//! and with its owner and mode as they were.

use super::{
    vmx::{MOST_BYTES, Vmx, VmxError},
    vmx_edit::{self, Plan, PlanError},
};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Why a file was not read, or is as it was.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system says no.
    #[error("{what} {path}: {why}{}", cure(.why))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// It is not the file of a virtual machine.
    #[error("{path}: {why}")]
    Vmx {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: VmxError,
    },
    /// There is no port for kgdb in it.
    #[error("{path}: {why}")]
    Plan {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: PlanError,
    },
    /// Somebody else wrote it meanwhile.
    #[error("{0} was changed by another program just now; it is left as that wrote it: try again")]
    Changed(PathBuf),
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; run this as the owner of the virtual machine",
        io::ErrorKind::NotFound => {
            "; give the .vmx of the virtual machine, which is in its directory"
        }
        io::ErrorKind::IsADirectory => "; give the .vmx in it",
        _ => "",
    }
}

/// The file of a virtual machine as it is now.
#[derive(Clone, Debug)]
pub struct OnDisk {
    /// Where it really is.
    pub path: PathBuf,
    /// What it says.
    pub vmx: Vmx,
    /// Its bytes.
    bytes: Vec<u8>,
}

/// Reads a file.
///
/// # Errors
/// It can't be read, or is no `.vmx`.
pub fn read(path: &Path) -> Result<OnDisk, FileError> {
    let io = |why| FileError::Io { what: "read", path: path.to_owned(), why };
    // Through links, so that the file and not the link is replaced.
    let real = fs::canonicalize(path).map_err(io)?;
    let mut bytes = Vec::new();
    let file = File::open(&real).map_err(io)?;
    if file.metadata().map_err(io)?.is_dir() {
        return Err(io(io::ErrorKind::IsADirectory.into()));
    }
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    let vmx = Vmx::parse(&bytes).map_err(|why| FileError::Vmx { path: path.to_owned(), why })?;
    Ok(OnDisk { path: real, vmx, bytes })
}

/// What a file would become.
///
/// # Errors
/// There is no port for kgdb in it.
pub fn plan(file: &OnDisk, socket: Option<&Path>) -> Result<Plan, FileError> {
    let name = file.path.file_stem().map(|name| name.to_string_lossy().into_owned());
    vmx_edit::plan(&file.vmx, socket, &name.unwrap_or_default())
        .map_err(|why| FileError::Plan { path: file.path.clone(), why })
}

/// What shows that VMware has the virtual machine open: it keeps a directory
/// `NAME.vmx.lck` with a file in it while it does.
pub fn open_by(path: &Path) -> Option<PathBuf> {
    let lock = beside(path, "", ".lck");
    let mut entries = fs::read_dir(&lock).ok()?.flatten();
    entries.any(|entry| entry.path().extension().is_some_and(|e| e == "lck")).then_some(lock)
}

/// Writes a file. What it was before is kept in a copy beside it, once: an older
/// copy is not replaced. Returns the copy.
///
/// # Errors
/// It can't be written, or is not as it was read; then it is as it was.
pub fn write(file: &OnDisk, vmx: &Vmx) -> Result<PathBuf, FileError> {
    let path = &file.path;
    let io = |what, path: &Path| {
        let path = path.to_owned();
        move |why| FileError::Io { what, path, why }
    };
    let data = fs::metadata(path).map_err(io("look at", path))?;
    let copy = beside(path, "", ".before-kgdb");
    match create(&copy, &data, &file.bytes) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => result.map_err(io("write the copy", &copy))?,
    }
    let new = beside(path, ".", &format!(".kgdb-tui-{}", std::process::id()));
    let written = create(&new, &data, &vmx.bytes());
    let replaced = written.map_err(io("write", &new)).and_then(|()| {
        if fs::read(path).map_err(io("read", path))? != file.bytes {
            return Err(FileError::Changed(path.clone()));
        }
        fs::rename(&new, path).map_err(io("replace", path))
    });
    if replaced.is_err() {
        let _ = fs::remove_file(&new);
    }
    replaced.map(|()| copy)
}

/// A new file with the mode and the owner of another, on the disk when this
/// returns.
fn create(path: &Path, like: &fs::Metadata, bytes: &[u8]) -> io::Result<()> {
    let mode = like.permissions().mode() & 0o7777;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let made = file.write_all(bytes).and_then(|()| {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            // A group of ours that the file does not have must not keep us from
            // it, another owner must.
            let owner = (own.uid() != like.uid()).then_some(like.uid());
            match chown(path, owner, Some(like.gid())) {
                Err(error) if owner.is_some() => return Err(error),
                _ => {}
            }
        }
        // The umask does not count.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()
    });
    if made.is_err() {
        let _ = fs::remove_file(path);
    }
    made
}

/// The path with something before and after its name.
fn beside(path: &Path, before: &str, after: &str) -> PathBuf {
    let mut name = OsString::from(before);
    name.push(path.file_name().unwrap_or_default());
    name.push(after);
    path.with_file_name(name)
}

/// What is said of a plan that was carried out, or of one that is only shown.
pub fn report(file: &Path, plan: &Plan, written: Option<&Path>, open: Option<&Path>) -> String {
    let Plan { port, socket, changes, notes, .. } = plan;
    let mut lines = Vec::new();
    let file = file.display();
    match changes.is_empty() {
        true => {
            lines.push(format!("{file}: serial{port} is kgdb's port already; nothing to change"))
        }
        false => lines.push(format!("{file}: serial{port} becomes kgdb's port")),
    }
    for change in changes {
        let before = change.before.as_ref().map(|before| format!("   (was \"{before}\")"));
        lines.push(format!(
            "  {} = \"{}\"{}",
            change.key,
            change.after,
            before.unwrap_or_default()
        ));
    }
    match written {
        Some(copy) => lines.push(format!("written; as it was before: {}", copy.display())),
        None if changes.is_empty() => {}
        None => lines.push("not written (--print)".into()),
    }
    lines.extend(notes.iter().map(|note| format!("note: {note}")));
    if let Some(lock) = open {
        lines.push(format!(
            "warning: VMware has this virtual machine open ({} is there): it writes the file itself when it powers the machine off, and these lines may be gone then. Power it off, close its tab, and run this again",
            lock.display()
        ));
    }
    lines.push(String::new());
    lines.push("next:".into());
    lines.push(
        "  power the virtual machine off and on (a restart of the guest is not enough)".into(),
    );
    lines.push(format!(
        "  in the guest the port is ttyS{port}; kgdb-tui guest-setup --tty ttyS{port} prints the script that sets it up there"
    ));
    lines.push(format!("  kgdb-tui --vmlinux VMLINUX --connect unix:{socket}"));
    lines.push(format!("  or through a relay: socat -d -d {socket} tcp-listen:9999"));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_the_first_copy_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guest.vmx");
        let first = b"#!/usr/bin/vmware\nconfig.version = \"8\"\n";
        fs::write(&path, first).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let link = dir.path().join("link.vmx");
        std::os::unix::fs::symlink(&path, &link).unwrap();

        let file = read(&link).unwrap();
        let done = plan(&file, None).unwrap();
        assert_eq!(done.socket, "/tmp/com_guest");
        let copy = write(&file, &done.vmx).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), first);
        assert_eq!(fs::read(&path).unwrap(), done.vmx.bytes());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o755);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

        // The file is not as it was read: nothing is lost.
        let stale = write(&file, &done.vmx).unwrap_err().to_string();
        assert!(stale.contains("changed by another program"), "{stale}");
        let again = read(&path).unwrap();
        let second = plan(&again, Some(Path::new("/tmp/second"))).unwrap();
        write(&again, &second.vmx).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), first, "the first copy stays");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing else is left there");
    }

    #[test]
    fn a_machine_that_is_open_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guest.vmx");
        let lock = dir.path().join("guest.vmx.lck");
        assert_eq!(open_by(&path), None);
        fs::create_dir(&lock).unwrap();
        assert_eq!(open_by(&path), None, "a lock that was left has no file in it");
        fs::write(lock.join("M12345.lck"), "").unwrap();
        assert_eq!(open_by(&path), Some(lock));
    }

    #[test]
    fn what_can_not_be_read_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let said = |path: &Path| read(path).unwrap_err().to_string();
        assert!(said(dir.path()).contains("give the .vmx in it"), "{}", said(dir.path()));
        assert!(said(&dir.path().join("absent")).contains("give the .vmx"));
        let disk = dir.path().join("disk.vmdk");
        fs::write(&disk, b"KDMV\0\0").unwrap();
        assert!(said(&disk).contains("not a disk"));
    }
}
