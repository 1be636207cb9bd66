//! Registers of the selected frame. What differs from the stop before has a
//! `*` and is bold; what is not known is `—`.

use super::{Look, Outcome};
use crate::arch::{self, RegisterDef, x86_64};
use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::view::{StopView, View};
use crate::ui::list::List;
use crate::ui::pen::{Pen, clip};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};

/// What the pane keeps.
#[derive(Debug, Default)]
pub struct Registers {
    /// The row the cursor is on.
    pub list: List,
    /// The register in that row.
    column: usize,
    /// Whether each has a row of its own, with what it points at.
    long: bool,
    /// Columns of the pane.
    pub width: u16,
}

/// Columns of one register: name, sign, sixteen digits, a gap.
const CELL: usize = 23;

impl Registers {
    /// How many rows there are in a pane this wide: the grid, then pc, flags
    /// and the small registers in two rows; or one for each register.
    pub fn rows(&self, stop: Option<&StopView>, width: u16) -> usize {
        stop.map_or(0, |stop| self.layout(stop, width).len())
    }

    /// The registers of each row.
    fn layout(&self, stop: &StopView, width: u16) -> Vec<Vec<&'static RegisterDef>> {
        let arch = stop.registers.arch;
        let (grid, small) = split(stop);
        let (pc, flags) = (arch.def(arch.pc), arch.def(arch.flags));
        if self.long {
            return grid.into_iter().chain([pc, flags]).chain(small).map(|def| vec![def]).collect();
        }
        let mut rows: Vec<_> = grid.chunks(columns(width)).map(<[_]>::to_vec).collect();
        // Where there is room the flags stand beside the pc.
        if width >= WIDE {
            rows.extend([vec![pc, flags], small]);
        } else {
            rows.extend([vec![pc], [vec![flags], small].concat()]);
        }
        rows
    }

    /// The register the cursor is on.
    fn chosen(&self, stop: &StopView) -> Option<&'static RegisterDef> {
        let rows = self.layout(stop, self.width);
        let row = rows.get(self.list.cursor)?;
        row.get(self.column).or(row.last()).copied()
    }

    /// The value at the cursor, as one wants it elsewhere.
    pub fn cursor_value(&self, view: Option<&View>) -> Option<String> {
        let stop = view?.stop.as_deref()?;
        value(stop, self.chosen(stop)?).0.map(|value| format!("{value:#x}"))
    }

    /// What the register at the cursor points at, for the title of the pane
    /// that has the keys.
    pub fn note(&self, stop: Option<&StopView>) -> String {
        let chosen = stop.and_then(|stop| Some((stop, self.chosen(stop)?)));
        let Some((stop, def)) = chosen.filter(|_| !self.long) else { return String::new() };
        match (stop.register_names.get(def.name), value(stop, def).0) {
            (Some(name), _) => format!("{} → {}", def.name, printable(name)),
            (None, number) => number
                .and_then(decimal)
                .map_or(String::new(), |number| format!("{} = {number}", def.name)),
        }
    }

    /// Puts the cursor on the register at a column of its row.
    pub fn point(&mut self, column: u16) -> bool {
        let cell = usize::from(column) / CELL;
        std::mem::replace(&mut self.column, cell) == cell
    }

    /// Does what a key asks.
    pub fn act(&mut self, action: Action, view: Option<&View>) -> Option<Outcome> {
        let stop = view.and_then(|view| view.stop.as_deref());
        let in_row =
            stop.and_then(|stop| self.layout(stop, self.width).get(self.list.cursor).map(Vec::len));
        let last = in_row.unwrap_or(1).max(1) - 1;
        match action {
            Action::Left => self.column = self.column.min(last).saturating_sub(1),
            Action::Right => self.column = (self.column + 1).min(last),
            Action::CycleUnit => {
                let chosen = stop.and_then(|stop| self.chosen(stop));
                self.long = !self.long;
                self.column = 0;
                if let Some((stop, def)) = stop.zip(chosen) {
                    self.show(stop, def);
                }
            }
            Action::Open | Action::ShowWhole | Action::Edit | Action::Watch | Action::MemoryAt => {
                let stop = stop?;
                let def = self.chosen(stop)?;
                let name = format!("${}", def.name);
                return Some(match (action, value(stop, def).0) {
                    (Action::Watch, _) => Outcome::Watch(name),
                    (Action::MemoryAt, _) => Outcome::Memory(name),
                    (Action::Edit, Some(now)) => {
                        Outcome::Command(format!("set var {name} = {now:#x}"))
                    }
                    (Action::Edit, None) => {
                        Outcome::Say(format!("{} is not known in this frame", def.name))
                    }
                    _ => Outcome::Text("Register", told(stop, def)),
                });
            }
            action => {
                self.list.act(action);
            }
        }
        None
    }

    /// Puts the cursor on a register.
    fn show(&mut self, stop: &StopView, def: &RegisterDef) {
        let rows = self.layout(stop, self.width);
        let place = rows
            .iter()
            .enumerate()
            .find_map(|(row, defs)| Some((row, defs.iter().position(|own| own.name == def.name)?)));
        self.list.fit(rows.len(), self.list.height);
        if let Some((row, column)) = place {
            self.list.show(row);
            self.column = column;
        }
    }

    /// Draws the registers.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let Some(stop) = look.view.and_then(|view| view.stop.as_ref()) else {
            return look.placeholder(buffer, area, "known at the first stop");
        };
        let rows = self.layout(stop, area.width);
        let (pc, flags) = (stop.registers.arch.pc, stop.registers.arch.flags);
        let [pc, flags] = [pc, flags].map(|reg| stop.registers.arch.def(reg).name);
        let chosen = self.chosen(stop).filter(|_| look.focused).map(|def| def.name);
        for (row, index) in self.list.seen().enumerate() {
            let mut pen = Pen::new(buffer, area, row as u16);
            for def in rows.get(index).into_iter().flatten() {
                let here = chosen == Some(def.name);
                if def.name == flags && !self.long {
                    draw_flags(&mut pen, stop, here, look);
                    continue;
                }
                draw_register(&mut pen, stop, def, here, look);
                if self.long {
                    pen.put(&clip(&meaning(stop, def), pen.room()), look.style(Role::Type));
                } else if def.name == pc {
                    draw_place(&mut pen, stop, look);
                }
            }
        }
    }
}

