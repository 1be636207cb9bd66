//! `disassemble`: instructions of a function or of a range, live from the
//! guest; without a guest, as the file has them.

use super::{
    answer::{Answer, Failure},
    request::{Disassembly, Part},
    run::Session,
    symbol_answer::{CodeAnswer, CodeRange, InsnAnswer, SourceRun},
    wants::{CodeView, CodeWant},
};
use crate::arch::insn::{self, Insn, MAX_LEN};
use crate::base::{addr::Addr, text};
use crate::symbols::{
    answer::{LineRow, SourceFile},
    placed::Symbols,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A longer listing is shown in part: of a guest because of its cost on the
/// wire, of a file because nobody reads more.
const MOST_LIVE: u64 = 16 * 1024;
const MOST_FILE: u64 = 1024 * 1024;

/// What is listed where the function is not known.
const UNKNOWN_LEN: u64 = 64;

/// What is to be listed: the function it all belongs to, and its parts.
struct Wanted {
    function: Option<String>,
    ranges: Vec<(Addr, Addr)>,
}

impl Session {
    pub(super) async fn disassemble(&mut self, ask: &Disassembly) -> Result<Answer, Failure> {
        let offline = self.is_offline();
        if !offline {
            self.need_stopped()?;
        }
        let symbols = self.usable_symbols();
        let wanted = self.span_of(&symbols, &ask.what)?;
        let mut room = if offline { MOST_FILE } else { MOST_LIVE };
        let mut answer = CodeAnswer {
            function: wanted.function,
            bytes: ask.bytes,
            arrows: ask.arrows,
            ..CodeAnswer::default()
        };
        for &(start, end) in &wanted.ranges {
            let len = end.since(start);
            if len > room {
                let left = text::bytes(len - room);
                answer.note = Some(format!("{left} more are left out; say where: START,+LENGTH"));
            }
            let len = len.min(room);
            room -= len;
            if len == 0 {
                break;
            }
            // The last instruction may reach past the end.
            let read = if answer.function.is_some() { len } else { len + MAX_LEN as u64 - 1 };
            let mut insns = match offline {
                true => self.file_instructions(&symbols, start, read, usize::MAX)?,
                false => self.instructions(start, read, usize::MAX).await?,
            };
            insns.retain(|insn| insn.addr.since(start) < len);
            let rows = symbols.rows_of(start, end);
            let first = answer.instructions.len();
            if ask.source {
                let runs = self.source_runs(&symbols, &insns, &rows);
                answer.source.extend(runs.into_iter().map(|mut run| {
                    run.before += first;
                    run
                }));
            }
            answer.instructions.extend(self.insn_answers(&symbols, insns, &rows));
            answer.ranges.push(CodeRange { start, end });
        }
        Ok(Answer::Code(Box::new(answer)))
    }

    /// Reads the instructions that a pane wants.
    pub(super) async fn listing_round(&mut self, want: CodeWant) -> Result<(), Failure> {
        let code = match self.part_of_function(&want).await {
            Ok(code) => code,
            Err(Failure::Other(why)) => CodeView { error: Some(why), ..CodeView::default() },
            Err(failure) => return Err(failure),
        };
        if let Some(stop) = &mut self.stop {
            stop.supplied.code = Some(CodeView { want, ..code });
        }
        Ok(())
    }

    /// The part of a function around a place, whole instructions only.
    async fn part_of_function(&mut self, want: &CodeWant) -> Result<CodeView, Failure> {
        let symbols = self.usable_symbols();
        let at = match &want.place {
            Some(place) => self.address(place)?,
            None => self.selected_pc()?,
        };
        let part = want.place.as_ref().map_or(Part::Here, |place| Part::Function(place.clone()));
        let wanted = self.span_of(&symbols, &part)?;
        let holds = |range: &&(Addr, Addr)| at >= range.0 && at < range.1;
        let found = wanted.ranges.iter().find(holds).or(wanted.ranges.first());
        let (first, last) = found.copied().unwrap_or((at, at.offset(UNKNOWN_LEN)));
        let rows = symbols.rows_of(first, last);
        let mut start = first;
        if last.since(first) > want.most && at.since(first) > want.most / 2 {
            // Decoding begins at an instruction; the first of a line is one.
            let near = Addr(at.0 - want.most / 2);
            let row = rows.iter().rev().find(|row| row.start <= near);
            start = row.map_or(at, |row| row.start);
        }
        let end = last.min(start.offset(want.most));
        let cut = end < last || wanted.function.is_none();
        let read = end.since(start) + if cut { MAX_LEN as u64 - 1 } else { 0 };
        let mut insns = self.instructions(start, read, usize::MAX).await?;
        insns.retain(|insn| insn.addr < end);
        let after = insns.last().map_or(end, Insn::next);
        Ok(CodeView {
            want: CodeWant::default(),
            at,
            function: wanted.function,
            instructions: Arc::new(self.insn_answers(&symbols, insns, &rows)),
            before: start.since(first),
            after: last.0.saturating_sub(after.0),
            error: None,
        })
    }

    fn span_of(&self, symbols: &Symbols, part: &Part) -> Result<Wanted, Failure> {
        let at = match part {
            Part::Here if self.is_offline() => {
                return Err(Failure::Other(
                    "say what to disassemble: a function or *ADDRESS".into(),
                ));
            }
            Part::Here => self.selected_pc()?,
            Part::Function(text) => self.address(text)?,
            Part::Range(start, end) => {
                let (start, end) = (self.address(start)?, self.address(end)?);
                if end < start {
                    return Err(Failure::Other(format!("{end} comes before {start}")));
                }
                return Ok(Wanted { function: None, ranges: vec![(start, end)] });
            }
            Part::Length(start, len) => {
                let start = self.address(start)?;
                return Ok(Wanted { function: None, ranges: vec![(start, start.offset(*len))] });
            }
        };
        Ok(match symbols.function_at(at) {
            Some(function) if !function.ranges.is_empty() => {
                Wanted { function: Some(function.name), ranges: function.ranges }
            }
            _ => Wanted { function: None, ranges: vec![(at, at.offset(UNKNOWN_LEN))] },
        })
    }

    /// Instructions as the file has them, as many as there are.
    pub(super) fn file_instructions(
        &self,
        symbols: &Symbols,
        start: Addr,
        len: u64,
        count: usize,
    ) -> Result<Vec<Insn>, Failure> {
        // The range may reach past the end of its section.
        let fits = |len: &u64| symbols.file_code(start, *len as usize).is_some();
        let len = Some(len).filter(fits).or_else(|| {
            let (mut fit, mut over) = (0, len);
            while over - fit > 1 {
                let half = fit + (over - fit) / 2;
                if fits(&half) { fit = half } else { over = half }
            }
            (fit > 0).then_some(fit)
        });
        let bytes = len.and_then(|len| symbols.file_code(start, len as usize));
        let bytes =
            bytes.ok_or_else(|| Failure::Other(format!("the file has no code at {start}")))?;
        let name = |addr| symbols.describe_reference(addr);
        Ok(insn::decode(start, &bytes, count, self.settings.flavor, &name))
    }

    /// Instructions as answers; `rows` are the lines of all of them.
    pub(super) fn insn_answers(
        &self,
        symbols: &Symbols,
        insns: Vec<Insn>,
        rows: &[LineRow],
    ) -> Vec<InsnAnswer> {
        let current = self.selected_pc().ok();
        let answer = |insn: Insn| {
            let row = row_of(rows, insn.addr);
            InsnAnswer {
                address: insn.addr,
                symbol: symbols.describe(insn.addr),
                bytes: text::hex(&insn.bytes),
                current: current == Some(insn.addr),
                target: insn.refers_to,
                target_symbol: insn.refers_to.and_then(|at| symbols.describe_reference(at)),
                file: row.map(|row| row.file.name.clone()),
                line: row.map(|row| row.line),
                jump: insn.jump(),
                text: insn.text,
            }
        };
        insns.into_iter().map(answer).collect()
    }

    /// The source lines between instructions, as gdb's `/s` chooses them: the
    /// line of each run of instructions, with the lines before it that have
    /// no code of their own in the listing (gdb/disasm.c,
    /// `do_mixed_source_and_assembly`).
    /// Unlike there, an instruction whose line is no statement stands under
    /// its line too, not under the one before.
    fn source_runs(&self, symbols: &Symbols, insns: &[Insn], rows: &[LineRow]) -> Vec<SourceRun> {
        let mut with_code: BTreeMap<&SourceFile, BTreeSet<u32>> = BTreeMap::new();
        for row in insns.iter().filter_map(|insn| row_of(rows, insn.addr)) {
            with_code.entry(&row.file).or_default().insert(row.line);
        }
        let mut runs = Vec::new();
        let mut last: Option<(&SourceFile, u32)> = None;
        for (before, insn) in insns.iter().enumerate() {
            let Some(row) = row_of(rows, insn.addr) else { continue };
            let now = (&row.file, row.line);
            if last == Some(now) {
                continue;
            }
            let new_file = last.is_none_or(|(file, _)| file != &row.file);
            let mut first = row.line;
            if last.is_none() {
                let end = insns.last().map_or(insn.next(), Insn::next);
                let brace = symbols.first_line(insn.addr, end, &row.file);
                first = brace.filter(|&line| line > 0 && line < first).unwrap_or(first);
            }
            if let Some((_, line)) = last.filter(|_| !new_file)
                && row.line > line
            {
                let has_code = |line: &u32| with_code[&row.file].contains(line);
                let start = (line + 1..row.line).rev().find(has_code).unwrap_or(line);
                first = start + 1;
            }
            runs.push(SourceRun {
                before,
                file: row.file.name.clone(),
                short: row.file.short().to_owned(),
                new_file,
                first,
                lines: self.texts(&row.file, first, row.line),
            });
            last = Some(now);
        }
        runs
    }

    /// Lines of a file, as far as it is on this machine.
    fn texts(&self, file: &SourceFile, first: u32, last: u32) -> Vec<Option<String>> {
        let path = self.code.map(file).path;
        let text = path.and_then(|path| self.code.source_text(&path).ok());
        let line = |number: u32| Some(text.as_ref()?.line(number as usize)?.to_owned());
        (first..=last).map(line).collect()
    }
}

/// The row of an address, when it is of a line.
fn row_of(rows: &[LineRow], at: Addr) -> Option<&LineRow> {
    let after = rows.partition_point(|row| row.start <= at);
    rows[..after].last().filter(|row| at < row.end && row.line != 0)
}
