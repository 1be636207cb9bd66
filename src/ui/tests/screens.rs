//! Screens at the sizes that matter.

use super::{Bench, fixture};
use crate::arch::insn::{self, Flavor};
use crate::config::theme::Theme;
use crate::session::request::{Level, Update};
use crate::session::view::{FramesEnd, Match, State, SymbolsView};
use crate::ui::message::Message;
use crate::ui::tour::{Tour, TourEvent, TourStep};
use insta::assert_snapshot;
use std::time::{Duration, Instant};

fn stopped(columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::new(columns, rows);
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    bench
}

#[test]
fn a_stop_on_a_wide_screen() {
    assert_snapshot!(stopped(160, 48).styled());
}

#[test]
fn a_stop_on_a_medium_screen() {
    assert_snapshot!(stopped(100, 40).text());
    assert_snapshot!(stopped(124, 28).text());
}

#[test]
fn a_stop_on_a_standard_terminal() {
    assert_snapshot!(stopped(80, 24).styled());
}

#[test]
fn a_stop_on_screens_that_are_too_small() {
    assert_snapshot!(stopped(60, 20).text());
    assert_snapshot!(stopped(20, 5).text());
}

#[test]
fn no_size_panics() {
    for (columns, rows) in [(0, 0), (1, 1), (5, 1), (1, 50), (39, 9), (300, 3), (81, 24)] {
        let mut bench = stopped(columns, rows);
        for keys in ["z", "z", ":", "Tab", "Esc", "?", "PgDn", "Esc", "q", "Esc", "a", "g"] {
            bench.keys(keys);
            bench.text();
        }
    }
}

#[test]
fn waiting_says_what_to_do() {
    let mut bench = Bench::new(100, 24);
    let why = "nothing listens on localhost:9999".to_string();
    let mut view = fixture::view(State::Connecting { why }, None);
    view.symbols = SymbolsView::Loading(0.43);
    view.target.matches = Match::Unknown;
    view.target.release = None;
    view.breakpoints.clear();
    bench.view(view.clone());
    assert_snapshot!(bench.text());

    view.state = State::Running {
        since: bench.start,
        what: "no answer: the kernel runs; to stop it, type in the guest as root: \
               echo g > /proc/sysrq-trigger"
            .into(),
    };
    view.symbols = SymbolsView::Ready;
    bench.at = Duration::from_millis(3_200);
    bench.view(view.clone());
    assert_snapshot!(bench.text());
}

#[test]
fn a_search_for_the_vmlinux_is_told_while_addresses_are_shown() {
    let mut bench = Bench::new(100, 24);
    let mut view = fixture::view(State::Stopped, Some(fixture::stop(1, 35)));
    view.symbols = SymbolsView::Looking("looking for the vmlinux of 6.1.158 …".into());
    view.target.matches = Match::Unknown;
    bench.view(view);
    let text = bench.text();
    assert!(text.contains("looking for the vmlinux of 6.1.158 …"), "{text}");
    assert!(text.contains("6.1.158 no vmlinux"), "{text}");
}

#[test]
fn a_lost_link_lies_over_the_last_stop() {
    let mut bench = stopped(100, 24);
    let why = "the relay closed the connection".to_string();
    bench.view(fixture::view(State::Lost { why }, Some(fixture::stop(1, 35))));
    assert_snapshot!(bench.text());
}

#[test]
fn another_kernels_symbols_are_loud() {
    let mut bench = Bench::new(120, 35);
    let mut view = fixture::view(State::Stopped, Some(fixture::stop(1, 35)));
    view.target.matches = Match::Mismatch;
    view.target.vmlinux_build_id = Some("ffff3c0f92b84e0d8a".into());
    bench.view(view);
    let styled = bench.styled();
    assert!(styled.contains("✗ MISMATCH"));
    let line = styled.lines().find(|line| line.contains("not the guest's")).unwrap();
    assert!(line.contains("guest 6a1d3c0f92b8…, file ffff3c0f92b8…"), "{line}");
    assert!(styled.contains("White/Red+b"));
    // Without symbols no variable is known.
    let mut stop = fixture::stop(1, 35);
    stop.supplied.variables = Some(Vec::new());
    let mut view = fixture::view(State::Stopped, Some(stop));
    view.target.matches = Match::Mismatch;
    bench.view(view);
    assert!(bench.text().contains("not known without the guest's own vmlinux"), "{}", bench.text());
}

#[test]
fn a_missing_file_shows_instructions_and_the_option() {
    let mut bench = Bench::new(100, 24);
    let mut stop = fixture::stop(1, 35);
    stop.frames[0].path = None;
    stop.frames[0].source_guessed = false;
    stop.frames[0].source_note =
        "hgfs/request.c is not found; try --substitute-path /build/linux=/path/to/linux".into();
    bench.view(fixture::view(State::Stopped, Some(stop)));
    assert_snapshot!(bench.text());
}

#[test]
fn mixed_and_asm() {
    let mut bench = stopped(120, 24);
    bench.keys("a");
    assert_snapshot!(bench.text());
    bench.keys("a");
    let text = bench.text();
    assert!(text.contains("●▶ffffffffc0002035 "), "{text}");
    assert!(!text.contains("spin_lock(&queue->lock)"), "{text}");
}

