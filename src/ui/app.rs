//! Everything the screen knows, as plain data.

use super::layout::{Arrangement, Layout, PaneId, WANTED, Wanted, arrange};
use super::list::List;
use super::palette::item::Item;
use super::panes::log::Kind;
use super::panes::{
    breakpoints, console, cpus, disassembly, dmesg, log, memory, modules, packets, registers,
    source, stack, tasks, tree,
};
use super::popups::Popup;
use super::remember::Remembered;
use super::tour::Tour;
use crate::command::script::Step;
use crate::config::actions::Action;
use crate::config::key::Key;
use crate::config::keymap::{Keymap, Scope};
use crate::config::settings::Settings;
use crate::config::theme::{Terminal, Theme};
use crate::session::kept::Kept;
use crate::session::request::Level;
use crate::session::view::{CodeBook, State, StopView, View};
use crate::session::wants::{Piece, Wants};
use crate::ui::edit::History;
use ratatui::layout::Rect;
use std::{collections::VecDeque, sync::Arc, time::Instant};

/// A key for the guest that came too early.
#[derive(Debug, Clone, Copy)]
pub struct Queued {
    /// The command of the key.
    pub line: &'static str,
    /// Whether it was pressed at a stop that was on screen already: then it is done
    /// whatever that stop is. Else only when the guest stops as after a step.
    pub seen: bool,
}

/// The state of the screen. Only [`super::update::update`] writes it, only
/// [`super::view::draw`] shows it.
pub struct App {
    /// The colours.
    pub theme: Theme,
    /// What the terminal tells of itself.
    pub terminal: Terminal,
    /// What the files of settings say.
    pub settings: Settings,
    /// The keys.
    pub keymap: Keymap,
    /// Questions about code that need no guest.
    pub book: Arc<dyn CodeBook>,
    /// When the program started.
    pub started: Instant,
    /// The time of the last message.
    pub now: Instant,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// What the session shows.
    pub view: Option<Arc<View>>,
    /// Panes, the focused one first, then by when they had the keys.
    pub recent: Vec<PaneId>,
    /// Which layout, and the sizes of its parts.
    pub layout: Layout,
    /// Whether the focused pane fills the screen.
    pub zoom: bool,
    /// The source pane.
    pub source: source::Source,
    /// The stack pane.
    pub stack: stack::Stack,
    /// The variables pane.
    pub variables: tree::Tree,
    /// The watch pane.
    pub watches: tree::Tree,
    /// The registers pane.
    pub registers: registers::Registers,
    /// The breakpoints pane.
    pub breakpoints: breakpoints::Breakpoints,
    /// The tasks pane.
    pub tasks: tasks::Tasks,
    /// The CPUs pane.
    pub cpus: cpus::Cpus,
    /// The modules pane.
    pub modules: modules::Modules,
    /// The memory pane.
    pub memory: memory::Memory,
    /// The packets pane.
    pub packets: packets::Packets,
    /// The dmesg pane.
    pub dmesg: dmesg::Dmesg,
    /// The disassembly pane.
    pub disassembly: disassembly::Disassembly,
    /// What the session was told that the panes want.
    pub wanted: Wants,
    /// The console pane.
    pub console: console::Console,
    /// The log pane.
    pub log: log::Log,
    /// The border that the mouse moves, by its number.
    pub dragged: Option<usize>,
    /// What lies over the panes.
    pub popup: Popup,
    /// Commands that come one after another and are still to be done.
    pub script: VecDeque<Step>,
    /// The stop whose breakpoint's commands were done last.
    pub done_at: u64,
    /// Whether those of the next stop are left out: the user interrupted.
    pub no_commands: bool,
    /// Keys that began a sequence, until it is whole.
    pub pending: Vec<Key>,
    /// What was chosen in the palette, the last first.
    pub chosen: VecDeque<Item>,
    /// Lines typed before.
    pub history: History,
    /// Where it is written down what the screen remembers.
    pub kept: Option<Kept>,
    /// What was written down last.
    pub remembered: Remembered,
    /// The last message, until a key is pressed after it.
    pub message: Option<(Level, String)>,
    /// When a key resumed the guest, until that is answered. The view shows a
    /// step that is this young as still stopped, so that it does not flicker.
    pub resumed: Option<Instant>,
    /// The stop that key was pressed at.
    pub resumed_from: u64,
    /// What was pressed while a key that resumed the guest was not answered.
    pub queued: Option<Queued>,
    /// Whether the system wants the program to end: no more questions.
    pub must_end: bool,
    /// What tells a newcomer what to press.
    pub tour: Option<Tour>,
}

