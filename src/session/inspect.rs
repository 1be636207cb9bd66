//! Questions that do not resume the guest, and their answers.

use super::{
    answer::{Answer, Failure, InsnAnswer},
    breakpoints::Wish,
    code::source_line,
    request::{BreakKind, Level, Request},
    resolve::{self, Here},
    run::Session,
    view::{CodeBook, FramesEnd, State},
};
use crate::arch::insn::Insn;
use crate::base::{addr::Addr, text};
use crate::rsp::command::Command;
use crate::symbols::placed::Symbols;

/// Lines that `list` shows, as gdb does.
const LISTED: u32 = 10;

/// The most names that are listed.
const MOST_NAMES: usize = 1000;

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
            Request::Breakpoints => Ok(Answer::Breakpoints { breakpoints: self.points.views() }),
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
                let variables = self.all_variables().await?;
                let variables = variables.into_iter().filter(|v| v.argument).collect();
                Ok(Answer::Variables { variables })
            }
            Request::Locals => {
                let variables = self.all_variables().await?;
                let variables = variables.into_iter().filter(|v| !v.argument).collect();
                Ok(Answer::Variables { variables })
            }
            Request::List(location) => self.list(location.as_deref()),
            Request::Line(location) => self.line(&location),
            Request::Symbol(address) => {
                let addr = self.address(&address)?;
                let symbols = self.usable_symbols();
                let text = symbols
                    .describe(addr)
                    .ok_or_else(|| Failure::Other(format!("no symbol at {addr}")))?;
                Ok(Answer::Text { text })
            }
            Request::Macro(name) => self.macro_definition(&name),
            Request::Disassemble(location) => self.disassemble(location.as_deref()).await,
            Request::Examine(count, unit, format, address) => {
                self.examine(count, unit, format, &address).await
            }
            Request::Functions(needle) => {
                let names = self.usable_symbols().functions_matching(&needle, MOST_NAMES);
                Ok(Answer::Names { truncated: names.len() == MOST_NAMES, names })
            }
            Request::SourceFiles => {
                Ok(Answer::Names { names: self.usable_symbols().files(), truncated: false })
            }
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
            Request::Target => Ok(Answer::Target(Box::new(self.target.clone()))),
            Request::Link => Ok(Answer::Link(self.link_view())),
            Request::Monitor(command) => self.monitor(&command).await,
            Request::Sections(path) => self.take_sections(&path),
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

    async fn set_breakpoint(&mut self, kind: BreakKind, location: &str) -> Result<Answer, Failure> {
        let location = match location.trim() {
            "" => format!("*{}", self.selected_pc()?),
            // A line of the shown file must mean the same file later.
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => match self.selected_file() {
                Some(file) => format!("{file}:{digits}"),
                None => return Err(Failure::Other("no file is shown; write FILE:LINE".into())),
            },
            other => other.to_string(),
        };
        resolve::Location::parse(&location).map_err(Failure::Other)?;
        self.points.add(kind, location);
        self.resolve_pending();
        let number = self.points.wishes.last().map_or(0, |wish| wish.number);
        // A function that is nowhere may come with a module; a file and line
        // as well. An address that makes no sense never will.
        let wish = self.points.wishes.last();
        if let Some(Wish { location, pending: Some(why), .. }) = wish
            && location.starts_with('*')
        {
            let why = why.clone();
            self.points.delete(&[number]);
            return Err(Failure::Other(why));
        }
        self.plant().await?;
        self.breakpoints_answer(&[number])
    }

    async fn toggle(&mut self, location: &str) -> Result<Answer, Failure> {
        let places = self.resolve_sites(location).map_err(Failure::Other)?;
        let there: Vec<u32> = self
            .points
            .wishes
            .iter()
            .filter(|wish| wish.sites.iter().any(|s| places.iter().any(|p| p.addr == s.addr)))
            .map(|wish| wish.number)
            .collect();
        if there.is_empty() {
            return self.set_breakpoint(BreakKind::Kept, location).await;
        }
        self.points.delete(&there);
        self.changed_breakpoints(&[]).await
    }

    async fn changed_breakpoints(&mut self, unknown: &[u32]) -> Result<Answer, Failure> {
        self.plant().await?;
        match unknown {
            [] => Ok(Answer::Breakpoints { breakpoints: self.points.views() }),
            _ => {
                let numbers: Vec<_> = unknown.iter().map(u32::to_string).collect();
                Err(Failure::Other(format!("no breakpoint {}", numbers.join(", "))))
            }
        }
    }

    /// Plants now when the guest is stopped; else at the next stop.
    async fn plant(&mut self) -> Result<(), Failure> {
        self.touch();
        if self.need_stopped().is_ok() { self.reconcile().await } else { Ok(()) }
    }

    fn breakpoints_answer(&self, numbers: &[u32]) -> Result<Answer, Failure> {
        let views = self.points.views().into_iter().filter(|b| numbers.contains(&b.number));
        Ok(Answer::Breakpoints { breakpoints: views.collect() })
    }

    /// Looks again for places of wishes that have none.
    pub(super) fn resolve_pending(&mut self) {
        let proven = self.may_resolve();
        for index in 0..self.points.wishes.len() {
            if !self.points.wishes[index].sites.is_empty() {
                continue;
            }
            let location = self.points.wishes[index].location.clone();
            let found = match proven {
                Ok(()) => self.resolve_sites(&location),
                Err(why) if !location.starts_with("*0x") => Err(why.to_string()),
                Err(_) => self.resolve_sites(&location),
            };
            let wish = &mut self.points.wishes[index];
            match found {
                Ok(sites) => {
                    wish.sites = sites;
                    wish.pending = None;
                }
                Err(why) => wish.pending = Some(why),
            }
        }
        self.touch();
    }

    /// Whether names can be turned into addresses of the guest.
    fn may_resolve(&self) -> Result<(), &'static str> {
        use super::view::Match;
        if matches!(self.state, State::Offline) {
            return Ok(());
        }
        match self.target.matches {
            Match::Match | Match::Trusted if self.symbols_loading() => {
                Err("waits for the symbols to be loaded")
            }
            Match::Match | Match::Trusted => Ok(()),
            Match::Mismatch => Err("the vmlinux is not the guest's (trust-symbols overrides)"),
            Match::Unknown => Err("waits for the first stop, to prove the vmlinux"),
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

    /// Symbols for questions: the guest's when they are proven; without a
    /// guest, the file's own.
    fn usable_symbols(&self) -> Symbols {
        match self.state {
            State::Offline => self.code.symbols(),
            _ => self.guest_symbols(),
        }
    }

    fn here<'a>(
        file: &'a Option<String>,
        registers: &'a Option<crate::arch::Registers>,
    ) -> Here<'a> {
        Here { file: file.as_deref(), registers: registers.as_ref() }
    }

    fn address(&self, text: &str) -> Result<Addr, Failure> {
        let (file, registers) = (self.selected_file(), self.selected_registers());
        let here = Session::here(&file, &registers);
        resolve::one(&self.usable_symbols(), text, here).map_err(Failure::Other)
    }

    fn selected_pc(&self) -> Result<Addr, Failure> {
        self.need_stopped()?;
        self.selected_frame().map(|frame| frame.pc).ok_or(Failure::Running)
    }

    fn list(&self, location: Option<&str>) -> Result<Answer, Failure> {
        let (file, line) = match location {
            Some(location) => {
                let (file, registers) = (self.selected_file(), self.selected_registers());
                let here = Session::here(&file, &registers);
                source_line(&self.usable_symbols(), location, here).map_err(Failure::Other)?
            }
            None => {
                let pc = self.selected_frame().map(|frame| frame.pc).ok_or(Failure::Running)?;
                let level = self.stop.as_ref().map_or(0, |stop| stop.selected);
                self.line_of_frame(level).ok_or_else(|| {
                    Failure::Other(format!("the selected frame at {pc} has no source line"))
                })?
            }
        };
        let mapped = self.code.map(&file);
        let Some(path) = mapped.path else { return Err(Failure::Other(mapped.note)) };
        let source = self.code.text(&path).map_err(Failure::Other)?;
        let first = line.saturating_sub(LISTED / 2).max(1);
        let texts = (first..first + LISTED).map_while(|n| source.line(n as usize));
        let lines = texts.map(str::to_string).collect();
        Ok(Answer::Source { file: file.name, path: Some(path), first, lines, line })
    }

    fn line(&self, location: &str) -> Result<Answer, Failure> {
        let symbols = self.usable_symbols();
        let (file, registers) = (self.selected_file(), self.selected_registers());
        let sites = match resolve::Location::parse(location).map_err(Failure::Other)? {
            resolve::Location::Function(_) | resolve::Location::Address(_) => {
                vec![resolve::site(&symbols, self.address(location)?)]
            }
            _ => resolve::sites(&symbols, location, Session::here(&file, &registers))
                .map_err(Failure::Other)?,
        };
        let first = sites.first();
        Ok(Answer::Line {
            file: first.and_then(|site| site.file.clone()),
            line: first.and_then(|site| site.line),
            function: first.and_then(|site| site.function.clone()),
            addresses: sites.iter().map(|site| site.addr).collect(),
        })
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

    async fn disassemble(&mut self, location: Option<&str>) -> Result<Answer, Failure> {
        /// A longer function is shown in part.
        const MOST_BYTES: u64 = 16 * 1024;
        let at = match location {
            Some(text) => self.address(text)?,
            None => self.selected_pc()?,
        };
        self.need_stopped()?;
        let symbols = self.guest_symbols();
        let (start, len) = match symbols.symbol_at(at) {
            Some(symbol) if symbol.size > 0 => (symbol.start, symbol.size.min(MOST_BYTES)),
            _ => (at, 64),
        };
        let insns = self.instructions(start, len, usize::MAX).await?;
        Ok(self.code_answer(insns))
    }

    fn code_answer(&self, insns: Vec<Insn>) -> Answer {
        let symbols = self.guest_symbols();
        let current = self.selected_pc().ok();
        let answer = |insn: Insn| InsnAnswer {
            address: insn.addr,
            symbol: symbols.describe(insn.addr),
            bytes: text::hex(&insn.bytes),
            current: current == Some(insn.addr),
            text: insn.text,
        };
        Answer::Code { instructions: insns.into_iter().map(answer).collect() }
    }

    async fn examine(
        &mut self,
        count: u32,
        unit: u32,
        format: char,
        address: &str,
    ) -> Result<Answer, Failure> {
        self.need_stopped()?;
        let at = self.address(address)?;
        if format == 'i' {
            let insns = self.instructions(at, u64::from(count) * 15, count as usize).await?;
            return Ok(self.code_answer(insns));
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
        let symbols = self.guest_symbols();
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
