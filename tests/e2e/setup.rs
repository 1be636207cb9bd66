//! Setting up: the script for the guest run in the guest, VMware's file, and the
//! look at the whole chain with each fault in it.

use crate::facts::{alive, run, setup};
use crate::files::{build_id, of_another_build};
use crate::support::{
    batch::Setup,
    guest::{LockedGuest, boot, built},
    tools::tool,
};
use kgdb_tui::{
    base::{addr::Addr, memory::Sparse},
    demo::{guest::Boot, relay::free_port},
    kernel::{
        kconfig,
        kgdb_state::{self, Lockdown},
    },
    symbols::{
        image::DebugImage,
        placed::{Placement, Symbols, VMLINUX},
    },
};
use portable_pty::{PtySize, native_pty_system};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixListener,
        process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{
        atomic::AtomicBool,
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(120);

/// The program with some arguments, at home nowhere.
fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgdb-tui"));
    command
        .args(args)
        .env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
        .env("XDG_CONFIG_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
        .stdin(Stdio::null());
    command
}

/// What the doctor found.
struct Looked {
    report: Value,
    status: Option<i32>,
}

impl Looked {
    fn of(output: &Output) -> Looked {
        let text = String::from_utf8_lossy(&output.stdout);
        let report = serde_json::from_str(&text).unwrap_or_else(|why| {
            panic!("{why}: {text}{}", String::from_utf8_lossy(&output.stderr))
        });
        Looked { report, status: output.status.code() }
    }

    /// Looks at a line.
    fn at(args: &[&str]) -> Looked {
        let all = [&["doctor", "--json"], args].concat();
        Looked::of(&program(&all).output().unwrap())
    }

    /// What was found of something, which came out so.
    #[track_caller]
    fn found(&self, what: &str, health: &str) -> &str {
        let checks = self.report["checks"].as_array().unwrap();
        let is = |check: &&Value| check["what"] == what && check["health"] == health;
        let check = checks.iter().find(is);
        let check =
            check.unwrap_or_else(|| panic!("no {what} that is {health}: {:#}", self.report));
        if health != "ok" {
            assert!(check["cure"].is_string(), "{check}");
        }
        check["found"].as_str().unwrap()
    }
}

/// The doctor while it looks.
struct Looking {
    child: Child,
    said: Receiver<String>,
}

impl Looking {
    fn start(args: &[&str]) -> Looking {
        let all = [&["doctor", "--json"], args].concat();
        let mut child =
            program(&all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Looking { child, said }
    }

    /// Waits until it has said something.
    #[track_caller]
    fn expect(&self, words: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(line) if line.contains(words) => return,
                Ok(_) => {}
                Err(why) => panic!("{words:?} was not said: {why}"),
            }
        }
    }

    fn end(self) -> Looked {
        Looked::of(&self.child.wait_with_output().unwrap())
    }
}

/// The address of the guest's kgdb, once its relay listens.
fn ready(guest: &LockedGuest) -> String {
    guest.relay().unwrap().wait_listening().unwrap();
    guest.address().to_owned()
}

