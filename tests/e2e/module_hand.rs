//! What the user has already: listings and copies of section addresses, scripts
//! made for gdb, a .ko and its addresses typed by hand.

use crate::facts::{address, alive, functions, number, run, setup, start_stopped, type_line};
use crate::files::{build_id, of_another_build};
use crate::support::{
    batch::{Ended, Setup},
    guest::{LockedGuest, boot, built},
    tools::tool,
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use serde_json::Value;
use std::{fs, path::Path, process::Command};

/// The script of "Linux Device Drivers", which blogs copy: gdb's command with
/// every section on a line of its own.
const GDBLINE: &str = r#"cd /sys/module/$1/sections
echo -n add-symbol-file $2 `/bin/cat .text`
for section in .[a-z]* *; do
if [ $section != ".text" ]; then
echo " \\"
echo -n "       -s" $section `/bin/cat $section`
fi
done
echo"#;

/// Writes a file in the guest, line by line as it would be pasted.
fn paste(guest: &mut LockedGuest, file: &str, text: &str) {
    type_line(guest, &format!("cat > {file} << 'ENDOFFILE'"));
    for line in text.lines() {
        type_line(guest, line);
    }
    type_line(guest, "ENDOFFILE");
    run(guest, &format!("[ -s {file} ]"));
}

/// What `kgdb-tui sections-script` prints.
fn sections_script(modules: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_kgdb-tui");
    let output = Command::new(program).arg("sections-script").args(modules).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A section's address in a listing of the script's.
fn listed(listing: &str, section: &str) -> u64 {
    let found = listing.lines().find_map(|line| line.strip_prefix(&format!("{section}:")));
    number(found.unwrap_or_else(|| panic!("no {section} in {listing}")))
}

fn module<'a>(modules: &'a Value, name: &str) -> &'a Value {
    let list = modules["modules"].as_array().unwrap();
    list.iter().find(|module| module["name"] == name).unwrap_or_else(|| panic!("{modules}"))
}

/// The program is ended by a detach, and the guest runs.
fn end(batch: crate::support::batch::Batch, guest: &mut LockedGuest) -> Ended {
    let ended = batch.end();
    alive(guest);
    ended
}

