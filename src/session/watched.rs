//! What a watchpoint watches.

use super::conduct::ConductView;
use super::view::BreakpointView;
use super::watching::{Access, WatchView};
use super::wish::Wish;
use crate::base::addr::Addr;
use crate::eval::{
    location::{Absent, Context},
    typed::Typed,
};
use crate::rsp::{command::Point, thread::ThreadId};
use std::collections::BTreeSet;

/// More bytes than four debug registers can watch need not be told apart.
const MOST_TEXT: usize = 200;

/// What is watched, and what is known of it.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Which accesses.
    pub access: Access,
    /// The place and its type.
    pub value: Typed,
    /// The name of that type.
    pub type_name: String,
    /// The pieces of memory, one debug register each.
    pub pieces: Vec<(Addr, u8)>,
    /// What was there when it was looked at last.
    pub seen: Seen,
    /// The frame it is in.
    pub scope: Option<Scope>,
    /// Why it can't be watched.
    pub refused: Option<String>,
}

/// What was seen at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its bytes; of a bit field its value's.
    pub bytes: Vec<u8>,
    /// How it is written.
    pub text: String,
}

/// The frame that something is in, and with which it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The function.
    pub function: String,
    /// The stack pointer once the frame is gone is at least this.
    pub cfa: u64,
    /// Where its function returns to.
    pub returns_to: Addr,
    /// Whether a site there is to tell; not where the stub takes none.
    pub guarded: bool,
    /// The task.
    pub task: Option<ThreadId>,
}

impl Scope {
    /// Whether the frame is gone, when `task` has this stack pointer.
    pub fn is_over(&self, task: Option<ThreadId>, sp: u64) -> bool {
        self.task.is_some() && self.task == task && sp >= self.cfa
    }
}

impl Watched {
    /// What the stub is to have for it.
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        let kind = self.access.point();
        let there = if self.refused.is_none() { &self.pieces[..] } else { &[] };
        there.iter().map(move |&(addr, len)| Point { kind, addr, len })
    }

    /// Whether it is about one of these addresses.
    pub fn is_of(&self, fired: &BTreeSet<Addr>) -> bool {
        self.pieces.iter().any(|(addr, _)| fired.contains(addr))
    }

    /// Bytes that are watched.
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(|(_, len)| u64::from(*len)).sum()
    }

    /// The first of them.
    pub fn start(&self) -> Addr {
        self.pieces.first().map_or(Addr(0), |piece| piece.0)
    }

    /// The wish as it is shown; `planted` are the addresses that have a debug
    /// register.
    pub fn view(&self, wish: &Wish, planted: &BTreeSet<Addr>) -> BreakpointView {
        let armed = self.pieces.iter().all(|(addr, _)| planted.contains(addr));
        let (state, why) = match () {
            () if !wish.enabled => ("disabled", None),
            () if wish.pending.is_some() => ("pending", wish.pending.clone()),
            () if self.refused.is_some() => ("refused", self.refused.clone()),
            () if !armed => ("pending", Some("set at the next stop".to_string())),
            () => ("armed", None),
        };
        BreakpointView {
            number: wish.number,
            kind: self.access.word(),
            location: wish.location.clone(),
            sites: vec![self.start()],
            state,
            why,
            hits: wish.hits,
            function: None,
            file: None,
            line: None,
            places: Vec::new(),
            note: wish.note.clone(),
            conduct: ConductView::of(&wish.when, &wish.conduct),
            watch: Some(WatchView {
                access: self.access,
                address: self.start(),
                length: self.len(),
                registers: self.pieces.len(),
                type_name: self.type_name.clone(),
                value: self.seen.text.clone(),
                frame: self.scope.as_ref().map(|scope| scope.function.clone()),
            }),
        }
    }
}

/// What is at a place now.
pub fn look(context: &Context<'_>, value: &Typed) -> Result<Seen, Absent> {
    let bytes = match value.bits {
        Some(_) => context.scalar(value)?.bits.to_le_bytes().to_vec(),
        None => context.raw(value)?,
    };
    let mut text = context.printed(value, None, &Default::default())?;
    if let Some((end, _)) = text.char_indices().nth(MOST_TEXT) {
        text.truncate(end);
        text.push('…');
    }
    Ok(Seen { bytes, text })
}
