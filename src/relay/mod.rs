//! A relay: makes the guest's serial line reachable by a TCP port or a unix
//! socket, for one debugger at a time, and shows what goes over it.
//!
//! It is what `socat /tmp/com_guest tcp-listen:9999` is used for, without what
//! that costs: small packets are sent and acknowledged at once (socat adds some
//! 40 ms to each answer), a second client is told why it can not have the line
//! instead of getting every other byte, and the relay outlives its ends: when
//! the guest's goes it waits for it to come back, when the client goes it waits
//! for the next.
//!
//! The layer promises:
//! - bytes pass as they are, in order, none added;
//! - while the guest's end is gone nothing listens, so that a debugger knows;
//! - what the guest prints while no client is there is shown, and not kept for
//!   the next client, as on a real line.
//!
//! What it does not do: speak the protocol, send a BREAK (a client of a TCP port
//! can not ask for one).

pub mod error;
pub mod listen;
pub mod run;
pub mod seen;
pub mod show;