#[test]
fn what_the_user_has_is_taken_and_proven() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    run(&mut guest, "insmod /lib/modules/hgfs-ping.ko");
    paste(&mut guest, "/sections.sh", &sections_script(&["hgfs", "hgfs-ping", "dummy"]));
    let listing = run(&mut guest, "sh /sections.sh 2>&1");
    assert!(listing.contains("# dummy is not loaded"), "{listing}");
    // It agrees with the guest, module by module.
    for name in ["hgfs", "hgfs_ping"] {
        let dir = format!("cd /sys/module/{name}/sections && ls -A | wc -l; cd /");
        let count: usize = run(&mut guest, &dir).trim().parse().unwrap();
        let lines = listing.lines().filter(|line| line.starts_with(&format!("{name}/sections/")));
        assert_eq!(lines.count(), count, "{listing}");
    }
    paste(&mut guest, "/all.sh", &sections_script(&[]));
    assert_eq!(run(&mut guest, "sh /all.sh 2>/dev/null | sort | uniq | wc -l"), {
        run(&mut guest, "sh /sections.sh 2>/dev/null | wc -l")
    });

    // The listing, and the same with one address of an earlier load.
    let good = file("listing.txt", &listing);
    let commands = ["info modules", "break HgfsSendRequest", "detach"];
    let batch_setup = setup(&guest).arg("--sections").arg(&good);
    let with_search = [commands[0], "search f:HgfsOpenFile", commands[1], commands[2]];
    let mut batch = start_stopped(&mut guest, batch_setup, &with_search);
    let modules = batch.ok("info modules");
    for name in ["hgfs", "hgfs_ping"] {
        assert_eq!(module(&modules, name)["symbols"], "loaded", "{modules}");
    }
    // A name that two modules have is offered with each of them.
    let found = batch.ok(with_search[1]);
    let found: Vec<&Value> =
        found["matches"].as_array().unwrap().iter().map(|found| &found["choose"]).collect();
    for choice in ["hgfs!HgfsOpenFile", "hgfs_ping!HgfsOpenFile"] {
        assert!(found.contains(&&choice.into()), "{found:?}");
    }
    assert_eq!(batch.ok(commands[1])["breakpoints"][0]["state"], "armed");
    batch.ok("detach");
    let ended = end(batch, &mut guest).all_good();
    assert!(!ended.said.contains("another load"), "{}", ended.said);

    let data = listed(&listing, "hgfs/sections/.data");
    let other = listing.replace(&format!("{data:016x}"), &format!("{:016x}", data + 0x1000));
    assert_ne!(other, listing);
    let other = file("other.txt", &other);
    let batch_setup = setup(&guest).arg("--sections").arg(&other);
    let mut batch = start_stopped(&mut guest, batch_setup, &commands);
    let modules = batch.ok("info modules");
    let sections = module(&modules, "hgfs")["sections"].as_array().unwrap();
    let own = sections.iter().find(|section| section[0] == ".data").unwrap();
    assert_eq!(address(&own[1]), data, "the guest's own is used");
    batch.ok(commands[1]);
    batch.ok("detach");
    let ended = end(batch, &mut guest).all_good();
    let words = format!("says .data is at {:#x}, the guest has it at {data:#x}", data + 0x1000);
    assert!(ended.said.contains(&words), "{}", ended.said);
    assert!(ended.said.contains("the guest's are used"), "{}", ended.said);

    // A script made for gdb, in the form that blogs have.
    paste(&mut guest, "/gdbline.sh", GDBLINE);
    let ko = built().modules.join("hgfs.ko");
    let line = run(&mut guest, &format!("sh /gdbline.sh hgfs {}", ko.display()));
    assert!(line.lines().count() > 5, "{line}");
    let script = format!(
        "# made by hand\nset confirm off\nset architecture i386:x86-64\n\
         target remote localhost:9999\n{line}python\nprint('no')\nend\nbreak HgfsSendRequest\n"
    );
    let script = file("hgfs.gdb", &script);
    let outer = file("outer.gdb", "source hgfs.gdb\ninfo link\nzork\ninfo target\n");
    let batch_setup = setup(&guest);
    let source = format!("source {}", outer.display());
    let mut batch = start_stopped(&mut guest, batch_setup, &[&source, "detach"]);
    batch.ok(&source);
    let added = batch.next();
    assert!(added.command.starts_with("add-symbol-file "), "{added:?}");
    let text = added.ok()["text"].as_str().unwrap();
    assert!(text.contains("hgfs: symbols loaded from"), "{text}");
    assert_eq!(batch.ok("break HgfsSendRequest")["breakpoints"][0]["state"], "armed");
    batch.ok("info link");
    let wrong = batch.next();
    let place = format!("{}:3: ", outer.display());
    assert!(wrong.error.as_ref().unwrap().starts_with(&place), "{wrong:?}");
    batch.ok("detach");
    let ended = end(batch, &mut guest);
    assert_eq!(ended.status, Some(1));
    let place = format!("{}:4: passed over: target remote", script.display());
    assert!(ended.said.contains(&place), "{}", ended.said);
    assert!(ended.said.contains("passed over: python: there is no Python"), "{}", ended.said);

    // The same as -x and as --sections.
    let batch_setup = setup(&guest).arg("--sections").arg(&script).arg("-x").arg(&script);
    guest.shell().unwrap().break_in().unwrap();
    let ended = batch_setup.ex("info modules").run().all_good();
    assert_eq!(module(ended.ok("info modules"), "hgfs")["symbols"], "loaded");
    alive(&mut guest);

    // A .ko of another build, typed by hand.
    let wrong = dir.path().join("hgfs.ko");
    of_another_build(&ko, &wrong);
    let add = format!(
        "add-symbol-file {} {:#x}",
        wrong.display(),
        listed(&listing, "hgfs/sections/.text")
    );
    let batch_setup = setup(&guest);
    let mut batch = start_stopped(&mut guest, batch_setup, &[&add, "info modules", "detach"]);
    let refused = batch.next().error.unwrap();
    assert!(refused.contains(&build_id(&ko)) && refused.contains(&build_id(&wrong)), "{refused}");
    let modules = batch.ok("info modules");
    assert_eq!(module(&modules, "hgfs")["path"], ko.to_str().unwrap());
    batch.ok("detach");
    end(batch, &mut guest);

    without_types(&mut guest, dir.path(), &listing, &wrong);
}