impl App {
    /// A screen with nothing on it yet.
    pub fn new(book: Arc<dyn CodeBook>, theme: Theme, now: Instant) -> App {
        App {
            theme,
            terminal: Terminal::default(),
            settings: Settings::default(),
            keymap: Keymap::default(),
            book,
            started: now,
            now,
            size: (0, 0),
            view: None,
            recent: WANTED.to_vec(),
            layout: Layout::default(),
            zoom: false,
            source: source::Source::default(),
            stack: stack::Stack::default(),
            variables: tree::Tree::new(tree::Kind::Variables),
            watches: tree::Tree::new(tree::Kind::Watches),
            registers: registers::Registers::default(),
            breakpoints: breakpoints::Breakpoints::default(),
            tasks: tasks::Tasks::default(),
            cpus: cpus::Cpus::default(),
            modules: modules::Modules::default(),
            memory: memory::Memory::default(),
            packets: packets::Packets::default(),
            dmesg: dmesg::Dmesg::default(),
            disassembly: disassembly::Disassembly::default(),
            wanted: Wants::default(),
            console: console::Console::default(),
            log: log::Log::default(),
            dragged: None,
            popup: Popup::None,
            script: VecDeque::new(),
            done_at: 0,
            no_commands: false,
            pending: Vec::new(),
            chosen: VecDeque::new(),
            history: History::default(),
            kept: None,
            remembered: Remembered::default(),
            message: None,
            resumed: None,
            resumed_from: 0,
            queued: None,
            must_end: false,
            tour: None,
        }
    }

    /// The pane that has the keys.
    pub fn focus(&self) -> PaneId {
        self.recent.first().copied().unwrap_or(PaneId::Source)
    }

    /// Gives a pane the keys.
    pub fn give_focus(&mut self, pane: PaneId) {
        if pane != PaneId::Console && self.console.typing {
            self.console.type_into(false);
        }
        self.recent.retain(|other| *other != pane);
        self.recent.insert(0, pane);
    }

    /// Where everything is.
    pub fn arrangement(&self) -> Arrangement {
        arrange(Wanted {
            size: self.size,
            layout: &self.layout,
            recent: &self.recent,
            zoom: self.zoom,
            tour: self.tour.as_ref().map_or(0, |tour| tour.rows(self.size.0)),
        })
    }

    /// What holds for keys now, what wins first.
    pub fn scopes(&self) -> Vec<Scope> {
        let own: &[Scope] = match self.focus() {
            PaneId::Source if self.source.search.is_some() => &[Scope::Searching, Scope::Source],
            PaneId::Source => &[Scope::Source],
            PaneId::Stack => &[Scope::Stack],
            PaneId::Registers => &[Scope::Registers],
            PaneId::Variables => &[Scope::Values],
            PaneId::Watches => &[Scope::Watches, Scope::Values],
            PaneId::Breakpoints => &[Scope::Breakpoints],
            PaneId::Tasks => &[Scope::Tasks],
            PaneId::Cpus => &[Scope::Cpus],
            PaneId::Modules => &[Scope::Modules],
            PaneId::Memory => &[Scope::Memory],
            PaneId::Disassembly => &[Scope::Disassembly],
            PaneId::Dmesg => &[Scope::Dmesg],
            PaneId::Packets => &[Scope::Packets],
            PaneId::Log => &[Scope::Log],
            PaneId::Console => &[Scope::Console],
        };
        [own, &[Scope::Everywhere]].concat()
    }

    /// The first `most` keys that do `action` now, as text; empty when it has
    /// none.
    pub fn keys(&self, action: Action, most: usize) -> String {
        self.keymap.keys(action, &self.scopes(), most)
    }

    /// What the guest does, as far as is known.
    pub fn state(&self) -> &State {
        self.view.as_ref().map_or(&State::Offline, |view| &view.state)
    }

    /// The last stop.
    pub fn stop(&self) -> Option<&StopView> {
        self.view.as_ref()?.stop.as_deref()
    }

    /// A key resumes the guest now.
    pub fn note_resume(&mut self) {
        self.resumed = Some(self.now);
        self.resumed_from = self.stop().map_or(0, |stop| stop.generation);
    }

    /// Whether the stop is on screen that ends what a key began, and the answer to
    /// that key is on its way: a slow line still reads what belongs to it.
    pub fn shows_next_stop(&self) -> bool {
        let is_next = |stop: &StopView| stop.generation > self.resumed_from;
        self.resumed.is_some() && self.state().is_stopped() && self.stop().is_some_and(is_next)
    }

