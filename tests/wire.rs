//! Links on real sockets, ttys, processes and relays.

mod support {
    pub mod line;
    pub mod tools;
}

use std::{path::Path, time::Duration};

use kgdb_tui::link::{
    Link,
    error::LinkError,
    record::Recorder,
    record_reader::{Happening, read},
};
use support::line::{Program, free_port, open, wait_for};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    time::timeout,
};

async fn refusal(address: &str) -> LinkError {
    Link::open(&address.parse().expect("an address")).await.expect_err("must not open")
}

async fn receive(link: &mut Link, count: usize) -> Vec<u8> {
    let mut received = Vec::new();
    let mut buffer = [0; 256];
    while received.len() < count {
        let read = timeout(Duration::from_secs(5), link.read(&mut buffer)).await;
        match read.expect("bytes within 5 s").expect("no error") {
            0 => break,
            count => received.extend_from_slice(&buffer[..count]),
        }
    }
    received
}

#[tokio::test]
async fn tcp_through_a_real_relay_to_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("com_guest");
    let guest = UnixListener::bind(&socket).unwrap();
    let port = free_port().await;
    let listen = format!("tcp-listen:{port},bind=127.0.0.1");
    let _relay = Program::start("socat", &[&listen, &format!("unix:{}", socket.display())]);
    let mut link = open(&format!("127.0.0.1:{port}")).await;
    let (mut guest, _) = guest.accept().await.unwrap();
    link.write_all(b"$?#3f").await.unwrap();
    let mut buffer = [0; 5];
    guest.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"$?#3f");
    guest.write_all(b"+$S05#b8").await.unwrap();
    assert_eq!(receive(&mut link, 8).await, b"+$S05#b8");
    let error = link.send_break().await.unwrap_err();
    assert!(error.to_string().contains("sysrq-trigger"), "{error}");
    drop(guest);
    assert_eq!(receive(&mut link, 1).await, b"", "the end of the guest is the end of the link");
}

#[tokio::test]
async fn unix_socket_by_scheme_and_by_bare_path() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("com_guest");
    let guest = UnixListener::bind(&socket).unwrap();
    for address in [format!("unix:{}", socket.display()), socket.display().to_string()] {
        let mut link = open(&address).await;
        assert_eq!(link.describe(), format!("unix socket {}", socket.display()));
        let (mut guest, _) = guest.accept().await.unwrap();
        guest.write_all(b"hello").await.unwrap();
        assert_eq!(receive(&mut link, 5).await, b"hello");
    }
    drop(guest);
    let error = refusal(&socket.display().to_string()).await;
    assert!(matches!(error, LinkError::SocketDead { .. }) && error.is_temporary(), "{error}");
}

#[tokio::test]
async fn a_tty_is_raw_and_has_a_rate() {
    let directory = tempfile::tempdir().unwrap();
    let [ours, theirs] = ["ours", "theirs"].map(|name| directory.path().join(name));
    let [a, b] = [&ours, &theirs].map(|path| format!("pty,raw,echo=0,link={}", path.display()));
    let _pair = Program::start("socat", &[&a, &b]);
    wait_for(&ours).await;
    wait_for(&theirs).await;
    let mut link = open(&format!("serial:{},9600", ours.display())).await;
    let mut guest = open(&theirs.display().to_string()).await;
    assert_eq!((link.baud(), guest.baud()), (Some(9600), Some(115_200)));
    let every_byte: Vec<u8> = (0..=255).collect();
    link.write_all(&every_byte).await.unwrap();
    assert_eq!(receive(&mut guest, 256).await, every_byte);
    guest.write_all(b"\r\n$OK#9a\x03\x04\x11\x13").await.unwrap();
    assert_eq!(receive(&mut link, 12).await, b"\r\n$OK#9a\x03\x04\x11\x13");
    link.send_break().await.expect("a pty takes a BREAK and ignores it");
}

