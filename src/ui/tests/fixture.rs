//! A stop in a small driver, as the session would show it, and the book of
//! code that goes with it.

use crate::arch::{
    Registers,
    insn::{self, Flavor},
    x86_64::X86_64,
};
use crate::base::addr::Addr;
use crate::session::conduct::{AtHit, ConductView};
use crate::session::symbol_answer::MatchAnswer;
use crate::session::view::{
    BreakpointView, CodeBook, Completes, Cost, CpuView, FrameView, FramesEnd, LinkView, Match,
    ModuleView, State, StopReason, StopView, SymbolsView, TargetView, VariableView, View,
};
use crate::session::wants::{MemoryView, MemoryWant, RowView, Supplied, TaskView, TasksView};
use crate::session::watching::HardwareView;
use crate::source::text::Text;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub const REQUEST_C: &str = include_str!("request.c");

pub struct Book;

impl CodeBook for Book {
    fn text(&self, path: &Path) -> Result<Arc<Text>, String> {
        if path.ends_with("request.c") {
            Ok(Arc::new(Text::new(REQUEST_C)))
        } else if path.ends_with("read_write.c") {
            let lines = (1..=600).map(|n| format!("\t/* line {n} of read_write.c */\n"));
            Ok(Arc::new(Text::new(&lines.collect::<String>())))
        } else {
            Err(format!("can't read {}: No such file or directory", path.display()))
        }
    }

    fn lines_with_code(&self, _: &str) -> Arc<BTreeSet<u32>> {
        Arc::new(BTreeSet::from([30, 32, 34, 35, 36, 38, 39, 41, 43, 44, 46]))
    }

    fn complete(&self, what: Completes, prefix: &str, _: usize) -> Vec<String> {
        let names = ["vfs_read", "vfs_readv", "vfs_rename", "HgfsSendRequest"];
        let fits = names.iter().filter(|name| name.starts_with(prefix));
        if what == Completes::File { Vec::new() } else { fits.map(|n| n.to_string()).collect() }
    }

    fn search(&self, text: &str, limit: usize) -> Vec<MatchAnswer> {
        let (kind, text) = match text.split_once(':') {
            Some((kind, text)) => (Some(kind), text),
            None => (None, text),
        };
        let name = |name: &str, kind, file: &str, line| MatchAnswer {
            name: name.into(),
            kind,
            file: Some(file.into()),
            line,
            module: file.starts_with("hgfs").then(|| "hgfs".into()),
            choose: None,
            score: 1000 - name.len() as u32,
        };
        let names = [
            name("vfs_read", "function", "fs/read_write.c", Some(450)),
            name("vfs_readv", "function", "fs/read_write.c", Some(930)),
            name("HgfsSendRequest", "function", "hgfs/request.c", Some(28)),
            name("hgfs_stats", "variable", "hgfs/main.c", Some(12)),
            name("HgfsReq", "struct", "hgfs/hgfs.h", Some(30)),
            name("hgfs/request.c", "file", "hgfs/request.c", None),
        ];
        let letter = |of: &str| match of {
            "function" => "f",
            "variable" => "v",
            "file" => "s",
            _ => "t",
        };
        let fits = |one: &MatchAnswer| {
            let named = one.name.to_lowercase().contains(&text.to_lowercase());
            named && kind.is_none_or(|kind| kind == letter(one.kind))
        };
        names.into_iter().filter(|one| !text.is_empty() && fits(one)).take(limit).collect()
    }

    fn describe(&self, name: &str) -> Option<String> {
        (name == "struct HgfsReq")
            .then(|| "type = struct HgfsReq {\n    int id;\n    struct list_head list;\n}".into())
    }

