//! Telnet's coding (RFC 854), as much as a serial relay needs.
//!
//! ```text
//!   ff ff        one byte ff of data        ff f3        BREAK
//!   ff fb N      WILL do option N           ff fd N      please DO option N
//!   ff fc N      WONT                       ff fe N      DONT
//!   ff fa N … ff f0   subnegotiation
//! ```
//!
//! Two options are taken, binary (RFC 856) and suppress-go-ahead (RFC 858),
//! the ones QEMU's and ser2net's telnet offer; all others are refused.

use tokio::net::TcpStream;

const IAC: u8 = 0xff;
const DONT: u8 = 0xfe;
const DO: u8 = 0xfd;
const WONT: u8 = 0xfc;
const WILL: u8 = 0xfb;
const SB: u8 = 0xfa;
const BRK: u8 = 0xf3;
const SE: u8 = 0xf0;

const BINARY: u8 = 0;
const SUPPRESS_GO_AHEAD: u8 = 3;

/// Both directions of one connection.
#[derive(Debug, Default)]
pub(super) struct Telnet {
    state: State,
    /// The other end sends binary: no NUL follows its CR.
    binary_in: bool,
    /// We send binary.
    binary_out: bool,
    /// Offers and requests answered, as (command, option): each once, or two
    /// machines that disagree would never stop.
    answered: Vec<(u8, u8)>,
    /// Answers not sent yet.
    answers: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Data,
    /// After a CR of data.
    Return,
    Command,
    Option(u8),
    Subnegotiation,
    SubnegotiationCommand,
}

impl Telnet {
    /// Takes commands out of the bytes that came; the data moves to the front
    /// of the buffer and its length is given.
    pub fn receive(&mut self, buffer: &mut [u8]) -> usize {
        let mut kept = 0;
        for at in 0..buffer.len() {
            if let Some(data) = self.byte(buffer[at]) {
                buffer[kept] = data;
                kept += 1;
            }
        }
        kept
    }

    fn byte(&mut self, byte: u8) -> Option<u8> {
        let (state, data) = match (self.state, byte) {
            (State::Return, 0) if !self.binary_in => (State::Data, None),
            (State::Data | State::Return, IAC) => (State::Command, None),
            (State::Data | State::Return, b'\r') => (State::Return, Some(byte)),
            (State::Data | State::Return, _) => (State::Data, Some(byte)),
            (State::Command, IAC) => (State::Data, Some(IAC)),
            (State::Command, WILL | WONT | DO | DONT) => (State::Option(byte), None),
            (State::Command, SB) => (State::Subnegotiation, None),
            (State::Command, _) => (State::Data, None),
            (State::Option(command), option) => {
                self.negotiate(command, option);
                (State::Data, None)
            }
            (State::Subnegotiation, IAC) => (State::SubnegotiationCommand, None),
            (State::Subnegotiation, _) => (State::Subnegotiation, None),
            (State::SubnegotiationCommand, SE) => (State::Data, None),
            (State::SubnegotiationCommand, _) => (State::Subnegotiation, None),
        };
        self.state = state;
        data
    }

    fn negotiate(&mut self, command: u8, option: u8) {
        let wanted = matches!(option, BINARY | SUPPRESS_GO_AHEAD);
        if option == BINARY {
            match command {
                WILL | WONT => self.binary_in = command == WILL,
                _ => self.binary_out = command == DO,
            }
        }
        let answer = match command {
            WILL if wanted => DO,
            WILL => DONT,
            DO if wanted => WILL,
            DO => WONT,
            // An option given up was never relied on.
            _ => return,
        };
        if !self.answered.contains(&(command, option)) {
            self.answered.push((command, option));
            self.answers.extend([IAC, answer, option]);
        }
    }

    /// Sends answers to options, as far as the socket takes them now. What is
    /// left goes with the next data.
    pub fn answer(&mut self, tcp: &TcpStream) {
        if !self.answers.is_empty()
            && let Ok(sent) = tcp.try_write(&self.answers)
        {
            self.answers.drain(..sent);
        }
    }

    /// Codes data, answers not yet sent before it.
    pub fn encode(&mut self, data: &[u8]) -> Vec<u8> {
        let mut coded = std::mem::take(&mut self.answers);
        for &byte in data {
            match byte {
                IAC => coded.extend([IAC, IAC]),
                // RFC 854: a CR that is not a line end is CR NUL.
                b'\r' if !self.binary_out => coded.extend([b'\r', 0]),
                _ => coded.push(byte),
            }
        }
        coded
    }

    /// How many of the first bytes need no coding, and no answer before them.
    pub fn plain(&self, data: &[u8]) -> usize {
        if !self.answers.is_empty() {
            return 0;
        }
        let coded = |byte: &u8| *byte == IAC || (*byte == b'\r' && !self.binary_out);
        data.iter().position(coded).unwrap_or(data.len())
    }

    /// A BREAK, answers not yet sent before it.
    pub fn encode_break(&mut self) -> Vec<u8> {
        let mut coded = std::mem::take(&mut self.answers);
        coded.extend([IAC, BRK]);
        coded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn receive(telnet: &mut Telnet, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = bytes.to_vec();
        let kept = telnet.receive(&mut buffer);
        buffer.truncate(kept);
        buffer
    }

    #[test]
    fn what_qemu_offers() {
        let mut telnet = Telnet::default();
        // tcp_chr_telnet_init in chardev/char-socket.c.
        let offers = [IAC, WILL, 1, IAC, WILL, 3, IAC, WILL, 0, IAC, DO, 0];
        assert_eq!(receive(&mut telnet, &[&offers[..], b"hi"].concat()), b"hi");
        let answers = [IAC, DONT, 1, IAC, DO, 3, IAC, DO, 0, IAC, WILL, 0];
        assert_eq!(telnet.encode(b"\r"), [&answers[..], b"\r"].concat());
        assert_eq!(receive(&mut telnet, &offers), b"");
        assert_eq!(telnet.encode(b"x"), b"x", "the same offer is not answered twice");
    }

    #[test]
    fn unknown_options_are_refused() {
        let mut telnet = Telnet::default();
        receive(&mut telnet, &[IAC, DO, 24, IAC, WILL, 44, IAC, SB, 24, 1, IAC, IAC, IAC, SE]);
        assert_eq!(telnet.encode_break(), [IAC, WONT, 24, IAC, DONT, 44, IAC, BRK]);
        assert_eq!(receive(&mut telnet, b"data"), b"data");
    }

    #[test]
    fn line_ends_outside_binary_mode() {
        let mut telnet = Telnet::default();
        assert_eq!(receive(&mut telnet, b"a\r\0b\r\nc"), b"a\rb\r\nc");
        assert_eq!(telnet.encode(b"a\r"), b"a\r\0");
    }

    proptest! {
        #[test]
        fn data_survives_in_any_pieces(
            data in proptest::collection::vec(any::<u8>(), 0..200), cut in 1usize..7
        ) {
            let coded = Telnet::default().encode(&data);
            let mut telnet = Telnet::default();
            let pieces = coded.chunks(cut).flat_map(|piece| receive(&mut telnet, piece));
            prop_assert_eq!(pieces.collect::<Vec<_>>(), data);
        }

        #[test]
        fn receive_takes_anything(data in proptest::collection::vec(240u8.., 0..60)) {
            receive(&mut Telnet::default(), &data);
        }
    }
}
