//! What was asked at a stop besides memory, with the answers: a snapshot of the
//! stop has it.

use crate::rsp::{
    command::Command,
    frame::hex,
    reply::{Reply, ReplyError},
};

/// More at one stop is more than anybody asks: thousands of threads.
const MOST: usize = 20_000;

/// How much may have been printed.
const MOST_PRINTED: usize = 4 << 20;

/// A request, and what came for it, as on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The payload of the request.
    pub request: Vec<u8>,
    /// What was printed for it.
    pub outputs: Vec<Vec<u8>>,
    /// The payload of the answer.
    pub reply: Vec<u8>,
}

/// Those of one stop.
#[derive(Debug, Default)]
pub struct AllAsked {
    all: Vec<Asked>,
    printed: usize,
}

impl AllAsked {
    /// In the order of asking.
    pub fn all(&self) -> &[Asked] {
        &self.all
    }

    /// Notes a request that was answered.
    pub fn add(&mut self, command: &Command, printed: &[u8], reply: &Result<Reply, ReplyError>) {
        if command.ends_with_ack() || matches!(command, Command::HaltReason | Command::Detach) {
            // The stop is over, or is looked at as for the first time.
            *self = AllAsked::default();
            return;
        }
        let is_question = matches!(
            command,
            Command::CurrentThread
                | Command::FirstThreads
                | Command::NextThreads
                | Command::ThreadExtraInfo(_)
                | Command::ThreadAlive(_)
                | Command::Monitor(_)
        );
        if !is_question || self.all.len() >= MOST || self.printed + printed.len() > MOST_PRINTED {
            return;
        }
        let Some(reply) = payload(reply) else { return };
        self.printed += printed.len();
        let outputs = if printed.is_empty() { Vec::new() } else { vec![printed.to_vec()] };
        self.all.push(Asked { request: command.payload(), outputs, reply });
    }
}

/// An answer as it was on the wire.
fn payload(reply: &Result<Reply, ReplyError>) -> Option<Vec<u8>> {
    Some(match reply {
        Ok(Reply::Done) => b"OK".to_vec(),
        Ok(Reply::Thread(id)) => format!("QC{}", id.encode()).into_bytes(),
        Ok(Reply::Threads(ids)) if ids.is_empty() => Vec::new(),
        Ok(Reply::Threads(ids)) => {
            let ids: Vec<String> = ids.iter().map(|id| id.encode()).collect();
            format!("m{}", ids.join(",")).into_bytes()
        }
        Ok(Reply::Text(text)) => hex(text).into_bytes(),
        Err(ReplyError::Refused(error)) => format!("E{:02}", error.errno).into_bytes(),
        Err(ReplyError::Unsupported { .. }) => Vec::new(),
        Ok(Reply::Memory(_) | Reply::Registers(_) | Reply::Register(_))
        | Ok(Reply::Stop(_) | Reply::Resumed)
        | Err(ReplyError::Malformed { .. }) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rsp::thread::ThreadId;

    #[test]
    fn questions_of_a_stop_are_kept_until_it_is_over() {
        let mut asked = AllAsked::default();
        let info = Command::ThreadExtraInfo(ThreadId(500));
        asked.add(&info, b"", &Ok(Reply::Text(b"sh\0".to_vec())));
        asked.add(&Command::monitor("ps").unwrap(), b"all", &Ok(Reply::Done));
        asked.add(&Command::ReadRegisters, b"", &Ok(Reply::Registers(vec![0; 156])));
        let Ok(read) = Command::read_memory(crate::base::addr::Addr(8), 4) else { panic!() };
        asked.add(&read, b"", &Ok(Reply::Memory(vec![0; 4])));
        let one = |request: &str, outputs: &[&[u8]], reply: &str| Asked {
            request: request.into(),
            outputs: outputs.iter().map(|output| output.to_vec()).collect(),
            reply: reply.into(),
        };
        let want =
            [one("qThreadExtraInfo,01f4", &[], "736800"), one("qRcmd,7073", &[b"all"], "OK")];
        assert_eq!(asked.all(), want);
        asked.add(&Command::Step, b"", &Ok(Reply::Resumed));
        assert_eq!(asked.all(), []);
    }
}