/// Brings a text into a file of the guest, in pieces that its shell's line has
/// room for.
fn bring(guest: &mut LockedGuest, text: &str, to: &str) {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(text.as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    run(guest, &format!(": > {to}.gz"));
    for piece in packed.chunks(150) {
        let bytes: String = piece.iter().map(|byte| format!("\\0{byte:03o}")).collect();
        run(guest, &format!("echo -ne '{bytes}' >> {to}.gz"));
    }
    run(guest, &format!("gunzip -f {to}.gz"));
}

/// The chain is looked at while the guest runs, while it is stopped, and with
/// each fault that a guest can have; it is left as it was found each time. The
/// script for the guest finds the same from the inside, and cures it.
#[test]
fn a_real_chain_with_its_faults() {
    let mut guest = boot(&Boot::default());
    let vmlinux = built().vmlinux;
    let (vmlinux, source) = (vmlinux.to_str().unwrap(), built().source);
    let from_to = format!("{}={}", kgdb_tui::demo::build::COMPILED_IN, source.to_str().unwrap());
    let files = ["--vmlinux", vmlinux, "--substitute-path", from_to.as_str()];

    // Running: it goes on.
    let address = ready(&guest);
    let connect = ["--connect", address.as_str()];
    let looked = Looked::at(&[&connect[..], &files].concat());
    assert_eq!(looked.status, Some(0), "{:#}", looked.report);
    assert!(looked.found("TCP port", "ok").contains("socat (pid"));
    assert!(looked.found("relay", "ok").contains("leads to"));
    assert!(looked.found("vmlinux", "ok").contains(&build_id(&built().vmlinux)));
    assert!(looked.found("sources", "ok").ends_with("linux-6.1/init/main.c"));
    assert!(looked.found("what listens", "not-looked").starts_with("no answer: "));
    looked.found("which port", "not-looked");
    looked.found("release, command line, kgdboc, sysrq", "not-looked");
    for option in ["KGDB", "KGDB_SERIAL_CONSOLE", "KGDB_KDB", "MAGIC_SYSRQ", "DEBUG_INFO"] {
        assert_eq!(looked.found(&format!("CONFIG_{option}"), "ok"), "y");
    }
    looked.found("CONFIG_MAGIC_SYSRQ_SERIAL", "not-looked");
    assert_eq!(looked.found("the guest is left", "ok"), "running");
    alive(&mut guest);

    // Which of its ports the line is.
    let script = program(&["guest-setup"]).output().unwrap();
    assert!(script.status.success());
    bring(&mut guest, &String::from_utf8(script.stdout).unwrap(), "/tmp/setup");
    ready(&guest);
    let looking = Looking::start(&["--connect", &address, "--listen", "60"]);
    looking.expect("listening for a marker");
    // Its own port is the shell's, and gets one too.
    let said = run(&mut guest, "sh /tmp/setup mark");
    assert!(said.contains("wrote a marker to ttyS0"), "{said}");
    let looked = looking.end();
    assert_eq!(looked.status, Some(0), "{:#}", looked.report);
    assert!(looked.found("which port", "ok").ends_with("the guest's ttyS0"));
    alive(&mut guest);

    // Stopped: it stays so, with the right vmlinux and with a wrong one.
    run(&mut guest, "echo 0 > /proc/sys/kernel/sysrq");
    let command_line = run(&mut guest, "cat /proc/cmdline");
    let release = run(&mut guest, "uname -r");
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("vmlinux-wrong");
    of_another_build(&built().vmlinux, &wrong);
    ready(&guest);
    guest.shell().unwrap().break_in().unwrap();
    // Until the guest is stopped it may be found running.
    setup(&guest).arg("--leave-stopped").ex("wait 60").run().all_good();
    ready(&guest);
    let looked = Looked::at(&[&connect[..], &["--vmlinux", wrong.to_str().unwrap()]].concat());
    assert_eq!(looked.status, Some(1), "{:#}", looked.report);
    let found = looked.report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["part"] == "guest" && check["what"] == "vmlinux")
        .unwrap();
    assert_eq!(found["health"], "wrong", "{found}");
    for id in [build_id(&built().vmlinux), build_id(&wrong)] {
        assert!(found["found"].as_str().unwrap().contains(&id), "{found}");
    }
    ready(&guest);
    let looked = Looked::at(&[&connect[..], &files].concat());
    assert_eq!(looked.status, Some(0), "{:#}", looked.report);
    assert_eq!(looked.found("release", "ok"), release.trim());
    assert!(looked.found("which port", "ok").contains("ttyS0: kgdb answers"));
    assert_eq!(looked.found("command line", "ok"), "kgdboc=ttyS0,115200");
    assert_eq!(looked.found("kgdboc", "ok"), "ttyS0,115200");
    assert!(looked.found("kernel.sysrq", "warning").starts_with("0: "));
    looked.found("panic_timeout", "ok");
    looked.found("lockdown", "ok");
    looked.found("KASLR slide", "ok");
    assert!(looked.found("the guest is left", "ok").starts_with("stopped"));

    // The same facts by their commands.
    let commands = ["wait 60", "info kgdb", "info config ^CONFIG_KGDB", "detach"];
    let ended = setup(&guest).exs(&commands).run().all_good();
    assert_eq!(ended.line("wait 60").stop()["function"], "kgdb_breakpoint");
    let facts = ended.ok("info kgdb");
    assert_eq!(facts["command_line"], command_line.trim());
    assert_eq!((&facts["kgdboc"], &facts["driver"]), (&"ttyS0,115200".into(), &"kgdboc".into()));
    assert_eq!((&facts["sysrq"], &facts["panic_timeout"]), (&0.into(), &0.into()));
    assert_eq!((&facts["rodata"], &facts["kdb"]), (&true.into(), &true.into()));
    let packets = ended.line("info kgdb").wire["packets"].as_u64().unwrap();
    println!("info kgdb: {packets} packets");
    assert!(packets <= 20, "{packets} packets for what takes about ten small reads");
    let config = ended.ok("info config ^CONFIG_KGDB");
    assert_eq!((&config["from"], &config["options"]["KGDB_KDB"]), (&"symbols".into(), &"y".into()));
    alive(&mut guest);

    // kgdb has no port any more: it can't be stopped, and says where to look.
    run(&mut guest, "echo > /sys/module/kgdboc/parameters/kgdboc");
    ready(&guest);
    let stop = [&connect[..], &["--stop"], &files].concat();
    let looking = Looking::start(&[&stop[..], &["--timeout", "8"]].concat());
    looking.expect("/proc/sysrq-trigger");
    guest.shell().unwrap().break_in().unwrap();
    let looked = looking.end();
    assert_eq!(looked.status, Some(1), "{:#}", looked.report);
    looked.found("stop", "wrong");
    assert_eq!(looked.found("the guest is left", "ok"), "running");
    alive(&mut guest);
    let said = run(&mut guest, "sh /tmp/setup check");
    assert!(said.contains("warning  kgdboc is not set"), "{said}");
    assert!(said.contains("warning  kernel.sysrq is 0"), "{said}");
    assert!(said.contains("ok       ttyS0 is a serial port of this machine"), "{said}");
    let said = run(&mut guest, "sh /tmp/setup now");
    assert!(said.contains("ok       kgdboc is ttyS0,115200 until the next boot"), "{said}");
    assert!(said.contains("ok       kernel.sysrq is 1 until the next boot"), "{said}");
    run(&mut guest, "insmod /lib/modules/hgfs.ko");
    let sections = run(&mut guest, "sh /tmp/setup sections hgfs 2>/dev/null");
    let text = run(&mut guest, "cat /sys/module/hgfs/sections/.text");
    assert!(sections.contains(&format!("hgfs/sections/.text:{text}")), "{sections}");
    let other = guest.shell().unwrap().run("sh /tmp/setup grub").unwrap();
    assert_eq!(other.status, 1);
    assert!(other.text.contains("in your boot loader: kgdboc=ttyS0,115200"), "{}", other.text);

    // Now it can be stopped for a moment.
    ready(&guest);
    let looking = Looking::start(&stop);
    looking.expect("/proc/sysrq-trigger");
    guest.shell().unwrap().break_in().unwrap();
    let looked = looking.end();
    assert_eq!(looked.status, Some(0), "{:#}", looked.report);
    looked.found("stop", "ok");
    assert!(looked.found("kernel.sysrq", "ok").starts_with("1: "));
    assert_eq!(looked.found("the guest is left", "ok"), "running");
    alive(&mut guest);
}

