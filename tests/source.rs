//! The sources of the test guest: found by a guess beside its vmlinux, read
//! and cut into words quickly.

mod support {
    pub mod guest;
    pub mod tools;
}

use kgdb_tui::source::{
    Sources,
    paths::{Lookup, Rule, Settings},
    text::Text,
};
use std::time::Instant;
use support::guest::built;

#[test]
fn kernel_and_module_files_are_guessed_beside_vmlinux() {
    let vmlinux = Some(built().vmlinux);
    let mut sources = Sources::new(Settings { vmlinux, ..Settings::default() });
    let comp_dir = Some("/build/linux-kgdbtui/linux-6.1");
    for name in ["linux-6.1/kernel/fork.c", "hgfs/main.c", "linux-6.1/include/linux/fs.h"] {
        let full = format!("/build/linux-kgdbtui/{name}");
        let Lookup::Found { path, rule } = sources.find(&full, comp_dir) else {
            panic!("{name}: {:?}", sources.find(&full, comp_dir));
        };
        assert!(path.ends_with(name), "{}", path.display());
        assert!(matches!(rule, Rule::Guessed { .. }), "{rule}");
    }
    let loaded = sources.load("/build/linux-kgdbtui/hgfs/main.c", comp_dir).unwrap();
    assert!(loaded.text.len() > 20);
}

#[test]
fn a_large_kernel_file_is_ready_in_milliseconds() {
    let path = built().source.join("linux-6.1/kernel/sched/core.c");
    let start = Instant::now();
    let text = Text::load(&path).unwrap();
    let took = start.elapsed();
    println!("{} lines in {took:?}", text.len());
    assert!(text.len() > 10_000);
    assert!(took.as_millis() < 100, "{took:?}");
    let function =
        (1..=text.len()).find(|&n| text.line(n).is_some_and(|l| l.contains("__schedule(")));
    assert!(function.is_some_and(|n| !text.spans(n).is_empty()));
}
