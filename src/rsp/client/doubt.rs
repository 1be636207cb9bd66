//! Whether a packet of a running kernel is one. Anybody can print `$T05thread:01;#07`
//! on the guest's console, with a right checksum.
//!
//! A stub that has sent a packet waits for one byte and prints nothing more
//! (`put_packet` in `kernel/debug/gdbstub.c`), with all other CPUs held; a program
//! goes on to the end of its line, and a shell prints its prompt after that. So a
//! packet is believed when nothing follows it for a moment. Where it comes at
//! once after a resume, with no text between, that moment is not spent: thousands
//! of hits of a breakpoint with a condition would each take longer.
//!
//! The packet of a machine that goes down (`$W01#b8`) waits for nothing: the kernel
//! goes on, and may print on the same line. What it prints next begins with its
//! time, or with `reboot:` (kernel/reboot.c); a program's line ends.
//!
//! What is believed in spite of all that is found out by the first question, which
//! is not answered. There is none after the packet of a machine that goes down, so
//! whoever gets that must not forget anything for it.

use super::{Client, Mode, Traffic};
use crate::rsp::frame::{Item, encode};
use std::time::{Duration, Instant};

/// How long nothing may follow. Text of one program comes in pieces of the UART's
/// 16 bytes: 1.4 ms at 115200 baud, less on a virtual line, and what a relay or a
/// busy machine adds. Nobody sees this moment before a stop.
const MOMENT: Duration = Duration::from_millis(30);

/// A byte or two that are no line end may be noise behind the packet of a stub that
/// waits: then it is silent for long.
const NOISE: usize = 2;
const LONG: Duration = Duration::from_millis(250);

/// How a kernel that does not print the time says that it goes down.
const REBOOT: &[u8] = b"reboot:";

/// What comes this soon after a resume is its own doing.
const SOON: Duration = Duration::from_millis(100);

/// What is known of the line since the kernel runs.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// When we resumed it, if text has not come since.
    resumed: Option<Instant>,
    held: Option<Held>,
}

/// A packet that waits.
#[derive(Debug)]
struct Held {
    payload: Vec<u8>,
    /// When it is believed.
    until: Instant,
    /// What came behind it and may be noise.
    after: Vec<u8>,
}

impl Held {
    /// The machine goes down.
    fn is_exit(&self) -> bool {
        self.payload.first() == Some(&b'W')
    }

    /// Whether what came behind it is the kernel's next message.
    fn is_followed_by_kernel(&self, text: &[u8]) -> bool {
        let mut bytes = self.after.iter().chain(text);
        match bytes.next() {
            Some(b'[') => true,
            Some(first) => {
                let begin: Vec<u8> = [*first].into_iter().chain(bytes.copied()).collect();
                begin.starts_with(REBOOT)
            }
            None => false,
        }
    }
}

impl Doubt {
    /// The kernel was resumed by us.
    pub fn resumed(&mut self, now: Instant) {
        *self = Doubt { resumed: Some(now), held: None };
    }

    /// When a packet is believed.
    pub fn due(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.until)
    }
}

impl Client {
    /// Looks at what came from a running kernel. `None` when it has to wait.
    pub(super) fn doubted(&mut self, item: Item, now: Instant) -> Option<Item> {
        if let Some(mut held) = self.doubt.held.take() {
            match &item {
                // The stub repeats its packet when it gets something else than an ack.
                Item::Packet(payload) if *payload == held.payload => {
                    self.console_behind(held.after);
                    return Some(item);
                }
                Item::Text(text) if held.is_exit() && held.is_followed_by_kernel(text) => {
                    self.take_packet(held.payload, now);
                    self.console_behind(held.after);
                    return Some(item);
                }
                Item::Text(text)
                    if held.after.len() + text.len() <= NOISE
                        && !text.iter().any(|byte| matches!(byte, b'\r' | b'\n')) =>
                {
                    held.after.extend(text);
                    held.until = now + LONG;
                    self.doubt.held = Some(held);
                    return None;
                }
                _ => self.disbelieved(held),
            }
        }
        if self.mode != Mode::Running {
            return Some(item);
        }
        match item {
            Item::Packet(payload) if self.is_doubtful(&payload, now) => {
                self.doubt.held = Some(Held { payload, until: now + MOMENT, after: Vec::new() });
                None
            }
            Item::Text(text) => {
                self.doubt.resumed = None;
                Some(Item::Text(text))
            }
            item => Some(item),
        }
    }

    /// Stops, and console text by `kgdbcon`, whose stub waits for an ack; and the end
    /// of the machine.
    fn is_doubtful(&self, payload: &[u8], now: Instant) -> bool {
        let soon = self.doubt.resumed.is_some_and(|at| now.duration_since(at) < SOON);
        match payload.first() {
            Some(b'T' | b'S' | b'O') => !soon,
            first => first == Some(&b'W'),
        }
    }

    /// A packet was text.
    fn disbelieved(&mut self, held: Held) {
        let mut text = encode(&held.payload);
        text.extend(held.after);
        self.doubt.resumed = None;
        self.just_resumed = None;
        self.log(Traffic::Text(text.clone()));
        self.console(text);
    }

    fn console_behind(&mut self, text: Vec<u8>) {
        if !text.is_empty() {
            self.log(Traffic::Text(text.clone()));
            self.console(text);
        }
    }