    fn find(&self, location: &str) -> Result<(String, Option<PathBuf>, u32), String> {
        let here = |line| ("hgfs/request.c".into(), Some(path("hgfs/request.c")), line);
        match location {
            "HgfsSendRequest" => Ok(here(28)),
            "vfs_read" => Ok(("fs/read_write.c".into(), Some(path("fs/read_write.c")), 450)),
            _ => match (location.strip_prefix("hgfs/request.c:"), location.strip_prefix("*0x")) {
                (Some(line), _) => Ok(here(line.parse().map_err(|_| "no line")?)),
                (_, Some(hex)) => match u64::from_str_radix(hex, 16).unwrap_or(0) & 0xff {
                    ..0x40 => Ok(here(35)),
                    0x40..0x48 => Ok(here(36)),
                    _ => Ok(("include/linux/list.h".into(), None, 77)),
                },
                _ => Err(format!("no function, file or address '{location}'")),
            },
        }
    }
}

fn path(file: &str) -> PathBuf {
    Path::new("/usr/src/linux-source-6.1").join(file)
}

pub fn registers(rax: u64, rip: u64) -> Registers {
    let mut registers = Registers::unknown(&X86_64);
    let values = [
        ("rax", rax),
        ("rbx", 0xffff_8880_0420_9a00),
        ("rcx", 0),
        ("rdx", 0x10),
        ("rsi", 0xffff_c900_0018_3e10),
        ("rdi", 0xffff_8880_0420_9a00),
        ("rbp", 0xffff_8880_0377_c000),
        ("rsp", 0xffff_c900_0018_3d98),
        ("r8", 1),
        ("r9", 0xffff_ffff_8243_1f20),
        ("r12", 0x7f2d_0c11_2000),
        ("r13", 0xffff_c900_0018_3ef0),
        ("r14", 0x2_0000),
        ("r15", 0),
        ("rip", rip),
        ("eflags", 0x346),
        ("cs", 0x10),
        ("ss", 0x18),
    ];
    for (name, value) in values {
        registers.set(X86_64.reg(name).unwrap(), Some(value));
    }
    registers
}

fn variable(name: &str, type_name: &str, value: Option<&str>, argument: bool) -> VariableView {
    VariableView {
        name: name.into(),
        type_name: type_name.into(),
        value: value.map(str::to_string),
        optimized_out: value.is_none(),
        unavailable: None,
        note: None,
        argument,
    }
}

fn frame(level: usize, pc: u64, function: &str, file: &str, line: u32) -> FrameView {
    FrameView {
        level,
        pc: Addr(pc),
        function: Some(function.into()),
        offset: Some(0x35),
        file: Some(file.into()),
        path: Some(path(file)),
        line: Some(line),
        inlined: false,
        module: None,
        kind: "normal",
        saved: None,
        args: None,
        source_note: "guessed: /build/linux → /usr/src/linux-source-6.1".into(),
        source_guessed: true,
    }
}

const PC: u64 = 0xffff_ffff_c000_2035;

pub fn stop(generation: u64, line: u32) -> StopView {
    let mut frames = vec![
        frame(0, PC, "HgfsSendRequest", "hgfs/request.c", line),
        frame(1, PC, "HgfsQueueFor", "hgfs/request.c", 61),
        frame(2, PC + 0x100, "HgfsPackOpenRequest", "hgfs/request.c", 88),
        frame(3, 0xffff_ffff_812a_3b10, "vfs_read", "fs/read_write.c", 468),
        frame(4, 0xffff_ffff_812a_45ac, "ksys_read", "fs/read_write.c", 613),
        frame(5, 0xffff_ffff_8180_0f31, "do_syscall_64", "arch/x86/entry/common.c", 80),
    ];
    frames[0].module = Some("hgfs".into());
    frames[0].args =
        Some(vec![variable("req", "struct HgfsReq *", Some("0xffff888004209a00"), true)]);
    frames[1].inlined = true;
    frames[1].args = Some(vec![variable("queue", "struct HgfsQueue *", None, true)]);
    frames[5].kind = "syscall";
    let bytes = [
        0x55, 0x48, 0x89, 0xe5, 0x53, 0x48, 0x89, 0xfb, 0xe8, 0xf3, 0x1f, 0x2a, 0xc1, 0x48, 0x85,
        0xc0, 0x74, 0x0e, 0x8b, 0x43, 0x18, 0x5b, 0x5d, 0xc3,
    ];
    let name = |at: Addr| (at.0 < PC).then(|| "_raw_spin_lock".to_string());
    let code = insn::decode(Addr(PC), &bytes, 20, Flavor::Att, &name);
    let code_symbols = code
        .iter()
        .map(|i| Some(format!("HgfsSendRequest+0x{:x}", i.addr.0 - PC + 0x35)))
        .collect();
    StopView {
        generation,
        reason: StopReason::Breakpoint(1),
        signal: Some(5),
        cpu: Some(1),
        pid: Some(812),
        comm: Some("cat".into()),
        registers: registers(0x2a, PC),
        previous: Some(registers(0, PC - 5)),
        frames,
        frames_end: FramesEnd::Complete("syscall from user mode".into()),
        selected: 0,
        frame_registers: registers(0x2a, PC),
        register_names: BTreeMap::from([
            ("r9", "jiffies".to_string()),
            ("rip", "HgfsSendRequest+0x35 [hgfs]".to_string()),
        ]),
        variables: Some(vec![
            variable("req", "struct HgfsReq *", Some("0xffff888004209a00"), true),
            variable("timeout", "unsigned int", None, true),
            variable("queue", "struct HgfsQueue *", Some("0xffffffffc0004a40 <hgfs_queue>"), false),
            variable("error", "int", Some("0"), false),
        ]),
        code,
        code_symbols,
        returned: None,
        crash: None,
        at_hit: AtHit::default(),
        cost: Cost { tx: 61, rx: 351, packets: 3, time: Duration::from_millis(41) },
        subject: None,
        supplied: supplied(),
    }
}