/// A number as people count; an address of the kernel's is none, unless it is
/// a small number below zero.
fn decimal(value: u64) -> Option<String> {
    let signed = value as i64;
    (signed >= -0x10000).then(|| signed.to_string())
}

/// What a register's value means: what it points at, the flags that are set,
/// else the number as people count.
fn meaning(stop: &StopView, def: &RegisterDef) -> String {
    let arch = stop.registers.arch;
    match (stop.register_names.get(def.name), value(stop, def).0) {
        (Some(name), _) => printable(name),
        (None, Some(flags)) if def.name == arch.def(arch.flags).name => {
            format!("[{}]", x86_64::flags_text(flags))
        }
        (None, number) => number.and_then(decimal).unwrap_or_default(),
    }
}

/// All about a register.
fn told(stop: &StopView, def: &RegisterDef) -> String {
    let name = def.name;
    let (now, changed) = value(stop, def);
    let Some(now) = now else {
        return format!("{name} is not known in this frame: a callee may have overwritten it");
    };
    let number = decimal(now).map_or(String::new(), |number| format!(" = {number}"));
    let mut lines = vec![format!("{name} = {now:#x}{number}")];
    if let Some(symbol) = stop.register_names.get(name) {
        lines.push(format!("points at {symbol}"));
    }
    let arch = stop.registers.arch;
    if name == arch.def(arch.flags).name {
        lines.push(format!("set: {}", x86_64::flags_text(now)));
    }
    if let Some(before) = stop.previous.as_ref().and_then(|before| before.by_name(name))
        && changed
    {
        lines.push(format!("{before:#x} at the stop before"));
    }
    lines.join("\n")
}

