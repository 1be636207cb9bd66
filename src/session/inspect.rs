//! Questions that do not resume the guest, and their answers.

use super::{
    answer::{Answer, CodeAnswer, Failure, MatchAnswer},
    request::{Level, Request},
    run::Session,
    view::FramesEnd,
};
use crate::arch::insn::{Insn, MAX_LEN};
use crate::base::{addr::Addr, text};
use crate::eval::variables::Detail;
use crate::rsp::command::Command;
use crate::symbols::lookup::search::Found;

/// The most matches of a search that are listed.
const MOST_MATCHES: usize = 50;

/// The longest text `x/s` reads.
const LONGEST_TEXT: usize = 256;

impl Session {
    /// Answers a request that is not about running.
    pub(super) async fn answer(&mut self, request: Request) -> Result<Answer, Failure> {
        match request {
            Request::Break(kind, location) => self.set_breakpoint(kind, &location).await,
            Request::Toggle(location) => self.toggle(&location).await,
            Request::Delete(numbers) => {
                let unknown = self.points.delete(&numbers);
                self.changed_breakpoints(&unknown).await
            }
            Request::Enable(enabled, numbers) => {
                let unknown = self.points.enable(enabled, &numbers);
                self.changed_breakpoints(&unknown).await
            }
            Request::Breakpoints => Ok(Answer::Breakpoints { breakpoints: self.breakpoints() }),
            Request::Frame(level) => Ok(Answer::Frame { frame: self.select(level).await? }),
            Request::FrameBy(by) => {
                let now = self.stop.as_ref().map_or(0, |stop| stop.selected) as i64;
                let level = now.saturating_add(by);
                if level < 0 {
                    return Err(Failure::Other("this is the innermost frame".into()));
                }
                Ok(Answer::Frame { frame: self.select(level as usize).await? })
            }
            Request::Backtrace(limit) => self.backtrace(limit).await,
            Request::Registers(names) => self.registers(&names),
            Request::Arguments => {
                let variables = self.all_variables(Detail::Whole).await?;
                let variables = variables.into_iter().filter(|v| v.argument).collect();
                Ok(Answer::Variables { variables })
            }
            Request::Locals => {
                let variables = self.all_variables(Detail::Whole).await?;
                let variables = variables.into_iter().filter(|v| !v.argument).collect();
                Ok(Answer::Variables { variables })
            }
            Request::List(what) => self.list(&what),
            Request::Line(location) => self.line(&location),
            Request::Symbol(address) => self.symbol(&address),
            Request::Macro(name) => self.macro_definition(&name),
            Request::Disassemble(what) => self.disassemble(&what).await,
            Request::Search(text) => Ok(self.search(&text)),
            Request::Set(name, value) => self.set(&name, &value).await,
            Request::Show(name) => self.show(&name),
            Request::Examine(count, unit, format, address) => {
                self.examine(count, unit, format, &address).await
            }
            Request::Names(what, pattern) => self.names(what, &pattern),
            Request::SourceFiles(pattern) => self.source_files(&pattern),
            Request::Scope(location) => self.scope(&location),
            Request::Type(name, offsets) => self.type_of(&name, offsets),
            Request::WhatIs(name) => self.what_is(&name),
            Request::Modules => {
                if self.need_stopped().is_ok() {
                    self.read_modules().await?;
                }
                Ok(Answer::Modules { modules: self.modules.iter().map(|m| m.view()).collect() })
            }
            Request::Cpus => {
                self.need_stopped()?;
                Ok(Answer::Cpus { cpus: self.read_cpus().await? })
            }
            Request::Want(wants) => {
                self.want(wants);
                Ok(Answer::Done {})
            }
            Request::Target => Ok(Answer::Target(Box::new(self.target.clone()))),
            Request::Link => Ok(Answer::Link(self.link_view())),
            Request::Monitor(command) => self.monitor(&command).await,
            Request::Sections(path) => self.take_sections(&path).await,
            Request::TrustSymbols => self.trust_symbols().await,
            Request::Continue
            | Request::Step(..)
            | Request::RunTo(_)
            | Request::PassException
            | Request::BreakIn
            | Request::Wait(_)
            | Request::Leave(_) => Err(Failure::Other("this request resumes the guest".into())),
        }
    }