/// What panes besides the stack are given.
fn supplied() -> Supplied {
    let task = |pid, comm: &str, state: &str, wait: Option<&str>| TaskView {
        pid,
        tgid: pid,
        comm: comm.into(),
        state: state.into(),
        wait: wait.map(str::to_string),
        ..TaskView::default()
    };
    let tasks = TasksView {
        total: Some(41),
        rows: vec![
            TaskView {
                cmdline: Some("init".into()),
                ..task(1, "init", "sleeping", Some("do_wait"))
            },
            TaskView { kernel: true, ..task(2, "kthreadd", "sleeping", Some("kthreadd")) },
            TaskView { cpu: Some(1), on_cpu: true, ..task(812, "cat", "running", None) },
        ],
        ..TasksView::default()
    };
    let words = [PC, 0xffff_8880_0420_9a00, 0, 0x10];
    let memory = MemoryView {
        want: MemoryWant { expression: "$rsp".into(), offset: 0, len: 64 },
        start: Addr(0xffff_c900_0018_3d98),
        bytes: words.iter().flat_map(|word| word.to_le_bytes()).map(Some).collect(),
        names: vec![(Addr(0xffff_c900_0018_3d98), "HgfsSendRequest+0x35 [hgfs]".into())],
        error: None,
    };
    Supplied {
        cpus: Some(vec![cpu(0, "idle", false), cpu(1, "kernel", true)]),
        tasks: Some(tasks),
        variables: Some(vec![
            row("0", 0, "req", "struct HgfsReq *", Some("0xffff888004209a00"), true),
            row("1", 0, "timeout", "unsigned int", None, true),
            RowView {
                can_open: true,
                open: true,
                ..row(
                    "2",
                    0,
                    "queue",
                    "struct HgfsQueue *",
                    Some("0xffffffffc0004a40 <hgfs_queue>"),
                    false,
                )
            },
            row("2.lock", 1, "lock", "spinlock_t", Some("{rlock = {…}}"), false),
            row("2.len", 1, "len", "int", Some("3"), false),
            row("3", 0, "error", "int", Some("0"), false),
        ]),
        watches: Some(vec![row("w0", 0, "hgfs_stats.sent", "unsigned long", Some("17"), false)]),
        memory: Some(memory),
        code: None,
        dmesg: None,
    }
}

fn cpu(cpu: u32, doing: &str, current: bool) -> CpuView {
    CpuView {
        cpu,
        current,
        stopped: true,
        pid: Some(if current { 812 } else { 0 }),
        comm: Some(if current { "cat".into() } else { format!("swapper/{cpu}") }),
        pc: Some(Addr(PC)),
        sp: None,
        registers: Vec::new(),
        function: Some(if current { "HgfsSendRequest".into() } else { "default_idle".into() }),
        doing: doing.into(),
    }
}