/// From this width on the pc, its function and the flags fit in one row.
const WIDE: u16 = 76;

fn columns(width: u16) -> usize {
    (usize::from(width) / CELL).max(1)
}

/// The whole-width registers, and the small ones; pc and flags have rows of
/// their own.
fn split(stop: &StopView) -> (Vec<&'static RegisterDef>, Vec<&'static RegisterDef>) {
    let arch = stop.registers.arch;
    let own_row = [arch.def(arch.pc).name, arch.def(arch.flags).name];
    let others = arch.registers.iter().filter(|def| !own_row.contains(&def.name));
    others.partition(|def| def.size == 8)
}

/// A value, and whether it differs from the stop before. Frames further out
/// have no stop before to compare with.
fn value(stop: &StopView, def: &RegisterDef) -> (Option<u64>, bool) {
    let hide = |registers: &arch::Registers| {
        let flags = registers.arch.def(registers.arch.flags).name;
        let hidden = if def.name == flags { registers.arch.step_flag } else { 0 };
        registers.by_name(def.name).map(|value| value & !hidden)
    };
    let now = hide(&stop.frame_registers);
    let before = stop.previous.as_ref().filter(|_| stop.selected == 0).and_then(hide);
    (now, now.zip(before).is_some_and(|(now, before)| now != before))
}

/// How a value looks; the one at the cursor stands out.
fn value_style(role: Role, here: bool, look: &Look<'_>) -> Style {
    match here {
        true => look.style(role).patch(look.style(Role::Cursor)),
        false => look.style(role),
    }
}

fn draw_register(
    pen: &mut Pen<'_>,
    stop: &StopView,
    def: &RegisterDef,
    here: bool,
    look: &Look<'_>,
) {
    let (value, changed) = value(stop, def);
    // The small ones are segment selectors, of sixteen bits.
    let digits = match (def.size, def.name.len()) {
        (8, _) => 16,
        (_, ..=2) => 4,
        _ => 8,
    };
    let role = if changed { Role::Changed } else { Role::Text };
    let flags = stop.registers.arch.def(stop.registers.arch.flags).name;
    let name = if def.name == flags { "flg" } else { def.name };
    pen.put(" ", Style::new()).column(name, 3, look.style(Role::Dim));
    pen.put(if changed { "*" } else { " " }, look.style(Role::Changed));
    match value {
        Some(value) => pen.put(&format!("{value:0digits$x}"), value_style(role, here, look)),
        None if here => pen.put(&format!("{:<digits$}", "—"), value_style(role, here, look)),
        None => pen.put(&format!("{:<digits$}", "—"), look.style(Role::Dim)),
    };
    pen.put("  ", Style::new());
}

/// The function the pc is in.
fn draw_place(pen: &mut Pen<'_>, stop: &StopView, look: &Look<'_>) {
    if let Some(frame) = stop.frames.get(stop.selected)
        && let Some(function) = &frame.function
    {
        let offset = frame.offset.map_or(String::new(), |offset| format!("+0x{offset:x}"));
        let name = clip(&printable(function), 24);
        pen.put(&format!("{name}{offset} "), look.style(Role::Strong));
    }
}

fn draw_flags(pen: &mut Pen<'_>, stop: &StopView, here: bool, look: &Look<'_>) {
    let arch = stop.registers.arch;
    let (value, changed) = value(stop, arch.def(arch.flags));
    pen.put(" flg", look.style(Role::Dim));
    pen.put(if changed { "*" } else { " " }, look.style(Role::Changed));
    let role = if changed { Role::Changed } else { Role::Text };
    match value {
        Some(flags) if arch.name == x86_64::X86_64.name => {
            let digits = if here { role } else { Role::Dim };
            pen.put(&format!("{flags:08x}"), value_style(digits, here, look));
            pen.put(&format!(" [{}] ", x86_64::flags_text(flags)), look.style(role));
        }
        Some(flags) => {
            pen.put(&format!("{flags:08x}"), value_style(role, here, look));
        }
        None => {
            pen.put("—", value_style(role, here, look));
        }
    }
}
