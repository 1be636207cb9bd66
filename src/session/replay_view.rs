//! What is shown and told of a record that takes the guest's place.

use crate::base::addr::Addr;
use serde::Serialize;
use std::path::PathBuf;

/// Where in a record one is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReplayView {
    /// The number of the stop, from 1; the last one's when the record is over.
    pub stop: usize,
    /// How many there are.
    pub stops: usize,
    /// When it was, in seconds since the record began; `None` when the record
    /// is over.
    pub seconds: Option<f64>,
}

impl ReplayView {
    /// In a few words: `stop 3 of 7, at 12.3 s`.
    pub fn text(&self) -> String {
        match self.seconds {
            Some(seconds) => {
                format!("stop {} of {}, at {seconds:.1} s", self.stop, self.stops)
            }
            None => format!("the record ends after stop {}", self.stops),
        }
    }
}

/// A record (`info replay`).
#[derive(Clone, Debug, Serialize)]
pub struct ReplayAnswer {
    /// The file.
    pub file: PathBuf,
    /// What its notes tell of the whole: the program, when, the kernel.
    pub notes: Vec<String>,
    /// The number of the stop that is shown; `None` when the record is over.
    pub stop: Option<usize>,
    /// Its stops.
    pub stops: Vec<ReplayStop>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// One stop of a record.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayStop {
    /// Its number, from 1.
    pub number: usize,
    /// When it was, in seconds since the record began.
    pub seconds: f64,
    /// Why the guest stayed stopped, where that was written down.
    pub reason: Option<String>,
    /// Where.
    pub pc: Option<Addr>,
    /// The symbol there, once the vmlinux is proven.
    pub function: Option<String>,
    /// What the user asked for at it.
    pub asked: Vec<String>,
}
