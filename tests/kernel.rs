//! The kernel, unwinder and variables on a real stopped guest, read with
//! plain packets, with gdb as the oracle for stacks.

mod live;

use kgdb_tui::{
    base::addr::Addr,
    kernel::{proof, slide},
    symbols::{
        image::DebugImage,
        placed::{Placement, Symbols},
    },
};
use live::{Guest, guest_dir};
use std::sync::atomic::AtomicBool;

/// vmlinux of the guest with its DWARF, at its link address.
fn vmlinux() -> Symbols {
    let image = DebugImage::open(&guest_dir().join("vmlinux")).unwrap();
    let _ = image.load_dwarf(&|_| (), &AtomicBool::new(false));
    let mut symbols = Symbols::new();
    symbols.place("vmlinux", image, Placement::Slide(0));
    symbols
}

#[test]
fn the_slide_is_found_and_the_kernel_proven() {
    let mut symbols = vmlinux();
    let mut guest = Guest::boot("hgfs.load");
    guest.break_in();
    let pc = guest.registers().pc();
    let found = slide::find(&symbols, &guest, pc).unwrap();
    println!("{found:x?}, {:?}", guest.cost());
    assert_eq!(found.by, slide::How::Idt);
    assert_eq!(slide::find(&symbols, &guest, None).unwrap(), found);
    symbols.set_slide(found.value);
    assert_eq!(slide::find(&symbols, &guest, None).unwrap(), found, "placement does not matter");
    let at = pc.and_then(|pc| symbols.symbol_at(pc)).unwrap();
    assert_eq!(at.name, "kgdb_breakpoint");
    let proof = proof::prove(&symbols, &guest).unwrap();
    println!("{proof:?}, {:?}", guest.cost());
    assert!(proof.holds(), "{proof:?}");
    symbols.set_slide(found.value + slide::ALIGN);
    assert!(matches!(proof::prove(&symbols, &guest).unwrap(), proof::Proof::Unknown { .. }));
}