    async fn backtrace(&mut self, limit: Option<usize>) -> Result<Answer, Failure> {
        self.need_stopped()?;
        let wanted = limit.unwrap_or(usize::MAX);
        self.whole_stack(wanted.min(1000)).await?;
        self.all_arguments().await?;
        let Some(stop) = &self.stop else { return Err(Failure::Running) };
        let frames: Vec<_> = stop.frames.iter().take(wanted).cloned().collect();
        let cut = frames.len() < stop.frames.len();
        let (complete, end) = match &stop.frames_end {
            _ if cut => (false, "more frames follow".to_string()),
            FramesEnd::Complete(how) => (true, how.clone()),
            FramesEnd::Broken(why) => (false, why.clone()),
            FramesEnd::Reading => (false, "not read to its end".to_string()),
        };
        Ok(Answer::Frames { frames, complete, end })
    }

    fn registers(&self, names: &[String]) -> Result<Answer, Failure> {
        self.need_stopped()?;
        let registers = self.selected_registers().ok_or(Failure::Running)?;
        let values = if names.is_empty() {
            registers.iter().map(|(def, value)| (def.name.to_string(), value.map(Addr))).collect()
        } else {
            let mut values = Vec::new();
            for name in names {
                let register = registers
                    .arch
                    .reg(name)
                    .ok_or_else(|| Failure::Other(format!("no register '{name}'")))?;
                values.push((name.clone(), registers.get(register).map(Addr)));
            }
            values
        };
        Ok(Answer::Registers { registers: values })
    }

    pub(super) fn selected_pc(&self) -> Result<Addr, Failure> {
        self.need_stopped()?;
        self.selected_frame().map(|frame| frame.pc).ok_or(Failure::Running)
    }

    /// The definition of a macro, in gdb's words.
    fn macro_definition(&self, name: &str) -> Result<Answer, Failure> {
        let symbols = self.usable_symbols();
        let Some(found) = symbols.macro_named(name, self.selected_pc().ok()) else {
            let why = match symbols.has_macros() {
                true => format!("no file that the symbols know defines a macro {name}"),
                false => {
                    "the debug info has no macros; they need a kernel compiled with -g3".into()
                }
            };
            return Err(Failure::Other(why));
        };
        let place = match found.file {
            Some(file) => format!("Defined at {}:{}", file.name, found.line),
            None => "Defined by the compiler or on its command line".into(),
        };
        Ok(Answer::Text { text: format!("{place}\n#define {}", found.text) })
    }

