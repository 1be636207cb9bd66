//! What symbols cost on a real kernel: times and memory, of whole programs
//! beside gdb on the same file in the same run, and of single questions.
//!
//! `cargo bench --bench symbols` takes the test guest's files where they were
//! built. Other files by variables:
//! `KGDB_TUI_VMLINUX=…/vmlinux KGDB_TUI_KO=…/xfs.ko cargo bench --bench symbols`.
//! gdb and xz are left out where they are not installed.

use kgdb_tui::{
    base::addr::{Addr, FileAddr},
    symbols::{
        image::DebugImage,
        lookup::search::Searcher,
        placed::{Placement, Symbols, VMLINUX},
    },
};
use std::{
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

/// Whole programs are run this often; the median is printed.
const RUNS: usize = 7;

/// A program is not run again once its runs have taken this long.
const LONG: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let Some((vmlinux, ko)) = files() else {
        eprintln!("set KGDB_TUI_VMLINUX and KGDB_TUI_KO, or build the guest: kgdb-tui demo");
        return ExitCode::FAILURE;
    };
    // What is measured is the program, not the disk.
    for path in [&vmlinux, &ko] {
        let _ = std::fs::File::open(path)
            .map(|mut file| std::io::copy(&mut file, &mut std::io::sink()));
    }
    match one_process(&vmlinux).and_then(|at| {
        modules(&ko)?;
        programs(&vmlinux, at)
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn files() -> Option<(PathBuf, PathBuf)> {
    let given = |name| std::env::var_os(name).map(PathBuf::from);
    if let (Some(vmlinux), Some(ko)) = (given("KGDB_TUI_VMLINUX"), given("KGDB_TUI_KO")) {
        return Some((vmlinux, ko));
    }
    let built = kgdb_tui::demo::build::Recipe::current().ok()?.built()?;
    let ko = built.dir.join("modules/fuse.ko");
    Some((given("KGDB_TUI_VMLINUX").unwrap_or(built.vmlinux), given("KGDB_TUI_KO").unwrap_or(ko)))
}

/// Opens, loads and asks here; gives an address inside a function.
fn one_process(path: &Path) -> Result<Addr, String> {
    let (began, cpu_before) = (Instant::now(), cpu_ms());
    println!("{} ({} MB), in one process", path.display(), size_mb(path));
    let start = Instant::now();
    let image = DebugImage::open(path).map_err(|why| why.to_string())?;
    row("open", start.elapsed());
    let mut symbols = Symbols::new();
    symbols.place(VMLINUX, image.clone(), Placement::Slide(0));
    let start = Instant::now();
    let at = symbols.symbol_addr("vfs_read").ok_or("no symbol vfs_read")?;
    row("first ELF symbol by name, from the start of the question", start.elapsed());
    let at = at.offset(0x50);
    timed("ELF symbol by address", || symbols.symbol_at(at));
    timed("cfi row", || symbols.cfi_row(at));
    let start = Instant::now();
    let loading = image.load_dwarf(&|_| {}, &AtomicBool::new(false));
    loading.map_err(|why| why.to_string())?;
    row("load debug info: everything findable by name", start.elapsed());
    row("  all of the above together", began.elapsed());
    println!("{:>9.0} ms of CPU until then, on all cores", cpu_ms() - cpu_before);
    println!("{:>9.1} MB of anonymous memory then", own_anonymous_kb() as f64 / 1e3);
    lookups(&symbols);
    println!("     first   then");
    timed("frames at an address", || symbols.frames_at(at));
    timed("line row at an address", || symbols.row_at(at));
    timed("arguments", || symbols.arguments_at(at, 0));
    timed("function by name", || symbols.find_functions("vfs_read"));
    timed("every inlined instance of kmalloc", || symbols.find_functions("kmalloc"));
    timed("line of a source file", || symbols.find_lines("fs/read_write.c", 451));
    timed("line of a header", || symbols.find_lines("include/linux/list.h", 72));
    timed("lines with code", || symbols.lines_with_code("fs/read_write.c"));
    timed("layout of task_struct", || symbols.struct_layout("task_struct"));
    timed("enumerator", || symbols.enumerator("MODULE_STATE_LIVE"));
    timed("complete a function", || symbols.complete_function("vfs_", 50));
    timed("complete a file", || symbols.complete_file("read_w", 50));
    let start = Instant::now();
    image.prepare_search();
    row("list of names for searches", start.elapsed());
    timed("fuzzy search, as a whole word", || Searcher::default().search(&symbols, "vfsrdit", 50));
    typing(&symbols, "schedtick");
    println!("{:>9.1} MB of anonymous memory at the end", own_anonymous_kb() as f64 / 1e3);
    Ok(at)
}

/// Addresses of code, spread evenly, each asked for once: function, inlined
/// calls, line.
fn lookups(symbols: &Symbols) {
    const COUNT: u64 = 200_000;
    let Some(placed) = symbols.vmlinux() else { return };
    let Some(text) = placed.image.image().section(".text") else { return };
    let addrs: Vec<Addr> = (0..COUNT)
        .filter_map(|i| placed.runtime(FileAddr(text.addr.0 + text.size * i / COUNT)))
        .collect();
    for kind in ["function and line of an address, cold", "  the same again"] {
        let start = Instant::now();
        for &addr in &addrs {
            black_box(symbols.function_and_line(addr));
        }
        per_second(kind, addrs.len(), start.elapsed());
    }
    let start = Instant::now();
    for &addr in &addrs {
        black_box(symbols.frames_at(addr));
    }
    per_second("inlined calls with files and lines", addrs.len(), start.elapsed());
}

fn per_second(what: &str, count: usize, time: Duration) {
    println!("{:>9.0} a second on one core: {what}", count as f64 / time.as_secs_f64());
}

/// A word typed letter by letter: the slowest letter.
fn typing(symbols: &Symbols, word: &str) {
    let mut searcher = Searcher::default();
    let mut slowest = Duration::ZERO;
    for end in 1..=word.len() {
        let start = Instant::now();
        black_box(searcher.search(symbols, &word[..end], 50));
        slowest = slowest.max(start.elapsed());
    }
    row("fuzzy search while typing, the slowest letter", slowest);
}

/// One module: plain, and packed where xz is there.
fn modules(ko: &Path) -> Result<(), String> {
    println!("\n{} ({} MB), in one process", ko.display(), size_mb(ko));
    let place = |path: &Path| {
        let start = Instant::now();
        let image = DebugImage::open(path).map_err(|why| why.to_string())?;
        image.load_dwarf(&|_| {}, &AtomicBool::new(false)).map_err(|why| why.to_string())?;
        let mut symbols = Symbols::new();
        let text = vec![(".text".to_owned(), Addr(0xffff_ffff_c000_0000))];
        symbols.place("module", image, Placement::Sections(text));
        black_box(symbols.frames_at(Addr(0xffff_ffff_c000_0040)));
        Ok::<_, String>(start.elapsed())
    };
    let median = |path: &Path| {
        let mut times = (0..RUNS).map(|_| place(path)).collect::<Result<Vec<_>, _>>()?;
        times.sort();
        Ok::<_, String>(times[RUNS / 2])
    };
    row("open, load, place, ask", median(ko)?);
    let dir = tempfile::tempdir().map_err(|why| why.to_string())?;
    for (program, ending, arguments) in
        [("xz", "xz", &["--check=crc32", "-c"][..]), ("zstd", "zst", &["-q", "-c"][..])]
    {
        let packed = dir.path().join(format!("module.ko.{ending}"));
        let Ok(output) = Command::new(program).args(arguments).arg(ko).output() else { continue };
        std::fs::write(&packed, output.stdout).map_err(|why| why.to_string())?;
        row(&format!("  the same from .ko.{ending}"), median(&packed)?);
    }
    Ok(())
}

/// Whole programs, from start to exit.
fn programs(vmlinux: &Path, at: Addr) -> Result<(), String> {
    let asked = [
        ("function and line of an address", format!("info line *{at}")),
        ("an address by function", "info line vfs_read".to_owned()),
        ("an address by line", "info line fs/read_write.c:451".to_owned()),
        ("a large type", "ptype struct task_struct".to_owned()),
    ];
    println!("\nwhole programs, warm page cache: median of {RUNS}, and peak anonymous memory");
    println!("            here                gdb");
    for (what, command) in &asked {
        let mut ours = Command::new(env!("CARGO_BIN_EXE_kgdb-tui"));
        ours.arg("--vmlinux").arg(vmlinux).args(["--batch", "--offline", "-ex", command]);
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch", "-ex", command]).arg(vmlinux);
        let text = |run: Option<(Duration, u64)>| match run {
            Some((time, kb)) => {
                format!("{:>8.3} s {:>4.0} MB", time.as_secs_f64(), kb as f64 / 1e3)
            }
            None => format!("{:>18}", "-"),
        };
        let ours = measured(&mut ours).ok_or("kgdb-tui can't be run")?;
        println!("{} {}  {what}", text(Some(ours)), text(measured(&mut gdb)));
    }
    Ok(())
}

/// The median time of some runs, and the most anonymous memory seen.
fn measured(command: &mut Command) -> Option<(Duration, u64)> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut times = Vec::new();
    let mut most = 0;
    // One more, for the page cache.
    for run in 0..=RUNS {
        let start = Instant::now();
        let mut child = command.spawn().ok()?;
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        while child.try_wait().ok()?.is_none() {
            most = most.max(anonymous_kb(&status));
            std::thread::sleep(Duration::from_millis(2));
        }
        let time = start.elapsed();
        if run > 0 || time > LONG {
            times.push(time);
        }
        if times.iter().sum::<Duration>() > LONG {
            break;
        }
    }
    times.sort();
    Some((times[times.len() / 2], most))
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

fn size_mb(path: &Path) -> u64 {
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

fn own_anonymous_kb() -> u64 {
    anonymous_kb(Path::new("/proc/self/status"))
}

fn anonymous_kb(status: &Path) -> u64 {
    let status = std::fs::read_to_string(status).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
