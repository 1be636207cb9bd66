//! A stack as people see it: every function inlined into a frame is a line of
//! its own, as in gdb.

use crate::{
    base::addr::Addr,
    symbols::{answer::SourceFile, placed::Symbols},
    unwind::{FrameKind, Saved, Stack},
};

/// One line of a backtrace.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownFrame {
    /// Its number, counted with inlined functions.
    pub level: usize,
    /// The pc of the physical frame.
    pub pc: Addr,
    /// The function; `None` where no symbol holds the pc.
    pub function: Option<String>,
    /// Bytes from the function's start to the pc; `None` for an inlined
    /// function and for a part away from its start (`.cold`).
    pub offset: Option<u64>,
    /// The file of the line.
    pub file: Option<SourceFile>,
    /// The line executed, or that of the call that is not back yet.
    pub line: Option<u32>,
    /// Inlined into the next line of the backtrace.
    pub inlined: bool,
    /// The module; `None` for vmlinux.
    pub module: Option<String>,
    /// What kind of code it is.
    pub kind: FrameKind,
    /// For entry code, what it saved.
    pub saved: Option<Saved>,
    /// The index in [`Stack::frames`].
    pub physical: usize,
    /// Its place among the functions at the pc: 0 is innermost.
    pub depth: usize,
}

/// The lines of a backtrace, innermost first.
pub fn expand(symbols: &Symbols, stack: &Stack) -> Vec<ShownFrame> {
    let mut shown: Vec<ShownFrame> = Vec::new();
    for (physical, frame) in stack.frames.iter().enumerate() {
        let mut line = ShownFrame {
            level: shown.len(),
            pc: frame.pc,
            function: None,
            offset: None,
            file: None,
            line: None,
            inlined: false,
            module: None,
            kind: frame.kind,
            saved: frame.saved.clone(),
            physical,
            depth: 0,
        };
        let code = match frame.kind {
            FrameKind::User => Vec::new(),
            _ => symbols.frames_at(frame.lookup),
        };
        if code.is_empty() {
            shown.push(line);
            continue;
        }
        let start = symbols.symbol_at(frame.lookup).map(|symbol| symbol.start);
        for at in code {
            line.level = shown.len();
            line.offset =
                (!at.inlined && start == Some(at.entry)).then(|| frame.pc.since(at.entry));
            line.function = Some(at.function);
            line.file = at.file;
            line.line = at.line;
            line.inlined = at.inlined;
            line.module = at.module;
            line.depth = at.depth;
            shown.push(line.clone());
        }
    }
    shown
}