    /// Nothing followed a packet for a moment, if there is one.
    pub(super) fn believe(&mut self, now: Instant) {
        if self.doubt.due().is_none_or(|due| due > now) {
            return;
        }
        let Some(held) = self.doubt.held.take() else { return };
        // The beginning of something else is there already.
        if self.decoder.held() > 0 {
            return self.disbelieved(held);
        }
        self.console_behind(held.after);
        self.take_packet(held.payload, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rsp::{
        client::Event, command::Command, frame::encode, reply::StopReply, timing::Timing,
    };

    const STOP: &[u8] = b"T05thread:01;";

    fn running(now: Instant) -> Client {
        let mut client = Client::new(Timing::default());
        client.assume_running();
        client.receive(b"# ", now);
        client
    }

    fn sent(client: &mut Client) -> Vec<u8> {
        std::iter::from_fn(|| client.poll_transmit()).flatten().collect()
    }

    fn events(client: &mut Client) -> (Vec<u8>, usize) {
        let (mut text, mut stops) = (Vec::new(), 0);
        while let Some(event) = client.poll() {
            match event {
                Event::Console(more) | Event::Output(more) => text.extend(more),
                Event::Stop(StopReply::Thread { .. } | StopReply::Signal { .. }) => stops += 1,
                Event::Reply { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        (text, stops)
    }

    #[test]
    fn what_a_program_prints_is_no_stop_and_no_byte_is_lost_or_sent() {
        let ms = Duration::from_millis;
        for packet in [STOP, b"S05", b"O6869", b"W01"] {
            let printed = [encode(packet), b"\r\n# ".to_vec()].concat();
            for cut in 0..printed.len() {
                let now = Instant::now();
                let mut client = running(now);
                client.receive(&printed[..cut], now + ms(1));
                client.timeout(now + ms(4));
                client.receive(&printed[cut..], now + ms(5));
                client.timeout(now + ms(100));
                let (text, stops) = events(&mut client);
                assert_eq!(text, [b"# ", &printed[..]].concat(), "{cut}");
                assert_eq!((stops, sent(&mut client)), (0, vec![]), "{cut}");
            }
        }
    }

    #[test]
    fn silence_makes_it_a_stop() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        let mut client = running(now);
        client.receive(&encode(STOP), now + ms(1));
        assert_eq!(client.poll_timeout(), Some(now + ms(1) + MOMENT));
        assert_eq!((events(&mut client).1, sent(&mut client)), (0, vec![]));
        client.timeout(now + ms(1) + MOMENT);
        assert_eq!((events(&mut client).1, sent(&mut client)), (1, b"+".to_vec()));
    }

    #[test]
    fn a_byte_of_noise_behind_a_stop_does_not_hide_it() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        let mut client = running(now);
        client.receive(&[&encode(STOP)[..], b"x"].concat(), now);
        client.timeout(now + MOMENT);
        assert_eq!(events(&mut client).1, 0);
        client.timeout(now + LONG);
        assert_eq!(events(&mut client), (b"x".to_vec(), 1));
        // More than that is a program.
        let mut client = running(now);
        client.receive(&[&encode(STOP)[..], b"x"].concat(), now);
        client.receive(b"yz", now + ms(5));
        client.timeout(now + LONG + LONG);
        let text = [b"# ", &encode(STOP)[..], b"xyz"].concat();
        assert_eq!(events(&mut client), (text, 0));
    }

    #[test]
    fn a_packet_that_is_repeated_is_a_stop_at_once() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        let mut client = running(now);
        client.receive(&encode(STOP), now);
        client.receive(&encode(STOP), now + ms(2));
        assert_eq!((events(&mut client).1, sent(&mut client)), (1, b"+".to_vec()));
    }

    #[test]
    fn what_comes_at_once_after_a_resume_is_believed_at_once() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        let mut client = Client::new(Timing::default());
        client.send(Command::HaltReason, now).unwrap();
        client.receive(b"+$S05#b8", now);
        client.timeout(now + ms(1000));
        client.send(Command::Continue, now + ms(1000)).unwrap();
        while client.poll().is_some() {}
        client.receive(b"+", now + ms(1001));
        client.receive(&encode(STOP), now + ms(1005));
        assert_eq!(events(&mut client).1, 1);
    }

    #[test]
    fn the_end_of_the_machine_is_believed_when_nothing_or_the_kernel_follows() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        for behind in ["", "[    9.1] reboot: Restarting system\r\n", "reboot: Power down\r\n"] {
            for cut in 0..=behind.len() {
                let mut client = running(now);
                client.receive(&encode(b"W01"), now + ms(1));
                client.receive(&behind.as_bytes()[..cut], now + ms(4));
                client.receive(&behind.as_bytes()[cut..], now + ms(8));
                client.timeout(now + ms(8) + LONG);
                let (mut text, mut exits) = (Vec::new(), 0);
                while let Some(event) = client.poll() {
                    match event {
                        Event::Console(more) => text.extend(more),
                        Event::Exited { code: 1 } => exits += 1,
                        other => panic!("{other:?}"),
                    }
                }
                let printed = String::from_utf8(text).unwrap();
                // One letter of the kernel's words may as well be noise.
                let split = behind.starts_with('r') && cut > NOISE && cut < REBOOT.len();
                assert_eq!((exits, sent(&mut client)), (usize::from(!split), vec![]), "{cut}");
                if !split {
                    assert_eq!(printed, format!("# {behind}"));
                }
            }
        }
    }

    #[test]
    fn the_beginning_of_another_one_is_not_silence() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        let mut client = running(now);
        client.receive(&[&encode(STOP)[..], b"$"].concat(), now);
        client.timeout(now + MOMENT);
        client.receive(b"x\r\n", now + MOMENT + ms(1));
        let (text, stops) = events(&mut client);
        assert_eq!((text, stops), ([b"# ", &encode(STOP)[..], b"$x\r\n"].concat(), 0));
    }
}