#[test]
fn jumps_are_drawn_where_there_is_room() {
    let code = [0x48, 0x85, 0xc0, 0x74, 5, 0xff, 0xc8, 0x75, 0xfc, 0xc3, 0xeb, 0xf4, 0xc3];
    for (columns, rows) in [(120, 24), (80, 24)] {
        let mut stop = fixture::stop(1, 35);
        let pc = stop.frames[0].pc;
        stop.code = insn::decode(pc, &code, 20, Flavor::Att, &|at| {
            Some(format!("HgfsSendRequest+0x{:x}", at.since(pc) + 0x35))
        });
        let name = |i: &insn::Insn| format!("HgfsSendRequest+0x{:x}", i.addr.since(pc) + 0x35);
        stop.code_symbols = stop.code.iter().map(|i| Some(name(i))).collect();
        let mut bench = Bench::new(columns, rows);
        bench.view(fixture::view(State::Stopped, Some(stop)));
        bench.keys("a a");
        assert_snapshot!(bench.text());
    }
}

#[test]
fn what_is_not_read_yet_has_a_placeholder() {
    let mut bench = Bench::new(160, 48);
    let mut stop = fixture::stop(1, 35);
    stop.frames.truncate(1);
    stop.frames[0].args = None;
    stop.frames_end = FramesEnd::Reading;
    stop.variables = None;
    bench.view(fixture::view(State::Stopped, Some(stop.clone())));
    let text = bench.text();
    assert!(text.contains("#0  HgfsSendRequest  "), "{text}");
    assert!(text.contains("… reading"), "{text}");
    stop.frames.clear();
    stop.code.clear();
    stop.code_symbols.clear();
    let mut bench = Bench::new(160, 48);
    bench.view(fixture::view(State::Stopped, Some(stop)));
    assert!(bench.text().contains("reading …"));
}

#[test]
fn registers_of_a_caller_show_what_is_not_known() {
    let mut bench = stopped(160, 48);
    let mut stop = fixture::stop(1, 35);
    stop.selected = 3;
    stop.frame_registers.set(stop.registers.arch.reg("rax").unwrap(), None);
    bench.view(fixture::view(State::Stopped, Some(stop)));
    let text = bench.text();
    assert!(text.contains(" rax —                  rbx ffff888004209a00"), "{text}");
    assert!(text.contains("▶#3  vfs_read"), "{text}");
    assert!(text.contains("▷468 "), "{text}");
    assert!(text.contains("6 Registers") && text.contains(" frame 3 "), "{text}");
}

#[test]
fn help_is_made_from_the_keys() {
    let mut bench = stopped(100, 40);
    bench.keys("?");
    let text = bench.text();
    assert!(text.contains("F6  Ctrl-C  p"), "{text}");
    bench.keys("End");
    assert!(bench.text().contains("breakpoint armed; waits"), "{}", bench.text());
    bench.keys("Esc");
    assert!(!bench.text().contains("F6  Ctrl-C  p"));
}

#[test]
fn completion_lists_what_a_word_can_become() {
    let mut bench = stopped(80, 24);
    bench.keys(":");
    bench.types("b vfs");
    bench.keys("Tab");
    assert_snapshot!(bench.text());
    bench.keys("Tab Tab");
    assert!(bench.text().contains("\n:b vfs_readv\n"), "{}", bench.text());
}

#[test]
fn the_question_on_leaving() {
    let mut bench = stopped(80, 24);
    bench.keys("q");
    assert_snapshot!(bench.text());
}

#[test]
fn the_guests_text_cannot_move_our_cursor() {
    let mut bench = stopped(160, 48);
    bench.send(Message::Update(Update::Console(b"\x1b[2J\x1b[H[  12.3] hgfs: up\r\n".to_vec())));
    let evil = "a\x1b[2Jb".to_string();
    bench.send(Message::Update(Update::Message(Level::Warning, evil)));
    let text = bench.text();
    assert!(text.contains(" [  12.3] hgfs: up"), "{text}");
    assert!(text.contains("! a·[2Jb") && !text.contains('\x1b'), "{text}");
}

#[test]
fn the_tour_moves_on_when_things_happen() {
    let mut bench = Bench::new(80, 24);
    let step = |text: &str, done_when| TourStep { text: text.into(), done_when };
    bench.app.tour = Tour::new(vec![
        step("Press F6 to stop the guest.", TourEvent::Stopped),
        step("Press n for one line.", TourEvent::Stepped),
    ]);
    assert!(bench.text().contains("☞ 1/2 Press F6 to stop the guest."));
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    assert!(bench.text().contains("2/2 Press n for one line."), "{}", bench.text());
    let mut stop = fixture::stop(2, 36);
    stop.reason = crate::session::view::StopReason::Step;
    bench.view(fixture::view(State::Stopped, Some(stop)));
    assert!(!bench.text().contains("2/2"));
}

#[test]
fn without_colour_every_mark_is_a_sign() {
    let mut bench = stopped(160, 48);
    let coloured = bench.text();
    bench.app.theme = Theme::Mono;
    assert_eq!(bench.text(), coloured);
    let styled = bench.styled();
    assert!(!styled.contains("Red") && !styled.contains("Blue"), "{styled}");
}

/// design.md: one frame at 200x60 in 4 ms (release build; measured here too).
#[test]
fn drawing_is_quick() {
    let bench = stopped(200, 60);
    bench.buffer();
    let start = Instant::now();
    const TIMES: u32 = 50;
    for _ in 0..TIMES {
        bench.buffer();
    }
    let each = start.elapsed() / TIMES;
    println!("one frame of 200x60: {each:?}");
    assert!(each < Duration::from_millis(40), "{each:?}");
}
