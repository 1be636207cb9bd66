//! Registers of the selected frame. What differs from the stop before has a
//! `*` and is bold; what is not known is `—`.

use super::Look;
use crate::arch::{self, RegisterDef, x86_64};
use crate::base::text::printable;
use crate::config::theme::Role;
use crate::session::view::StopView;
use crate::ui::list::List;
use crate::ui::pen::{Pen, clip};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};

/// What the pane keeps: how far it is scrolled.
#[derive(Debug, Default)]
pub struct Registers {
    /// Scroll position; the cursor is not shown.
    pub list: List,
}

/// Columns of one register: name, sign, sixteen digits, a gap.
const CELL: usize = 23;

impl Registers {
    /// How many rows there are in a pane this wide: the grid, then pc, flags
    /// and the small registers in two rows.
    pub fn rows(stop: Option<&StopView>, width: u16) -> usize {
        stop.map_or(0, |stop| split(stop).0.len().div_ceil(columns(width)) + 2)
    }

    /// Draws the registers.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let Some(stop) = look.view.and_then(|view| view.stop.as_ref()) else {
            return look.placeholder(buffer, area, "known at the first stop");
        };
        let (grid, small) = split(stop);
        let columns = columns(area.width);
        let grid_rows = grid.len().div_ceil(columns);
        // Where there is room the flags stand beside the pc.
        let wide = area.width >= WIDE;
        for (row, index) in self.list.seen().enumerate() {
            let mut pen = Pen::new(buffer, area, row as u16);
            if index < grid_rows {
                for &def in grid.iter().skip(index * columns).take(columns) {
                    draw_register(&mut pen, stop, def, look);
                }
            } else if index == grid_rows {
                draw_pc(&mut pen, stop, look);
                if wide {
                    draw_flags(&mut pen, stop, look);
                }
            } else {
                if !wide {
                    draw_flags(&mut pen, stop, look);
                }
                small.iter().for_each(|def| draw_register(&mut pen, stop, def, look));
            }
        }
    }
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

fn draw_register(pen: &mut Pen<'_>, stop: &StopView, def: &RegisterDef, look: &Look<'_>) {
    let (value, changed) = value(stop, def);
    // The small ones are segment selectors, of sixteen bits.
    let digits = if def.size == 8 { 16 } else { 4 };
    let role = if changed { Role::Changed } else { Role::Text };
    pen.put(" ", Style::new()).column(def.name, 3, look.style(Role::Dim));
    if def.name.len() > 3 {
        pen.put(" ", Style::new());
    }
    pen.put(if changed { "*" } else { " " }, look.style(Role::Changed));
    match value {
        Some(value) => pen.put(&format!("{value:0digits$x}"), look.style(role)),
        None => pen.put(&format!("{:<digits$}", "—"), look.style(Role::Dim)),
    };
    pen.put("  ", Style::new());
}

fn draw_pc(pen: &mut Pen<'_>, stop: &StopView, look: &Look<'_>) {
    let arch = stop.registers.arch;
    draw_register(pen, stop, arch.def(arch.pc), look);
    if let Some(frame) = stop.frames.get(stop.selected)
        && let Some(function) = &frame.function
    {
        let offset = frame.offset.map_or(String::new(), |offset| format!("+0x{offset:x}"));
        let name = clip(&printable(function), 24);
        pen.put(&format!("{name}{offset} "), look.style(Role::Strong));
    }
}

fn draw_flags(pen: &mut Pen<'_>, stop: &StopView, look: &Look<'_>) {
    let arch = stop.registers.arch;
    let (value, changed) = value(stop, arch.def(arch.flags));
    pen.put(" flg", look.style(Role::Dim));
    pen.put(if changed { "*" } else { " " }, look.style(Role::Changed));
    let role = if changed { Role::Changed } else { Role::Text };
    match value {
        Some(flags) if arch.name == x86_64::X86_64.name => {
            pen.put(&format!("{flags:08x} "), look.style(Role::Dim));
            pen.put(&format!("[{}] ", x86_64::flags_text(flags)), look.style(role));
        }
        Some(flags) => {
            pen.put(&format!("{flags:08x}"), look.style(role));
        }
        None => {
            pen.put("—", look.style(Role::Dim));
        }
    }
}
