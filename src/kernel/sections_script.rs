//! Shell lines to run in the guest that list where the sections of modules are,
//! in the form that [`sections_text`](super::sections_text) reads.

use super::sections_file::module_name;
use thiserror::Error;

/// A word that names no module.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("'{0}' is no name of a module; write it as lsmod does, such as hgfs or vm_hgfs")]
pub struct NoModule(String);

/// What every shell has: busybox's, dash and bash. `cat`, because `read` takes a
/// byte at a time, and the kernel gives an address only to a read from the start
/// (`module_sect_read` in kernel/module/sysfs.c). Words for the user go to the
/// error output, as comments, so that a copied screen reads as well as a file.
/// Words that are given to them are modules; there is one more line for those of
/// [`script`].
pub const LINES: &str = r##"# Where the sections of modules are, for: kgdb-tui --sections FILE
# In the guest, as root: sh THIS > FILE; or paste it, and copy what it prints.
(
cd "${SYSFS:-/sys}/module" || exit 1
say() { echo "# $*" >&2; }
all=
[ $# -gt 0 ] || { all=1; set -- *; }
for m; do
  if [ ! -d "$m" ]; then say "$m is not loaded (lsmod lists what is)"; continue; fi
  if [ ! -d "$m/sections" ]; then
    [ "$all" ] || say "$m has no sections: it is built in, or the kernel has no CONFIG_KALLSYMS"
    continue
  fi
  hidden=
  for f in "$m"/sections/.[!.]* "$m"/sections/*; do
    [ -f "$f" ] || continue
    if ! a=$(cat "$f" 2>/dev/null); then
      say "$f can't be read: run this as root"
      break
    fi
    case $a in *[!0x]*) echo "$f:$a" ;; *) hidden=1 ;; esac
  done
  [ ! "$hidden" ] || say "addresses of $m are hidden: as root, echo 1 > /proc/sys/kernel/kptr_restrict"
done
)
"##;

/// The lines for some modules, or for all when there is none.
pub fn script(modules: &[String]) -> Result<String, NoModule> {
    let names: Result<Vec<String>, NoModule> = (modules.iter())
        .map(|name| module_name(name).ok_or_else(|| NoModule(name.clone())))
        .collect();
    let names = names?.join(" ");
    let set = if names.is_empty() { "set --".to_owned() } else { format!("set -- {names}") };
    Ok(LINES.replacen("(\n", &format!("(\n{set}\n"), 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::sections_text::parse;
    use std::{fs, path::Path, process::Command};

    fn run(shell: &[&str], sysfs: &Path, modules: &[&str]) -> (String, String) {
        let modules: Vec<String> = modules.iter().map(|&name| name.to_owned()).collect();
        let output = Command::new(shell[0])
            .args(&shell[1..])
            .args(["-c", &script(&modules).unwrap()])
            .env("SYSFS", sysfs)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    }

    #[test]
    fn shells_list_what_is_there_and_say_what_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = dir.path().join("module").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("vm_hgfs/sections/.text", "0xffffffffc0000000\n");
        write("vm_hgfs/sections/__param", "0xffffffffc0001000\n");
        write("dummy/sections/.text", "0x0000000000000000\n");
        write("printk/parameters/time", "Y\n");
        let shells: [&[&str]; 3] = [&["sh"], &["bash"], &["busybox", "sh"]];
        for shell in shells {
            if Command::new(shell[0]).arg("--help").output().is_err() {
                continue;
            }
            let names = ["vm-hgfs", "dummy", "absent", "printk"];
            let (out, said) = run(shell, dir.path(), &names);
            let want = "vm_hgfs/sections/.text:0xffffffffc0000000\n\
                        vm_hgfs/sections/__param:0xffffffffc0001000\n";
            assert_eq!(out, want, "{shell:?}: {said}");
            let found = parse(&format!("{out}{said}")).unwrap();
            assert_eq!(found[0].module.as_deref(), Some("vm_hgfs"));
            assert_eq!(found[0].sections.len(), 2);
            for words in ["dummy are hidden: as root", "absent is not loaded", "printk has no sec"]
            {
                assert!(said.contains(words), "{shell:?}: {said}");
            }
            let (out, said) = run(shell, dir.path(), &[]);
            assert_eq!(out, want, "{shell:?}: {said}");
            assert!(!said.contains("printk") && said.contains("dummy are hidden"), "{said}");
        }
    }

    #[test]
    fn a_name_is_no_command() {
        let error = script(&["hgfs; reboot".into()]).unwrap_err().to_string();
        assert!(error.starts_with("'hgfs; reboot' is no name"), "{error}");
        assert!(script(&["hgfs.ko".into()]).unwrap().contains("set -- hgfs\n"));
    }
}