pub fn row(
    id: &str,
    depth: usize,
    name: &str,
    type_name: &str,
    value: Option<&str>,
    argument: bool,
) -> RowView {
    RowView {
        id: id.into(),
        depth,
        name: name.into(),
        type_name: type_name.into(),
        value: value.map(str::to_string),
        optimized_out: value.is_none(),
        expression: Some(name.into()),
        argument,
        ..RowView::default()
    }
}

pub fn breakpoints() -> Vec<BreakpointView> {
    let wish = |number, location: &str, state, line| BreakpointView {
        number,
        kind: "breakpoint",
        location: location.into(),
        sites: vec![Addr(PC)],
        state,
        why: None,
        hits: 0,
        function: None,
        file: Some("hgfs/request.c".into()),
        line: Some(line),
        places: Vec::new(),
        note: None,
        watch: None,
        conduct: ConductView::default(),
    };
    vec![
        BreakpointView { hits: 2, ..wish(1, "HgfsSendRequest", "armed", 35) },
        BreakpointView { sites: vec![], ..wish(2, "hgfs/request.c:43", "disabled", 43) },
        BreakpointView {
            file: None,
            line: None,
            sites: Vec::new(),
            why: Some("no function 'dummy_xmit' yet; a module may bring it".into()),
            ..wish(3, "dummy_xmit", "pending", 0)
        },
    ]
}

/// Modules with symbols in every state.
pub fn modules() -> Vec<ModuleView> {
    let module = |name: &str, state, base, size, symbols| ModuleView {
        name: name.into(),
        state,
        base: Addr(base),
        size: Some(size),
        counted: true,
        refs: Some(0),
        permanent: false,
        used_by: Vec::new(),
        taints: "OE".into(),
        symbols,
        path: None,
        proven_by: None,
        why: None,
        sections: vec![(".text".into(), Addr(base)), (".data".into(), Addr(base + 0x2000))],
    };
    vec![
        ModuleView {
            why: Some("its build-id is 0f3a…, the guest's is 9d21…".into()),
            ..module("hgfs_pong", "coming", 0xffff_ffff_c001_1000, 16_384, "wrong build")
        },
        ModuleView {
            refs: Some(1),
            used_by: vec!["hgfs_pong".into()],
            ..module("hgfs_ping", "live", 0xffff_ffff_c000_9000, 20_480, "loading")
        },
        ModuleView {
            path: Some("/modules/hgfs.ko".into()),
            ..module("hgfs", "live", 0xffff_ffff_c000_2000, 24_576, "loaded")
        },
        ModuleView {
            why: Some("no such .ko below /lib/modules; --module-path DIR adds a place".into()),
            permanent: true,
            ..module("fuse", "live", 0xffff_ffff_c002_0000, 176_128, "not found")
        },
        ModuleView {
            size: None,
            counted: false,
            refs: None,
            taints: String::new(),
            ..module("dummy", "given", 0xffff_ffff_c003_0000, 0, "failed")
        },
    ]
}

pub fn view(state: State, stop: Option<StopView>) -> View {
    View {
        revision: 1,
        state,
        target: TargetView {
            connect: "localhost:9999".into(),
            vmlinux: Some("/boot/vmlinux-6.1.0".into()),
            release: Some("6.1.158".into()),
            build_id: Some("6a1d3c0f92b84e0d8a".into()),
            vmlinux_build_id: Some("6a1d3c0f92b84e0d8a".into()),
            matches: Match::Match,
            ..TargetView::default()
        },
        symbols: SymbolsView::Ready,
        stop: stop.map(Arc::new),
        breakpoints: breakpoints(),
        hardware: HardwareView { used: 0, slots: 4 },
        modules: Vec::new(),
        link: LinkView { rate: 11_240, ..LinkView::default() },
        flavor: Flavor::Att,
        working: None,
        packets: None,
    }
}
