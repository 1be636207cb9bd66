//! Questions that do not resume the guest, and their answers.

use super::{
    answer::{Answer, Failure},
    request::{Breaking, Level, Request},
    run::Session,
    view::FramesEnd,
};
use crate::base::addr::Addr;
use crate::eval::variables::Detail;
use crate::rsp::command::Command;

/// The most matches of a search that are listed.
const MOST_MATCHES: usize = 50;

impl Session {
    /// Answers a request that is not about running.
    pub(super) async fn answer(&mut self, request: Request) -> Result<Answer, Failure> {
        if self.need_stopped().is_ok() && !request.is_beside_registers() {
            self.know_registers().await?;
        }
        match request {
            Request::Break(asked) => {
                let location = self.located(&asked.location).await?;
                self.set_breakpoint(Breaking { location, ..asked }).await
            }
            Request::Watch(asked) => self.set_watch(asked).await,
            Request::Adjust(what) => self.adjust(what).await,
            Request::Printf(text) => self.printf(&text).await,
            Request::Catch(kind, catch) => self.set_catch(kind, catch).await,
            Request::CatchCrash(kind, event) => self.set_crash_catch(kind, event).await,
            Request::Crash => self.crash_answer().await,
            Request::Skip => self.skip().await,
            Request::Reboot { confirmed } => self.reboot(confirmed).await,
            Request::Toggle(location) => self.toggle(&location).await,
            Request::Delete(numbers) => {
                let numbers = self.points.numbered(&numbers);
                let unknown = self.points.delete(&numbers);
                self.changed_breakpoints(&unknown).await
            }
            Request::Enable(enabled, numbers) => {
                let numbers = self.points.numbered(&numbers);
                let unknown = self.points.enable(enabled, &numbers);
                if let Err(full) = self.need_debug_registers() {
                    self.points.enable(false, &numbers);
                    return Err(full);
                }
                self.changed_breakpoints(&unknown).await
            }
            Request::Breakpoints => Ok(self.breakpoints_answer_all()),
            Request::Frame(level) => {
                Ok(Answer::Frame { frame: Box::new(self.select(level).await?) })
            }
            Request::FrameBy(by) => {
                let now = self.stop.as_ref().map_or(0, |stop| stop.selected) as i64;
                let level = now.saturating_add(by);
                if level < 0 {
                    return Err(Failure::Other("this is the innermost frame".into()));
                }
                Ok(Answer::Frame { frame: Box::new(self.select(level as usize).await?) })
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
            Request::List(what) => {
                let what = self.located_listing(what).await?;
                self.list(&what)
            }
            Request::Line(location) => {
                let location = self.located(&location).await?;
                self.line(&location)
            }
            Request::Symbol(address) => self.symbol_of(&address).await,
            Request::Macro(name) => self.macro_definition(&name),
            Request::Disassemble(what) => {
                let what = self.located_code(what).await?;
                self.disassemble(&what).await
            }
            Request::Search(text) => Ok(self.search(&text)),
            Request::Set(name, value) => self.set(&name, &value).await,
            Request::Show(name) => self.show(&name),
            Request::Examine(asked) => self.examine(&asked).await,
            Request::Elements(asked) => self.elements(&asked).await,
            Request::Print(asked) => self.print(&asked).await,
            Request::Names(what, pattern) => self.names(what, &pattern),
            Request::SourceFiles(pattern) => self.source_files(&pattern),
            Request::Scope(location) => self.scope(&location),
            Request::Type(name, offsets) => self.type_of(&name, offsets).await,
            Request::WhatIs(name) => self.what_is(&name).await,
            Request::Modules => {
                if self.need_stopped().is_ok() {
                    self.look_for_new_modules(&None).await?;
                    self.look_for_files_again().await?;
                    self.read_usage(usize::MAX).await?;
                }
                if self.modules.is_empty() {
                    self.need_modules()?;
                }
                Ok(Answer::Modules { modules: self.modules.iter().map(|m| m.view()).collect() })
            }
            Request::Module(name) => self.module_details(&name).await,
            Request::Cpus => {
                self.need_stopped()?;
                Ok(Answer::Cpus { cpus: self.read_cpus().await? })
            }
            Request::Cpu(cpu) => self.choose_cpu(cpu).await,
            Request::Task(pid) => self.choose_task(pid).await,
            Request::Want(wants) => {
                self.want(wants);
                Ok(Answer::Done {})
            }
            Request::Replay => self.replay_answer(),
            Request::Target => Ok(Answer::Target(Box::new(self.target.clone()))),
            Request::Kgdb => self.kgdb_answer().await,
            Request::Config(pattern) => self.config_answer(&pattern).await,
            Request::Packets(ask) => Ok(self.packets_answer(&ask)),
            Request::Console(bytes) => self.type_on_console(&bytes),
            Request::Tell(level, text) => {
                self.say(level, text);
                Ok(Answer::Done {})
            }
            Request::Bytes(start, len) => self.raw_memory(start, len).await,
            Request::WriteBytes(addr, bytes) => self.write_bytes(addr, &bytes).await,
            Request::WriteRegister(name, value) => {
                self.write_register(&name, value).await?;
                self.changed_guest();
                Ok(Answer::Done {})
            }
            Request::StopRegisters => self.stop_registers(),
            Request::Link => Ok(Answer::Link(self.link_view())),
            Request::Monitor(command) => self.monitor(&command).await,
            Request::Sections(path) => self.take_sections(&path).await,
            Request::AddSymbolFile(text) => self.add_symbol_file(&text).await,
            Request::RemoveSymbolFile(text) => self.remove_symbol_file(&text).await,
            Request::TrustSymbols => self.trust_symbols().await,
            Request::Continue
            | Request::Step(..)
            | Request::RunTo(..)
            | Request::Jump { .. }
            | Request::PassException
            | Request::Tasks { .. }
            | Request::Stacks(_)
            | Request::Dmesg(_)
            | Request::Snapshot(_)
            | Request::BreakIn
            | Request::BreakInByShell
            | Request::CancelBreakIn
            | Request::Plant
            | Request::Wait(_)
            | Request::ReplayTo(_)
            | Request::Leave(_) => {
                // The loop does these itself.
                Err(Failure::Other("this request takes more than one answer's time".into()))
            }
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
        let matches = self.code.matches(&self.usable_symbols(), text, MOST_MATCHES);
        // Names that have the letters far apart are there by chance.
        let good = matches.first().map_or(0, |best| best.score / 2);
        Answer::Matches { matches: matches.into_iter().filter(|one| one.score >= good).collect() }
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
            self.look_for_files_again().await?;
            self.resolve_pending();
            self.reconcile().await?;
            self.panes.restart(self.options.eager);
        }
        self.touch();
        Ok(Answer::Done {})
    }
}