    async fn examine(
        &mut self,
        count: u32,
        unit: u32,
        format: char,
        address: &str,
    ) -> Result<Answer, Failure> {
        let symbols = self.usable_symbols();
        if !(format == 'i' && self.is_offline()) {
            self.need_stopped()?;
        }
        let at = self.address(address)?;
        if format == 'i' {
            let len = u64::from(count) * MAX_LEN as u64;
            let insns = match self.is_offline() {
                true => self.file_instructions(&symbols, at, len, count as usize)?,
                false => self.instructions(at, len, count as usize).await?,
            };
            let end = insns.last().map_or(at, Insn::next);
            let rows = symbols.rows_of(at, end);
            let instructions = self.insn_answers(&symbols, insns, &rows);
            return Ok(Answer::Code(Box::new(CodeAnswer {
                instructions,
                ..CodeAnswer::default()
            })));
        }
        if format == 's' {
            let read = self.compute(move |_, memory| memory.c_string(at, LONGEST_TEXT)).await?;
            let value = read.map_err(|gap| Failure::Other(gap.to_string()))?;
            let shown = format!("{at}: \"{}\"", text::printable(&value));
            return Ok(Answer::Memory { address: at, unit: 1, values: vec![value], text: shown });
        }
        let len = count as usize * unit as usize;
        let read = self.compute(move |_, memory| memory.bytes(at, len)).await?;
        let bytes = read.map_err(|gap| Failure::Other(gap.to_string()))?;
        let values: Vec<String> = bytes
            .chunks_exact(unit as usize)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                formatted(u64::from_le_bytes(word), unit, format, |addr| symbols.describe(addr))
            })
            .collect();
        let per_row = match format {
            'a' => 1,
            _ => (16 / unit).max(1),
        } as usize;
        let rows = values.chunks(per_row).enumerate().map(|(row, values)| {
            let start = at.offset((row * per_row) as u64 * u64::from(unit));
            let name = symbols.describe(start).map_or(String::new(), |name| format!(" <{name}>"));
            format!("{start}{name}:\t{}", values.join("\t"))
        });
        let shown = rows.collect::<Vec<_>>().join("\n");
        Ok(Answer::Memory { address: at, unit, values, text: shown })
    }

    pub(super) async fn monitor(&mut self, text: &str) -> Result<Answer, Failure> {
        self.need_stopped()?;
        let command = Command::monitor(text).map_err(|error| Failure::Other(error.to_string()))?;
        self.wire.take_output();
        match self.wire.ask(command).await {
            Ok(_) => {
                let output = String::from_utf8_lossy(&self.wire.take_output()).replace('\r', "");
                Ok(Answer::Output { output })
            }
            Err(error) => Err(self.lost(error)),
        }
    }

    fn search(&self, text: &str) -> Answer {
        let found = self.code.search(&self.usable_symbols(), text, MOST_MATCHES);
        // Names that have the letters far apart are there by chance.
        let good = found.first().map_or(0, |best| best.score / 2);
        let found = found.into_iter().filter(|found| found.score >= good);
        let answer = |found: Found| MatchAnswer {
            name: found.name,
            kind: found.kind.word(),
            file: found.file,
            line: found.line,
            module: found.module,
            score: found.score,
        };
        Answer::Matches { matches: found.map(answer).collect() }
    }

    async fn trust_symbols(&mut self) -> Result<Answer, Failure> {
        self.options.trust_symbols = true;
        if self.target.matches != super::view::Match::Match {
            self.target.matches = super::view::Match::Trusted;
            self.say(
                Level::Warning,
                "symbols are shown although this vmlinux is not proven to be the guest's; they may be wrong".into(),
            );
        }
        if self.need_stopped().is_ok() {
            self.find_slide().await?;
            self.first_frame();
            self.look_at_task(&None).await?;
            self.look_for_new_modules(&None).await?;
            self.resolve_pending();
            self.reconcile().await?;
            self.panes.restart(self.options.eager);
        }
        self.touch();
        Ok(Answer::Done {})
    }
}

fn formatted(
    value: u64,
    unit: u32,
    format: char,
    describe: impl Fn(Addr) -> Option<String>,
) -> String {
    let width = unit as usize * 2;
    let shift = 64 - unit * 8;
    let signed = ((value << shift) as i64) >> shift;
    match format {
        'd' => signed.to_string(),
        'u' => value.to_string(),
        'o' => format!("0{value:o}"),
        'c' => match value as u8 {
            byte @ 0x20..=0x7e => format!("{signed} '{}'", byte as char),
            _ => format!("{signed} '\\{:03o}'", value as u8),
        },
        'a' => match describe(Addr(value)) {
            Some(name) => format!("0x{value:x} <{name}>"),
            None => format!("0x{value:x}"),
        },
        _ => format!("0x{value:0width$x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::formatted;

    #[test]
    fn formats_are_gdbs() {
        let plain = |value, unit, format| formatted(value, unit, format, |_| None);
        assert_eq!(plain(0xff, 1, 'x'), "0xff");
        assert_eq!(plain(0xff, 1, 'd'), "-1");
        assert_eq!(plain(0xff, 4, 'd'), "255");
        assert_eq!(plain(0xffff_ffff, 4, 'x'), "0xffffffff");
        assert_eq!(plain(8, 2, 'o'), "010");
        assert_eq!(plain(0x61, 1, 'c'), "97 'a'");
        assert_eq!(plain(0, 1, 'c'), "0 '\\000'");
        assert_eq!(formatted(0x10, 8, 'a', |_| Some("f+0x1".into())), "0x10 <f+0x1>");
    }
}
