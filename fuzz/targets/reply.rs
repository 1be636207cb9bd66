//! Replies of any content, to every kind of request.
#![no_main]

use kgdb_tui::{
    base::addr::Addr,
    rsp::{
        command::{Command, Point, PointKind, ThreadUse},
        frame::{encode, hex},
        reply::{self, Reply, parse},
        thread::ThreadId,
    },
};
use libfuzzer_sys::fuzz_target;

fn command(choice: u8, size: u8) -> Command {
    let point = Point { kind: PointKind::Software, addr: Addr(0x1000), len: 1 };
    let len = usize::from(size).clamp(1, 255);
    let read = Command::read_memory(Addr(0x1000), len).expect("fits");
    let all = [
        Command::HaltReason,
        Command::Supported,
        Command::ReadRegisters,
        Command::ReadRegister { number: size },
        Command::write_register(size, &[size; 8]).expect("fits"),
        read,
        Command::write_memory(Addr(0x1000), &[size]).expect("fits"),
        Command::Continue,
        Command::Detach,
        Command::SetThread { usage: ThreadUse::Registers, id: ThreadId(-2) },
        Command::CurrentThread,
        Command::FirstThreads,
        Command::NextThreads,
        Command::ThreadExtraInfo(ThreadId(1)),
        Command::monitor("ps A").expect("fits"),
        Command::Insert(point),
        Command::Remove(point),
    ];
    all[usize::from(choice) % all.len()].clone()
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (choice, size, payload) = input;
    let command = command(choice, size);
    match parse(&command, payload) {
        Ok(Reply::Memory(data)) => {
            // Never another length than was asked for, and exactly what came.
            let Command::ReadMemory(access) = &command else { panic!("memory for {command}") };
            assert_eq!(data.len(), access.len());
            assert_eq!(hex(&data).as_bytes(), payload.to_ascii_lowercase());
        }
        Ok(Reply::Registers(raw)) => {
            assert_eq!(command, Command::ReadRegisters);
            assert!(raw.len() >= 64 && raw.len() % 4 == 0);
        }
        Ok(Reply::Register(raw)) => assert!(raw.len() <= 64),
        Ok(Reply::Threads(ids)) => assert!(ids.len() <= payload.len() / 2 + 1),
        Ok(Reply::Done) => assert_eq!(payload, b"OK"),
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Some(text) = reply::output(payload) {
        assert_eq!(text.len() * 2 + 1, payload.len());
    }
    let _ = (reply::stop(payload), reply::errno(payload));
    // What is asked is framed as it is said to be.
    let frame = command.encode();
    assert_eq!(frame, encode(&command.payload()));
    assert!(frame.len() <= 1004);
});
