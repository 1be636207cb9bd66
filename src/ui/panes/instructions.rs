//! Rows of instructions, as the source pane and the disassembly pane show
//! them: gutter, address, symbol, the jumps between them, text.

use super::code::{draw_text, pc_role, pc_sign};
use super::source::pc_of;
use super::{Look, breakpoints};
use crate::arch::{insn, jumps};
use crate::base::addr::Addr;
use crate::base::text::{hex, printable};
use crate::config::theme::Role;
use crate::session::symbol_answer::InsnAnswer;
use crate::session::view::{BreakpointView, StopView};
use crate::ui::pen::Pen;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

/// One instruction as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) addr: Addr,
    bytes: String,
    symbol: String,
    pub(super) text: String,
    /// Where it jumps to.
    pub(super) jump: Option<Addr>,
    /// What it calls, jumps to or refers to.
    pub(super) target: Option<Addr>,
}

/// Instructions with the jumps inside.
#[derive(Debug, Default)]
pub(super) struct Instructions {
    pub(super) rows: Vec<Row>,
    /// The jumps, one text for each row.
    arrows: Vec<String>,
}

impl Instructions {
    fn new(rows: Vec<Row>) -> Instructions {
        /// Columns of arrows; longer jumps than fit are told by their text.
        const MOST: usize = 6;
        let jumps: Vec<jumps::Row> = rows.iter().map(|row| (row.addr, row.jump)).collect();
        Instructions { arrows: jumps::arrows(&jumps, MOST), rows }
    }

    /// Those of an answer.
    pub(super) fn answered(code: &[InsnAnswer]) -> Instructions {
        let row = |insn: &InsnAnswer| Row {
            addr: insn.address,
            bytes: insn.bytes.clone(),
            symbol: insn.symbol.clone().unwrap_or_default(),
            text: insn.text.clone(),
            jump: insn.jump,
            target: insn.target,
        };
        Instructions::new(code.iter().map(row).collect())
    }

    /// Those around the pc that the session reads by itself.
    pub(super) fn of_stop(stop: &StopView) -> Instructions {
        let symbols = stop.code_symbols.iter().cloned().chain(std::iter::repeat(None));
        let row = |(insn, symbol): (&insn::Insn, Option<String>)| Row {
            addr: insn.addr,
            bytes: hex(&insn.bytes),
            symbol: symbol.unwrap_or_default(),
            text: insn.text.clone(),
            jump: insn.jump(),
            target: insn.refers_to,
        };
        Instructions::new(stop.code.iter().zip(symbols).map(row).collect())
    }

    /// The place of the instruction at an address.
    pub(super) fn position(&self, at: Addr) -> Option<usize> {
        self.rows.iter().position(|row| row.addr == at)
    }

    /// Draws an instruction from column `left` of its text on, with what a
    /// search found marked; gives the role of the whole row when it is the pc's.
    pub(super) fn draw(
        &self,
        pen: &mut Pen<'_>,
        index: usize,
        (left, needle): (usize, Option<&str>),
        stop: Option<&StopView>,
        look: &Look<'_>,
    ) -> Option<Role> {
        let insn = self.rows.get(index)?;
        let here = stop.filter(|stop| pc_of(stop) == Some(insn.addr));
        let pc = here.map(|stop| {
            stop.frames.get(stop.selected).map_or(Role::Pc, |frame| pc_role(frame, look))
        });
        let (mark, mark_role) = match planted(look, insn.addr) {
            Some(wish) => breakpoints::sign(wish.state),
            None => (" ", Role::Text),
        };
        let whole = pc.filter(|role| *role != Role::Dim);
        let colour = |role| if whole.is_some() { Style::new() } else { look.style(role) };
        pen.put(mark, look.style(mark_role)).put(pc_sign(pc), look.style(Role::Focused));
        pen.put(&format!("{:016x} ", insn.addr.0), colour(Role::Dim));
        if pen.room() > 80 {
            pen.column(&insn.bytes, 22, colour(Role::Dim));
        }
        let symbol = printable(&insn.symbol);
        match pen.room() {
            80.. => pen.column(&symbol, 24, colour(Role::Type)).put(" ", Style::new()),
            // The stack names the function; what changes is the distance.
            45.. => pen.column(distance(&symbol), 7, colour(Role::Type)).put(" ", Style::new()),
            _ => &mut *pen,
        };
        self.draw_arrows(pen, index, colour(Role::Dim));
        let text = printable(&insn.text);
        let (operation, operands) = text.split_once(' ').unwrap_or((&text, ""));
        pen.column(operation, operation.len().max(7), colour(Role::Keyword)).put(" ", Style::new());
        let operands = operands.trim_start();
        // Where there is no room for both, a name says more than its address.
        let named = name_alone(operands).filter(|_| operands.width() > pen.room());
        let shown = named.as_deref().unwrap_or(operands);
        draw_text(pen, shown, &[], (left, needle), whole.is_some(), look);
        whole
    }

    /// The jumps beside an instruction. In a narrow pane the outer ones, which
    /// are the longest, give way to the text.
    fn draw_arrows(&self, pen: &mut Pen<'_>, index: usize, style: Style) {
        /// The least room an instruction is left with.
        const TEXT: usize = 30;
        let Some(arrows) = self.arrows.get(index) else { return };
        let over = (arrows.chars().count() + TEXT).saturating_sub(pen.room());
        let shown: String = arrows.chars().skip(over).collect();
        if shown.chars().count() >= 3 {
            pen.put(&shown, style);
        }
    }
}

/// The distance from a symbol, or the symbol where it begins.
fn distance(symbol: &str) -> &str {
    let name = symbol.split(' ').next().unwrap_or(symbol);
    name.rfind("+0x").map_or(name, |at| &name[at..])
}

/// The operands without the address that a name stands for.
fn name_alone(operands: &str) -> Option<String> {
    let open = operands.rfind(" <")?;
    let address = operands[..open].rfind("0x")?;
    let digits = &operands[address + 2..open];
    let head = operands[..address].trim_end().trim_end_matches('#').trim_end();
    let all = digits.bytes().all(|b| b.is_ascii_hexdigit());
    all.then(|| format!("{head}{}", &operands[open + usize::from(head.is_empty())..]))
}

/// The breakpoint planted at an address.
fn planted<'a>(look: &Look<'a>, at: Addr) -> Option<&'a BreakpointView> {
    look.view?.breakpoints.iter().find(|wish| wish.sites.contains(&at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_for_its_address() {
        assert_eq!(name_alone("0x10 <vfs_read+0x3>").as_deref(), Some("<vfs_read+0x3>"));
        let data = "0x100(%rip),%rax # 0x1107 <jiffies>";
        assert_eq!(name_alone(data).as_deref(), Some("0x100(%rip),%rax <jiffies>"));
        assert_eq!(name_alone("$0x10,%rax"), None);
        assert_eq!(distance("vfs_read+0x10 [m]"), "+0x10");
        assert_eq!(distance("vfs_read"), "vfs_read");
    }
}