    /// What the panes on screen want of a stop.
    pub fn wants(&self) -> Wants {
        let mut wants = Wants { first: piece_of(self.focus()), ..Wants::default() };
        for slot in self.arrangement().slots {
            match slot.pane {
                PaneId::Variables => {
                    wants.variables = true;
                    wants.open.extend(self.variables.open.iter().cloned());
                }
                PaneId::Watches => {
                    wants.watches = self.watches.watches.clone();
                    wants.open.extend(self.watches.open.iter().cloned());
                }
                PaneId::Tasks => wants.tasks = Some(self.tasks.want()),
                PaneId::Cpus => wants.cpus = true,
                PaneId::Modules => wants.modules = true,
                PaneId::Memory => wants.memory = self.memory.want(),
                PaneId::Packets => wants.packets = true,
                PaneId::Dmesg => wants.dmesg = Some(self.dmesg.want()),
                PaneId::Disassembly => wants.code = Some(self.disassembly.want()),
                _ => {}
            }
        }
        if let Popup::Palette(palette) = &self.popup
            && let Some(tasks) = palette.tasks(self.view.as_deref())
        {
            wants.tasks = Some(tasks);
            wants.first = Some(Piece::Tasks);
        }
        wants
    }

    /// Where popups may lie: all but the rows at the bottom.
    pub fn screen(&self) -> Rect {
        Rect::new(0, 0, self.size.0, self.arrangement().status.y)
    }

    /// Shows a message and keeps it in the log.
    pub fn say(&mut self, level: Level, text: &str) {
        let at = self.now.duration_since(self.started);
        self.log.push(at, Kind::Message(level), text);
        // What it helps with is to be read first; the log has both.
        if level != Level::Hint {
            self.message = Some((level, text.lines().collect::<Vec<_>>().join(" ")));
        }
    }

    /// Shows a message that is not worth keeping.
    pub fn say_only(&mut self, level: Level, text: &str) {
        self.message = Some((level, text.to_string()));
    }

    /// Keeps text in the log.
    pub fn note(&mut self, kind: Kind, text: &str) {
        let at = self.now.duration_since(self.started);
        self.log.push(at, kind, text);
    }

    /// Tells the panes how many rows they have now.
    pub fn settle(&mut self) {
        let screen = self.screen();
        if let Popup::Palette(palette) = &mut self.popup {
            palette.fit(screen);
        }
        for slot in self.arrangement().slots {
            let inside = slot.inside();
            let height = usize::from(inside.height);
            let rows = self.registers.rows(self.stop(), inside.width);
            if slot.pane == PaneId::Registers {
                self.registers.width = inside.width;
            }
            if slot.pane == PaneId::Source {
                self.source.width = inside.width;
            }
            if slot.pane == PaneId::Console {
                self.console.fit(inside.width, height);
                continue;
            }
            if slot.pane == PaneId::Memory {
                self.memory.width = inside.width;
            }
            let list = self.list_of(slot.pane);
            let len = if slot.pane == PaneId::Registers { rows } else { list.len };
            let grown = list.height < height;
            list.fit(len, height);
            if grown && slot.pane == PaneId::Source {
                list.show(list.cursor);
            }
        }
    }

    /// The rows of a pane: its cursor, and what part of them is seen.
    pub fn list_of(&mut self, pane: PaneId) -> &mut List {
        match pane {
            PaneId::Source => &mut self.source.list,
            PaneId::Console => &mut self.console.list,
            PaneId::Log => &mut self.log.list,
            PaneId::Stack => &mut self.stack.list,
            PaneId::Variables => &mut self.variables.list,
            PaneId::Watches => &mut self.watches.list,
            PaneId::Tasks => &mut self.tasks.list,
            PaneId::Cpus => &mut self.cpus.list,
            PaneId::Modules => &mut self.modules.list,
            PaneId::Memory => &mut self.memory.list,
            PaneId::Disassembly => &mut self.disassembly.list,
            PaneId::Dmesg => &mut self.dmesg.list,
            PaneId::Packets => &mut self.packets.list,
            PaneId::Registers => &mut self.registers.list,
            PaneId::Breakpoints => &mut self.breakpoints.list,
        }
    }
}

/// What is read for a pane, where that is more than what every stop has.
fn piece_of(pane: PaneId) -> Option<Piece> {
    match pane {
        PaneId::Stack => Some(Piece::Frames),
        PaneId::Variables | PaneId::Watches => Some(Piece::Tree),
        PaneId::Disassembly => Some(Piece::Code),
        PaneId::Memory => Some(Piece::Memory),
        PaneId::Cpus => Some(Piece::Cpus),
        PaneId::Modules => Some(Piece::Modules),
        PaneId::Tasks => Some(Piece::Tasks),
        PaneId::Dmesg => Some(Piece::Dmesg),
        PaneId::Source
        | PaneId::Registers
        | PaneId::Breakpoints
        | PaneId::Console
        | PaneId::Packets
        | PaneId::Log => None,
    }
}
