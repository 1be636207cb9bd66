//! Stubs that lie: the program itself against servers that send what no kgdb
//! sends. Each run ends by itself, with errors in words, and with little memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support"]
mod support {
    #[allow(dead_code, reason = "each test program uses a part of it")]
    pub mod batch;
    pub mod guest;
    pub mod tools;
}

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use kgdb_tui::rsp::frame::{encode, hex};
use support::batch::{Ended, Setup};

/// Answers each request after `?`, which is answered well.
type Lie = fn(&[u8], &mut TcpStream) -> std::io::Result<()>;

/// A server that lies, at an address.
fn liar(lie: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, lie));
        }
    });
    address
}

fn serve(mut stream: TcpStream, lie: Lie) {
    let mut buffer = [0; 1024];
    let mut seen = Vec::new();
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..count]);
        while let Some(end) = seen.iter().position(|&byte| byte == b'#') {
            if seen.len() < end + 3 {
                break;
            }
            let packet: Vec<u8> = seen.drain(..end + 3).collect();
            let start = packet.iter().position(|&byte| byte == b'$').unwrap_or(0);
            let payload = &packet[start + 1..packet.len() - 3];
            let sent = match payload {
                b"?" => stream.write_all(b"+$S05#b8"),
                payload => lie(payload, &mut stream),
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

/// Debugs it, and gives what came of it.
fn debug(lie: Lie) -> Ended {
    let commands = ["info registers", "x/64xb 0xffffffff81000000", "monitor help", "bt"];
    let setup = Setup::bare().arg("--connect").arg(liar(lie)).arg("--timeout").arg("3");
    let batch = setup.exs(&commands).start();
    let memory = batch.watch_memory();
    let ended = batch.end();
    let most = memory.join().unwrap();
    assert!(most < 200_000, "{most} kB of memory: {}", ended.said);
    assert_ne!(ended.status, Some(0), "{ended:?}");
    assert!(!ended.said.contains("panicked"), "{}", ended.said);
    ended
}

fn ack_and(stream: &mut TcpStream, payload: &[u8]) -> std::io::Result<()> {
    stream.write_all(&[b"+", &encode(payload)[..]].concat())
}

#[test]
fn a_packet_without_end() {
    debug(|_, stream| {
        stream.write_all(b"+$")?;
        for _ in 0..4096 {
            stream.write_all(&[b'a'; 4096])?;
        }
        Ok(())
    });
}

#[test]
fn output_without_end() {
    debug(|_, stream| {
        stream.write_all(b"+")?;
        let output = encode(format!("O{}", hex(&[b'x'; 400])).as_bytes());
        for _ in 0..100_000 {
            stream.write_all(&output)?;
        }
        Ok(())
    });
}

#[test]
fn text_without_end_between_packets() {
    debug(|payload, stream| {
        for _ in 0..8192 {
            stream.write_all(&b"all work and no play ".repeat(200))?;
        }
        ack_and(stream, if payload == b"g" { b"00" } else { b"E22" })
    });
}

#[test]
fn answers_of_wrong_length() {
    let ended = debug(|payload, stream| match payload.first() {
        Some(b'g') => ack_and(stream, &[b'1'; 120]),
        Some(b'm') => ack_and(stream, b"0011"),
        Some(b'p') => ack_and(stream, &[b'2'; 130]),
        _ => ack_and(stream, b"OK"),
    });
    for line in &ended.lines {
        assert!(line.error.as_ref().is_some_and(|error| error.len() > 10), "{line:?}");
    }
}

#[test]
fn stops_and_answers_that_nobody_asked_for() {
    debug(|payload, stream| {
        for lie in [&b"T05thread:7fffffff;"[..], b"T05thread:-;", b"QC01", b"m01,02", b"S0b", b"OK"]
        {
            stream.write_all(&encode(lie))?;
        }
        match payload.first() {
            Some(b'p') => ack_and(stream, &[b'0'; 16]),
            Some(b'g') => ack_and(stream, &[b'0'; 312]),
            _ => ack_and(stream, b"E22"),
        }
    });
}

#[test]
fn bytes_of_any_kind() {
    debug(|payload, stream| {
        let mut number = payload.iter().fold(1u64, |sum, &byte| sum * 31 + u64::from(byte));
        for _ in 0..200 {
            let noise: Vec<u8> = (0..1024)
                .map(|_| {
                    number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (number >> 56) as u8
                })
                .collect();
            stream.write_all(&noise)?;
        }
        Ok(())
    });
}

#[test]
fn it_goes_in_the_middle_of_an_answer() {
    let ended = debug(|_, stream| {
        stream.write_all(b"+$0011")?;
        std::thread::sleep(Duration::from_millis(50));
        stream.shutdown(std::net::Shutdown::Both)
    });
    assert!(ended.said.contains("link is lost"), "{}", ended.said);
}
