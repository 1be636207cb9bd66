//! VMware's files with any bytes: read, given a port, read again.
#![no_main]

use kgdb_tui::setup::{vmx::Vmx, vmx_edit};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let Ok(vmx) = Vmx::parse(bytes) else { return };
    assert_eq!(vmx.bytes(), bytes);
    let Ok(plan) = vmx_edit::plan(&vmx, Some(Path::new("/tmp/com")), "guest") else { return };
    let again = Vmx::parse(&plan.vmx.bytes()).expect("what is written can be read");
    let plan = vmx_edit::plan(&again, Some(Path::new("/tmp/com")), "guest").expect("as before");
    assert!(plan.changes.is_empty(), "{:?}", plan.changes);
});