/// Nothing at the address, and somebody else at it.
#[test]
fn a_port_with_nobody_or_somebody_at_it() {
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let looked = Looked::at(&["--connect", &address]);
    assert_eq!(looked.status, Some(1));
    assert!(looked.found("TCP port", "wrong").contains("nothing listens"));
    looked.found("what listens", "not-looked");
    let text = program(&["doctor", "--connect", &address]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("cure: start the relay: socat"), "{text}");

    // A relay as users start it, and another debugger on it.
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("com");
    let guest = UnixListener::bind(&socket).unwrap();
    let port = free_port().unwrap();
    let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr");
    let mut relay = tool("socat")
        .args(["-d", "-d", &listen, &format!("UNIX-CONNECT:{}", socket.display())])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut notices = BufReader::new(relay.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        assert_ne!(notices.read_line(&mut line).unwrap(), 0, "socat listens");
    }
    let mut other = tool("socat")
        .args(["-", &format!("TCP:127.0.0.1:{port}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The relay connects when it has its client.
    let line = guest.accept().unwrap();
    let address = format!("127.0.0.1:{port}");
    let looked = Looked::at(&["--connect", &address]);
    let used = looked.found("TCP port", "wrong").to_owned();
    let socket = format!("unix:{}", socket.display());
    let beside = Looked::at(&["--connect", &socket]);
    other.kill().unwrap();
    other.wait().unwrap();
    drop(line);
    relay.wait().unwrap();
    assert!(used.ends_with(&format!("in use by socat (pid {})", other.id())), "{used}");
    let user = beside.found("socket's user", "wrong");
    assert!(user.starts_with(&format!("socat (pid {})", relay.id())), "{user}");
}

/// Files that may not be used, or are used.
#[test]
fn a_socket_without_permission_and_a_tty_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("com");
    let _guest = UnixListener::bind(&socket).unwrap();
    let connect = format!("unix:{}", socket.display());
    let args = ["doctor", "--json", "--connect", &connect];
    let mut command = program(&args);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // Root may use anything: so somebody else looks.
        let copy = dir.path().join("kgdb-tui");
        fs::copy(env!("CARGO_BIN_EXE_kgdb-tui"), &copy).unwrap();
        for (path, mode) in [(dir.path(), 0o755), (&copy, 0o755), (&socket, 0o600)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        command = Command::new(&copy);
        command.args(args).uid(65534).gid(65534).current_dir("/").stdin(Stdio::null());
    } else {
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o000)).unwrap();
    }
    // A child of another test may have the copy open for writing, until it is
    // another program.
    let mut tries = 0..100;
    let output = tries.find_map(|_| match command.output() {
        Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
            std::thread::sleep(Duration::from_millis(50));
            None
        }
        output => Some(output.unwrap()),
    });
    let looked = Looked::of(&output.unwrap());
    assert_eq!(looked.status, Some(1));
    let found = looked.found("socket", "wrong");
    assert!(found.starts_with("no permission") && found.contains("mode"), "{found}");

    let pty = native_pty_system().openpty(PtySize::default()).unwrap();
    let tty = pty.master.tty_name().unwrap();
    let mut user =
        Command::new("sleep").arg("300").stdin(File::open(&tty).unwrap()).spawn().unwrap();
    let connect = format!("serial:{}", tty.display());
    let looked = Looked::at(&["--connect", &connect]);
    user.kill().unwrap();
    user.wait().unwrap();
    let found = looked.found("tty", "wrong");
    assert!(found.ends_with(&format!("in use by sleep (pid {})", user.id())), "{found}");
    let looked = Looked::at(&["--connect", "serial:/dev/null"]);
    assert!(looked.found("tty", "wrong").starts_with("/dev/null is "));
}