/// A vmlinux without debug info tells nothing of modules: what was given is all
/// there is, and is proven by the note.
fn without_types(guest: &mut LockedGuest, dir: &Path, listing: &str, wrong: &Path) {
    let bare = dir.join("vmlinux-bare");
    strip(&built().vmlinux, &bare);
    let good = dir.join("listing.txt");
    let with_bare = |guest: &LockedGuest, modules: &Path| {
        let setup = Setup::bare().arg("--vmlinux").arg(&bare).arg("--module-path").arg(modules);
        setup.arg("--connect").arg(guest.address())
    };
    let add = format!(
        "add-symbol-file {} {:#x} -s .note.gnu.build-id {:#x}",
        wrong.display(),
        listed(listing, "hgfs/sections/.text"),
        listed(listing, "hgfs/sections/.note.gnu.build-id")
    );
    let batch_setup = with_bare(guest, &built().modules);
    let mut batch = start_stopped(guest, batch_setup, &[&add, "info modules", "detach"]);
    let refused = batch.next().error.unwrap();
    assert!(refused.contains(&build_id(wrong)) && refused.contains("wrong build"), "{refused}");
    assert_eq!(module(&batch.ok("info modules"), "hgfs")["symbols"], "wrong build");
    batch.ok("detach");
    end(batch, guest);

    // The debug info of the first module that is proven has the types that the
    // kernel's lacks: the guest's own list can be read.
    let batch_setup = with_bare(guest, &built().modules).arg("--sections").arg(&good);
    let mut batch =
        start_stopped(guest, batch_setup, &["info modules", "info line HgfsSendRequest", "detach"]);
    let modules = batch.ok("info modules");
    for name in ["hgfs", "hgfs_ping"] {
        assert_eq!(module(&modules, name)["symbols"], "loaded", "{modules}");
        assert_eq!(module(&modules, name)["state"], "live", "{modules}");
    }
    let line = batch.ok("info line HgfsSendRequest");
    assert!(line["file"].as_str().unwrap().ends_with("hgfs/request.c"), "{line}");
    batch.ok("detach");
    end(batch, guest).all_good();

    // Without types anywhere they are known by hand alone.
    let stripped = dir.join("stripped");
    fs::create_dir(&stripped).unwrap();
    for name in ["hgfs.ko", "hgfs-ping.ko"] {
        strip(&built().modules.join(name), &stripped.join(name));
    }
    let batch_setup = with_bare(guest, &stripped).arg("--sections").arg(&good);
    let commands = [
        "info modules",
        "break HgfsSendRequest",
        "continue",
        "bt 2",
        "continue",
        "info modules",
        "detach",
    ];
    let mut batch = start_stopped(guest, batch_setup, &commands);
    let modules = batch.ok("info modules");
    for name in ["hgfs", "hgfs_ping"] {
        let module = module(&modules, name);
        assert_eq!(module["state"], "given", "{module}");
        assert_eq!(module["symbols"], "no debug info", "{module}");
        assert!(module["proven_by"].as_str().unwrap().contains("build-id"), "{module}");
    }
    assert_eq!(batch.ok(commands[1])["breakpoints"][0]["state"], "armed");
    type_line(guest, "cat /proc/hgfs > /dev/null");
    assert_eq!(batch.stop("continue")["function"], "HgfsSendRequest");
    let bt = batch.ok(commands[3]);
    assert_eq!(bt["frames"][0]["module"], "hgfs");
    assert_eq!(functions(&bt)[0].0, "HgfsSendRequest", "{bt}");
    // A breakpoint goes out of its memory in time.
    run(guest, "rmmod hgfs");
    guest.shell().unwrap().break_in().unwrap();
    batch.stop("continue");
    let modules = batch.ok("info modules");
    assert_eq!(modules["modules"].as_array().unwrap().len(), 1, "{modules}");
    batch.ok("detach");
    let ended = end(batch, guest).all_good();
    assert!(ended.said.contains("module hgfs is no longer where"), "{}", ended.said);
}

/// A copy without debug info; its build-id stays.
fn strip(file: &Path, to: &Path) {
    let mut objcopy = tool("objcopy");
    objcopy.arg("--strip-debug").arg(file).arg(to);
    assert!(objcopy.status().unwrap().success());
}

/// Without a guest, symbols are at the addresses that are given.
#[test]
fn symbols_by_hand_without_a_guest() {
    let ko = built().modules.join("hgfs.ko");
    let add =
        format!("add-symbol-file {} 0xffffffffc0100000 -s .data 0xffffffffc0200000", ko.display());
    let commands = [
        &add,
        "info modules",
        "info symbol HgfsSendRequest",
        "info line HgfsSendRequest",
        "remove-symbol-file -a 0xffffffffc0100010",
        "info modules",
    ];
    let offline = || Setup::with_symbols(&built().vmlinux).arg("--offline");
    let ended = offline().exs(&commands).run().all_good();
    let text = ended.ok(commands[2])["text"].as_str().unwrap().to_owned();
    assert_eq!(text, "HgfsSendRequest in section .text of hgfs");
    let at = address(&ended.ok(commands[3])["addresses"][0]);
    assert!((0xffff_ffff_c010_0000..0xffff_ffff_c010_4000).contains(&at), "{at:#x}");
    let modules: Vec<&Value> = ended
        .lines
        .iter()
        .filter(|line| line.command == commands[1])
        .map(|line| line.ok())
        .collect();
    assert_eq!(module(modules[0], "hgfs")["state"], "given");
    assert_eq!(modules[1]["modules"].as_array().unwrap().len(), 0);

    for (command, words) in [
        ("add-symbol-file /no/such.ko 0x1000", "/no/such.ko"),
        ("add-symbol-file", "a file is missing"),
        ("remove-symbol-file -a 0x10", "no symbol file was added at 0x10"),
        ("sections /no/such", "can't read /no/such"),
        ("source /no/such", "can't read commands from /no/such"),
    ] {
        let ended = offline().ex(command).run();
        let error = ended.lines[0].error.as_ref().unwrap();
        assert!(error.contains(words), "{command}: {error}");
    }
    let vmlinux = built().vmlinux.display().to_string();
    let bare =
        [format!("add-symbol-file {}", ko.display()), format!("add-symbol-file {vmlinux} -o 1")];
    let ended = offline().exs(&[&bare[0], &bare[1]]).run();
    assert!(ended.line(&bare[0]).error.as_ref().unwrap().contains("address of each section"));
    assert!(ended.line(&bare[1]).error.as_ref().unwrap().contains("--vmlinux"));
}