#[tokio::test]
async fn telnet_escapes_and_carries_a_break() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut link = open(&format!("telnet:127.0.0.1:{port}")).await;
    let (mut guest, _) = listener.accept().await.unwrap();
    guest.write_all(b"\xff\xfb\x01\xff\xfd\x00a\xff\xffb").await.unwrap();
    assert_eq!(receive(&mut link, 3).await, b"a\xffb");
    link.write_all(b"x\xffy").await.unwrap();
    link.send_break().await.unwrap();
    let mut buffer = [0; 12];
    guest.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"\xff\xfe\x01\xff\xfb\x00x\xff\xffy\xff\xf3");
}

#[tokio::test]
async fn a_child_is_the_line_and_dies_with_it() {
    let mut link = open("exec:cat; echo last words >&2; exit 3").await;
    link.write_all(b"$g#67").await.unwrap();
    assert_eq!(receive(&mut link, 5).await, b"$g#67");
    assert!(matches!(link.send_break().await, Err(LinkError::NoBreak { .. })));
    drop(link);

    let mut link = open("exec:echo last words >&2; exit 3").await;
    assert_eq!(receive(&mut link, 1).await, b"");
    let words = link.last_words().await.unwrap();
    assert!(words.contains("exit status: 3") && words.contains("last words"), "{words}");

    let mut link = open("exec:echo $$; sleep 100; true").await;
    let pid = String::from_utf8(receive(&mut link, 2).await).unwrap();
    let group = Path::new("/proc").join(pid.trim());
    assert!(group.exists());
    drop(link);
    for _ in 0..500 {
        let state = std::fs::read_to_string(group.join("stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the child lives on");
}

#[tokio::test]
async fn each_failure_has_its_own_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("file"), "x").unwrap();
    let port = free_port().await;
    for (address, words, temporary) in [
        (format!("127.0.0.1:{port}"), format!("tcp-listen:{port}"), true),
        (format!("unix:{}", path("absent")), "does not exist".into(), true),
        (format!("unix:{}", path("file")), "a plain file".into(), false),
        (path("file"), "a plain file".into(), false),
        (path("."), "a directory".into(), false),
        (format!("serial:{}", path("file")), "a plain file".into(), false),
        ("serial:/dev/null".into(), "no tty".into(), false),
        ("serial:/dev/ttyNone".into(), "does not exist".into(), true),
        ("no.such.host.invalid:1".into(), "no address found".into(), false),
    ] {
        let error = refusal(&address).await;
        assert!(error.to_string().contains(&words), "{address}: {error}");
        assert_eq!(error.is_temporary(), temporary, "{address}: {error}");
    }
}

#[tokio::test]
async fn a_read_that_is_cancelled_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for scheme in ["tcp", "telnet"] {
        let mut link = open(&format!("{scheme}:127.0.0.1:{port}")).await;
        let (mut guest, _) = listener.accept().await.unwrap();
        let writer = tokio::spawn(async move {
            for byte in 0..200u8 {
                guest.write_all(&[byte]).await.unwrap();
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
            guest
        });
        let mut received = Vec::new();
        let mut buffer = [0; 16];
        while received.len() < 200 {
            let read = timeout(Duration::from_micros(100), link.read(&mut buffer)).await;
            if let Ok(count) = read {
                received.extend_from_slice(&buffer[..count.unwrap()]);
            }
        }
        assert_eq!(received, (0..200).collect::<Vec<u8>>());
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_record_holds_the_whole_conversation() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record");
    let mut link = open("exec:cat").await;
    link.record(Recorder::create(&path).unwrap());
    link.write_all(b"$g#67").await.unwrap();
    receive(&mut link, 5).await;
    drop(link);
    let entries = read(std::io::BufReader::new(std::fs::File::open(&path).unwrap())).unwrap();
    // The first two are notes on who wrote it and when.
    let whats: Vec<_> = entries.into_iter().skip(2).map(|entry| entry.what).collect();
    assert_eq!(whats, [Happening::Sent(b"$g#67".into()), Happening::Received(b"$g#67".into())]);
}