/// The file of a virtual machine is written once; the look finds it good.
#[test]
fn vmwares_file_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("guest.vmx");
    let socket = dir.path().join("com");
    let first = ".encoding = \"UTF-8\"\r\nconfig.version = \"8\"\r\nserial0.present = \"TRUE\"\r\nserial0.fileType = \"thinprint\"\r\n";
    fs::write(&file, first).unwrap();
    let (path, socket) = (file.to_str().unwrap(), socket.to_str().unwrap());
    let give = |more: &[&str]| {
        let args = [&["vmx", path, "--socket", socket], more].concat();
        let output = program(&args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = give(&["--print"]);
    assert!(said.contains("serial1.fileType = \"pipe\"") && said.contains("not written"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    let said = give(&[]);
    for words in ["--tty ttyS1", "thinprint", "--connect unix:", "tcp-listen:9999"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.starts_with(first) && written.ends_with("\r\n"), "{written}");
    assert_eq!(fs::read_to_string(dir.path().join("guest.vmx.before-kgdb")).unwrap(), first);
    let said = give(&[]);
    assert!(said.contains("nothing to change"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), written);

    let _listener = UnixListener::bind(socket).unwrap();
    let connect = format!("unix:{socket}");
    // Who listens there is no kernel; the file is looked at all the same.
    let looked = Looked::at(&["--vmx", path, "--connect", &connect, "--timeout", "1"]);
    assert!(looked.found("serial port", "ok").ends_with("in the guest it is ttyS1"));
    looked.found("serial1", "ok");
    looked.found("virtual printer", "ok");

    let locked = program(&["vmx", "/proc/cpuinfo"]).output().unwrap();
    assert_eq!(locked.status.code(), Some(1));
    let said = String::from_utf8(locked.stderr).unwrap();
    assert!(said.contains("it is no .vmx"), "{said}");
}

/// A configuration inside a kernel (CONFIG_IKCONFIG), which the guest's does not
/// have: in an ELF file as kernel/configs.c makes it, and in memory where the
/// file has only its debug info.
#[test]
fn a_configuration_inside_the_kernel() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let text: String = (0..500).map(|n| format!("CONFIG_FILLER_{n}=y\n")).collect();
    let text = format!("CONFIG_KGDB=y\n# CONFIG_KGDB_KDB is not set\n{text}");
    fs::write(path("config"), &text).unwrap();
    let mut gzip = tool("gzip").args(["-9", "-k", "-n"]).arg(path("config")).spawn().unwrap();
    assert!(gzip.wait().unwrap().success());
    let assembly = format!(
        ".section .text\n.globl start_kernel\n.type start_kernel,@function\nstart_kernel: ret\n.section .rodata\n.ascii \"IKCFG_ST\"\n.globl kernel_config_data\nkernel_config_data:\n.incbin \"{}\"\n.globl kernel_config_data_end\nkernel_config_data_end:\n.ascii \"IKCFG_ED\"\n",
        path("config.gz").display()
    );
    fs::write(path("configs.s"), assembly).unwrap();
    let vmlinux = path("vmlinux");
    let mut gcc = tool("gcc");
    gcc.args(["-nostdlib", "-static", "-no-pie", "-Wl,-e,start_kernel", "-Wl,--build-id=sha1"])
        .arg("-Wl,-Ttext=0xffffffff81000000")
        .arg(path("configs.s"))
        .arg("-o")
        .arg(&vmlinux);
    assert!(gcc.status().unwrap().success());

    let setup = Setup::bare().arg("--offline").arg("--vmlinux").arg(&vmlinux);
    let commands = ["info config KGDB", "info config -n 3 FILLER", "info config ("];
    let ended = setup.exs(&commands).run();
    let found = ended.ok("info config KGDB");
    assert_eq!(found["from"], "vmlinux");
    assert_eq!(found["options"], serde_json::json!({ "KGDB": "y", "KGDB_KDB": "n" }));
    assert_eq!(ended.ok("info config -n 3 FILLER")["more"], 497);
    assert!(ended.line("info config (").error.is_some());
    let looked = Looked::at(&["--vmlinux", vmlinux.to_str().unwrap(), "--connect", "127.0.0.1:1"]);
    looked.found("CONFIG_KGDB", "ok");
    looked.found("CONFIG_KGDB_KDB", "warning");
    let copy = Looked::at(&[
        "--config-file",
        path("config.gz").to_str().unwrap(),
        "--connect",
        "127.0.0.1:1",
    ]);
    copy.found("CONFIG_KGDB", "ok");
    copy.found("CONFIG_KGDB_SERIAL_CONSOLE", "wrong");

    let debug = path("vmlinux.debug");
    let mut objcopy = tool("objcopy");
    objcopy.arg("--only-keep-debug").arg(&vmlinux).arg(&debug);
    assert!(objcopy.status().unwrap().success());
    let mut symbols = Symbols::new();
    let image = DebugImage::open(&debug).unwrap();
    symbols.place(VMLINUX, image, Placement::Slide(0x20_0000));
    assert_eq!(kconfig::of_file(&symbols).unwrap(), None);
    let mut packed = Vec::new();
    File::open(path("config.gz")).unwrap().read_to_end(&mut packed).unwrap();
    let at: Addr = symbols.symbol_addr("kernel_config_data").unwrap();
    let mut memory = Sparse::new();
    memory.insert(at, &packed);
    let config = kconfig::of_memory(&symbols, &memory).unwrap();
    assert_eq!((config.get("KGDB"), config.options().count()), (Some("y"), 502));
    let missing = kconfig::of_memory(&symbols, &Sparse::new()).unwrap_err();
    assert!(missing.missing(), "{missing}");
}

/// What a kernel says of kgdb, as a compiler lays it out: one that is locked down,
/// with a port that is set and with none, and a command line of several pieces.
#[test]
fn a_kernel_says_how_kgdb_is_set_up() {
    let line = format!("root=UUID=1 {} kgdboc=ttyS1,115200", "quiet ".repeat(80));
    let read = |level: &str, driver: &str| {
        let dir = tempfile::tempdir().unwrap();
        let (c, elf) = (dir.path().join("k.c"), dir.path().join("vmlinux"));
        let source = format!(
            "enum lockdown_reason {{ LOCKDOWN_NONE, LOCKDOWN_DEV_MEM, LOCKDOWN_INTEGRITY_MAX, LOCKDOWN_KCORE, LOCKDOWN_CONFIDENTIALITY_MAX }};
            static enum lockdown_reason kernel_locked_down = {level};
            char *saved_command_line = \"{line}\";
            struct kgdb_io {{ const char *pad; const char *name; int (*read_char)(void); }};
            struct kgdb_io kgdboc_io_ops = {{ .name = \"kgdboc\" }}, *dbg_io_ops = {driver};
            int sysrq_enabled = 176, panic_timeout = -1; _Bool sysrq_always_enabled = 1;
            struct kparam_string {{ unsigned int maxlen; char *string; }};
            char config[40] = \"ttyS1,115200\"; struct kparam_string kps = {{ 40, config }};
            struct kernel_param {{ const char *name; unsigned short perm; union {{ void *arg; struct kparam_string *str; }}; }};
            struct kernel_param __param_kgdboc = {{ \"kgdboc\", 0644, {{ &kps }} }};
            int _start(void) {{ return kernel_locked_down; }}
"
        );
        fs::write(&c, source).unwrap();
        let mut gcc = tool("gcc");
        gcc.args(["-g", "-nostdlib", "-static", "-no-pie", "-Wl,-Ttext=0xffffffff81000000"]);
        gcc.args(["-mcmodel=kernel", "-fno-pic", "-o"]).arg(&elf).arg(&c);
        assert!(gcc.status().unwrap().success());
        let image = DebugImage::open(&elf).unwrap();
        image.load_dwarf(&|_| (), &AtomicBool::new(false)).unwrap();
        let mut memory = Sparse::new();
        for section in image.image().sections() {
            // The guest's memory where the file has no bytes is zero.
            let bytes = image.image().section_data(&section.name).filter(|bytes| !bytes.is_empty());
            let zeros = vec![0; section.size as usize];
            if section.addr.0 != 0 {
                memory.insert(Addr(section.addr.0), bytes.unwrap_or(&zeros));
            }
        }
        let mut symbols = Symbols::new();
        symbols.place(VMLINUX, image, Placement::Slide(0));
        kgdb_state::read(&symbols, &memory).unwrap()
    };
    let state = read("LOCKDOWN_INTEGRITY_MAX", "&kgdboc_io_ops");
    assert_eq!(state.lockdown, Some(Lockdown::Integrity));
    assert_eq!(state.command_line.as_ref(), Some(&line));
    assert_eq!(
        (state.kgdboc.as_deref(), state.driver.as_deref()),
        (Some("ttyS1,115200"), Some("kgdboc"))
    );
    assert_eq!(
        (state.sysrq, state.sysrq_always, state.panic_timeout),
        (Some(176), Some(true), Some(-1))
    );
    assert_eq!((state.rodata, state.kdb), (None, false), "this kernel does not have them");
    let state = read("LOCKDOWN_CONFIDENTIALITY_MAX", "0");
    assert_eq!(
        (state.lockdown, state.driver.as_deref()),
        (Some(Lockdown::Confidentiality), Some(""))
    );
    assert_eq!(read("LOCKDOWN_NONE", "0").lockdown, Some(Lockdown::None));
}

/// Words for people, where there is nothing to look at.
#[test]
fn bad_words_are_answered_in_words() {
    let error = |args: &[&str]| {
        let output = program(args).output().unwrap();
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(error(&["guest-setup", "--tty", "ttyS0;reboot"]).contains("such as ttyS0"));
    assert!(error(&["guest-setup", "--baud", "fast"]).contains("--baud"));
    assert!(error(&["vmx", "/nowhere.vmx"]).contains("give the .vmx"));
    let looked = Looked::at(&["--config-file", "/proc/cpuinfo", "--connect", "127.0.0.1:1"]);
    assert_eq!(looked.status, Some(1));
    assert!(looked.found("--config-file", "wrong").contains("no kernel configuration"));
    assert!(Path::new("/proc/cpuinfo").exists());
}
