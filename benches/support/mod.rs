//! What the benchmarks tell gdb of the demo module.

use kgdb_tui::demo::{build::Built, guest::Guest};

/// Where the guest has the module's sections: lines `NAME ADDRESS`.
pub fn sections(guest: &mut Guest) -> String {
    let listing =
        "cd /sys/module/hgfs/sections; for f in .*; do [ -f $f ] && echo $f $(cat $f); done; cd /";
    guest.shell().unwrap().run(listing).unwrap().text
}

/// The command of gdb's that a person would write from them.
pub fn add_symbol_file(built: &Built, sections: &str) -> String {
    let mut load = format!("add-symbol-file {}", built.modules.join("hgfs.ko").display());
    for (name, addr) in sections.lines().filter_map(|line| line.split_once(' ')) {
        if [".text", ".data", ".bss", ".rodata"].contains(&name) {
            load += &format!(" -s {name} {}", addr.trim());
        }
    }
    load
}
