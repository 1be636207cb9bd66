//! What symbols cost on a real kernel: times, and anonymous memory.
//!
//! `KGDB_TUI_VMLINUX=…/vmlinux cargo bench --bench symbols [-- SYMBOL FILE]`
//! Without the variable the test guest's vmlinux is taken where it was built.

use kgdb_tui::symbols::{
    image::DebugImage,
    placed::{Placement, Symbols, VMLINUX},
    search::Searcher,
};
use std::{
    hint::black_box,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

fn main() -> ExitCode {
    let Some(path) = vmlinux() else {
        eprintln!("set KGDB_TUI_VMLINUX to a vmlinux with debug info");
        return ExitCode::FAILURE;
    };
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let function = arguments.first().map_or("vfs_read", String::as_str);
    let file = arguments.get(1).map_or("fs/read_write.c", String::as_str);
    match run(&path, function, file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(path: &std::path::Path, function: &str, file: &str) -> Result<(), String> {
    println!("{} ({} MB)", path.display(), size_mb(path));
    let start = Instant::now();
    let image = DebugImage::open(path).map_err(|why| why.to_string())?;
    row("open", start.elapsed());
    let mut symbols = Symbols::new();
    symbols.place(VMLINUX, image.clone(), Placement::Slide(0));
    let start = Instant::now();
    let at = symbols.symbol_addr(function).ok_or(format!("no symbol {function}"))?;
    row("first ELF symbol by name, from start of query", start.elapsed());
    let at = at.offset(0x50);
    timed("ELF symbol by address", || symbols.symbol_at(at));
    timed("cfi row", || symbols.cfi_row(at));
    let start = Instant::now();
    let loading = image.load_dwarf(&|_| {}, &AtomicBool::new(false));
    loading.map_err(|why| why.to_string())?;
    row("load debug info", start.elapsed());
    println!("{:>9.0} ms of CPU until then, on all cores", cpu_ms());
    println!("{:>12} kB anonymous memory after loading", anonymous_kb());
    timed("frames at an address", || symbols.frames_at(at));
    timed("line row at an address", || symbols.row_at(at));
    timed("arguments", || symbols.arguments_at(at, 0));
    timed("function by name", || symbols.find_functions(function));
    timed("every inlined instance of kmalloc", || symbols.find_functions("kmalloc"));
    timed("line of a source file", || symbols.find_lines(file, 451));
    timed("line of a header", || symbols.find_lines("include/linux/list.h", 72));
    timed("lines with code", || symbols.lines_with_code(file));
    timed("layout of task_struct", || symbols.struct_layout("task_struct"));
    timed("enumerator", || symbols.enumerator("MODULE_STATE_LIVE"));
    timed("complete a function", || symbols.complete_function("vfs_", 50));
    timed("functions that contain a word", || symbols.functions_matching("read_iter", 50));
    timed("complete a file", || symbols.complete_file("read_w", 50));
    typed(&symbols);
    println!("{:>12} kB anonymous memory at the end", anonymous_kb());
    Ok(())
}

/// A search, letter by letter as it is typed, then the same at once.
fn typed(symbols: &Symbols) {
    for text in ["vfsread", "e_s_t", "task_struct", "s:readwrite"] {
        timed(&format!("search for {text} at once"), || symbols.search(text, 50));
        let mut searcher = Searcher::default();
        for end in 1..=text.len() {
            let start = Instant::now();
            black_box(searcher.search(symbols, &text[..end], 50));
            row(&format!("search while typing: {}", &text[..end]), start.elapsed());
        }
    }
}

/// The first time, and the median of the next eleven.
fn timed<T>(what: &str, mut query: impl FnMut() -> T) {
    let mut once = || {
        let start = Instant::now();
        black_box(query());
        start.elapsed()
    };
    let first = once();
    let mut more: Vec<Duration> = (0..11).map(|_| once()).collect();
    more.sort();
    println!("{:>9.3} ms {:>9.3} ms  {what}", ms(first), ms(more[5]));
}

fn row(what: &str, time: Duration) {
    println!("{:>9.3} ms               {what}", ms(time));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn size_mb(path: &std::path::Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len() / 1_000_000)
}

/// The CPU time of the whole process; clock ticks are 10 ms on Linux.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    // utime and stime: fields 14 and 15, the state after the name being 3.
    let ticks: u32 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    f64::from(ticks) * 10.0
}

fn anonymous_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn vmlinux() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("KGDB_TUI_VMLINUX") {
        return Some(path.into());
    }
    let built = kgdb_tui::demo::build::Recipe::current().ok()?.built()?;
    Some(built.vmlinux)
}
