//! The same stops seen by gdb: registers, stacks, arguments, and where steps
//! land.

use crate::agreement::{Agreement, gdb, guest, socket};
use crate::facts::{line_of, start_stopped};
use crate::gdb::Gdb;
use crate::support::{batch::Setup, guest::LockedGuest};
use serde_json::Value;

#[test]
fn stops_look_as_in_gdb() {
    let mut guest = guest();
    let mut gdb = gdb(&mut guest);
    let socket = socket(&guest);
    let in_inlined = line_of("hgfs/request.c", "req->id = HgfsNextId(transport);");
    let in_nested = line_of("hgfs/request.c", "transport->next_id = id;");
    let by_line = format!("hgfs/request.c:{in_inlined}");
    let nested = format!("hgfs/request.c:{in_nested}");
    let places = [
        "HgfsSendRequest",
        "HgfsSendOpenRequest",
        "HgfsOpenFile",
        "HgfsProcShow",
        by_line.as_str(),
        nested.as_str(),
        "HgfsAnswerRequest",
        "vfs_read",
        "ksys_write",
        "seq_read_iter",
        "wait_for_completion_killable",
        "do_sys_openat2",
        "kernel_clone",
        "load_elf_binary",
        "handle_mm_fault",
        "update_process_times",
        "do_exit",
        "__wake_up_common",
    ];
    let mut agreement = Agreement::default();
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();
    for place in places {
        let command = format!("tbreak {place}");
        let commands = ["wait 30", command.as_str(), "continue", "bt", "info registers"];
        let setup = Setup::new(guest.address()).arg("--leave-stopped").exs(&commands);
        let ended = setup.run().all_good();
        let stop = &ended.ok("continue")["stop"];
        assert_eq!(stop["reason"], "breakpoint", "{place}: {stop}");
        let (bt, registers) = (ended.ok("bt"), &ended.ok("info registers")["registers"]);
        let gdbs = gdb.look(&socket);
        agreement.stop(place, (bt, registers), &gdbs);
    }
    eprintln!("{}", agreement.told(places.len()));
    assert!(agreement.differences.is_empty(), "{:#?}", agreement.differences);
    assert!(agreement.unfound.is_empty(), "{:#?}", agreement.unfound);
    assert!(agreement.frames > 100 && agreement.values > 50);
}

/// The line of each step, with its function.
fn landings(steps: &[Value]) -> Vec<String> {
    let word =
        |step: &Value| format!("{}:{}", step["function"].as_str().unwrap_or("??"), step["line"]);
    steps.iter().map(word).collect()
}

/// Steps of gdb and of ours from the same place, in two reads of the same file.
pub fn compare_steps(
    guest: &mut LockedGuest,
    gdb: &mut Gdb,
    (from, command, count): (&str, &str, usize),
) -> Option<String> {
    let tbreak = format!("tbreak {from}");
    let mut commands = vec!["wait 30", tbreak.as_str(), "continue"];
    commands.resize(commands.len() + count, command);
    let setup = Setup::new(guest.address()).arg("--leave-stopped").exs(&commands);
    let ended = setup.run().all_good();
    let start = &ended.lines[2].stop()["pc"];
    let ours: Vec<Value> = ended.lines[3..].iter().map(|line| line.stop().clone()).collect();
    let seconds: f64 = ended.lines[3..].iter().map(|line| line.seconds).sum();

    let target = format!("target remote {}", socket(guest).display());
    let to = format!("tbreak *{}", start.as_str().unwrap());
    let steps = format!("python steps({command:?}, {count})");
    let clock = std::time::Instant::now();
    let gdbs = gdb.ask(&[&target, &to, "continue", &steps, "disconnect"]);
    eprintln!(
        "{command} x{count} from {from}: {seconds:.2} s, gdb {:.2} s with the way there",
        clock.elapsed().as_secs_f64()
    );
    let (mine, theirs) = (landings(&ours), landings(&gdbs));
    (mine != theirs).then(|| {
        format!(
            "{command} from {from}: {mine:?} at {:?}; gdb: {theirs:?} at {:x?}",
            ours.iter().map(|step| &step["pc"]).collect::<Vec<_>>(),
            gdbs.iter().map(|step| step["pc"].as_u64()).collect::<Vec<_>>()
        )
    })
}

#[test]
fn steps_land_where_gdbs_do() {
    let mut guest = guest();
    let mut gdb = gdb(&mut guest);
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();
    let walks = [
        ("HgfsProcShow", "next", 14),
        ("HgfsSendOpenRequest", "next", 8),
        // The fourth `next` of gdb runs away, into a function that the caller's
        // caller calls much later.
        ("HgfsSendRequest", "next", 3),
        // At the sixth gdb shows the call of another function, with which the
        // compiler merged the end of this one.
        ("HgfsAnswerRequest", "next", 5),
        ("HgfsOpenFile", "next", 6),
        // Then gdb shows the same two inlined calls again, whose code is in
        // pieces; ours goes into the function they call.
        ("HgfsOpenFile", "step", 9),
        ("vfs_read", "next", 8),
    ];
    let differences: Vec<_> =
        walks.into_iter().filter_map(|walk| compare_steps(&mut guest, &mut gdb, walk)).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}
