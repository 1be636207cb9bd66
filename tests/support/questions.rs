//! Every question that symbols take, asked of a file that may be damaged or
//! hostile: each must come back, with an answer or without, and without a
//! panic. Used by the tests and by the fuzz targets.

use kgdb_tui::{
    base::addr::Addr,
    symbols::{
        image::DebugImage,
        lookup::{location::Location, places::Here},
        placed::{Placement, Symbols, VMLINUX},
    },
};
use std::{hint::black_box, path::Path, sync::atomic::AtomicBool};

/// Where the fixtures are linked.
pub const TEXT: u64 = 0xffff_ffff_8100_0000;

/// Asks everything. The addresses are those of the whole file and some wild.
pub fn ask_everything(path: &Path) {
    let Ok(image) = DebugImage::open(path) else { return };
    let sections = image.image().sections().to_vec();
    for section in &sections {
        black_box(image.image().section_data(&section.name));
        black_box(image.image().file_bytes(section.addr, 16));
    }
    let _ = image.load_dwarf(&|_| {}, &AtomicBool::new(false));
    let mut symbols = Symbols::new();
    let placement: Vec<(String, Addr)> = (sections.iter().enumerate())
        // The first section after the null one is `.text`.
        .map(|(i, section)| {
            (
                section.name.clone(),
                Addr(TEXT).offset((i as u64).wrapping_sub(1).wrapping_mul(0x10_0000)),
            )
        })
        .collect();
    symbols.place("mod", image.clone(), Placement::Sections(placement));
    let missing = image.missing();
    symbols.place(VMLINUX, image, Placement::Slide(0));
    let mut addrs: Vec<Addr> = (0..0x180).step_by(5).map(|i| Addr(TEXT + i)).collect();
    addrs.extend([Addr(0), Addr(1), Addr(u64::MAX), Addr(TEXT - 1), Addr(0x1_0004)]);
    for &at in &addrs {
        black_box((symbols.describe(at), symbols.function_at(at), symbols.cfi_row(at)));
        black_box((symbols.row_at(at), symbols.rows_of(at, at.offset(64)), symbols.frame_base(at)));
        black_box(symbols.inline_ranges_at(at));
        black_box((symbols.place_at(at, None), symbols.describe_reference(at)));
        black_box(symbols.function_and_line(at));
        black_box((symbols.file_code(at, 40).map(|code| code.len()), symbols.function_at(at)));
        if let Some(row) = symbols.row_at(at) {
            black_box(symbols.first_line(at, at.offset(64), &row.file));
        }
        for variable in symbols.variables_visible(at) {
            black_box(variable);
        }
        for depth in 0..symbols.frames_at(at).len().min(3) {
            for variable in
                symbols.arguments_at(at, depth).iter().chain(&symbols.locals_at(at, depth))
            {
                black_box((symbols.type_name(variable.ty), symbols.type_shape(variable.ty)));
                black_box((symbols.size_of(variable.ty), symbols.layout_of(variable.ty)));
            }
        }
    }
    for name in ["send_request", "half", "twin", "list_add", "mod!entry", "", "first_request"] {
        black_box((symbols.find_functions(name), symbols.symbol_addr(name)));
        black_box((symbols.find_variable(name), symbols.per_cpu_offset_symbol(name)));
        black_box((symbols.variables_named(name), symbols.function_type(name)));
    }
    for name in ["request", "struct list_head", "atomic_t", "unsigned long", "state", "handler_t"] {
        black_box((symbols.struct_layout(name), symbols.type_size(name)));
        if let Some(named) = symbols.find_typed(name) {
            black_box((symbols.describe_type(named, true), symbols.describe_type(named, false)));
            black_box(symbols.whatis(named));
        }
    }
    for line in [0, 20, 46, 63, 5000, u32::MAX] {
        black_box((symbols.find_lines("main.c", line), symbols.find_lines("list.h", line)).0).ok();
    }
    black_box((
        symbols.lines_with_code("main.c"),
        symbols.files(),
        symbols.enumerator("STATE_GONE"),
    ));
    for name in ["__x86_64__", "INT_MAX", ""] {
        black_box((symbols.macro_named(name, None), symbols.macro_named(name, Some(addrs[0]))));
    }
    black_box((symbols.has_macros(), missing));
    let any = |_: &[u8]| true;
    black_box((symbols.list_functions(&any, 99), symbols.list_variables(&any, 99)));
    black_box((symbols.list_types(&any, 99), symbols.complete_type("s", 9)));
    black_box(symbols.complete_function("s", 9));
    black_box((symbols.complete_file("m", 9), symbols.complete_function_of("main.c", "s", 9)));
    black_box((symbols.search("se", 9), symbols.similar_names("send_reqeust", 3)));
    for text in ["send_request", "main.c:twin", "mod!main.c:46", "*half+4", "list.h:20", "twim"] {
        let Ok(location) = Location::parse(text) else { continue };
        let _ = black_box(symbols.addresses_of(&location, Here::default()));
        let _ = black_box(symbols.address_of(&location, Here::default()));
    }
}
