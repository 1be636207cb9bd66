//! Screens of a terminal as one picture that moves: an SVG file with a group
//! for each, shown one after the other. Whoever asks for less motion sees one.

use std::fmt::Write;
use unicode_width::UnicodeWidthStr;
use vt100::{Cell, Color};

/// One screen, what was done to get it, and for how long it is shown.
pub struct Shot {
    /// The cells, row by row.
    pub rows: Vec<Vec<Cell>>,
    /// A line under it.
    pub caption: String,
    /// Seconds.
    pub seconds: f64,
}

/// A cell in pixels.
const CELL: (f64, f64) = (8.0, 17.0);
/// Where text stands above the lower edge of its cell.
const DESCENT: f64 = 4.0;
const GROUND: &str = "#14181e";
const TEXT: &str = "#d6dbe2";

/// The sixteen colours as xterm has them, easier to read on the ground.
const SIXTEEN: [u32; 16] = [
    0x2b3038, 0xe06c75, 0x98c379, 0xe6c07b, 0x4f8fe6, 0xc678dd, 0x56b6c2, 0xc3cad4, 0x7f8794,
    0xff7b72, 0xb5e08c, 0xf2d06b, 0x82b1ff, 0xd8a0f0, 0x6cc7d9, 0xffffff,
];

/// The picture.
pub fn picture(shots: &[Shot]) -> String {
    let columns = shots.iter().flat_map(|shot| &shot.rows).map(Vec::len).max().unwrap_or(0);
    let rows = shots.iter().map(|shot| shot.rows.len()).max().unwrap_or(0);
    let (width, height) = (columns as f64 * CELL.0, rows as f64 * CELL.1);
    let whole = height + CELL.1 * 1.6;
    let total: f64 = shots.iter().map(|shot| shot.seconds).sum();
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {whole}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"13\">\n<style>\n\
         text {{ fill: {TEXT} }}\n.b {{ font-weight: bold }}\n\
         .i {{ font-style: italic }}\n.u {{ text-decoration: underline }}"
    );
    let mut from = 0.0;
    for (number, shot) in shots.iter().enumerate() {
        let (begin, end) = (100.0 * from / total, 100.0 * (from + shot.seconds) / total);
        from += shot.seconds;
        let _ = writeln!(
            out,
            ".s{number} {{ visibility: hidden; animation: k{number} {total}s steps(1) infinite }}\n\
             @keyframes k{number} {{ 0% {{ visibility: {} }} {begin:.2}% {{ visibility: visible }} \
             {end:.2}% {{ visibility: {} }} }}",
            if number == 0 { "visible" } else { "hidden" },
            if number + 1 == shots.len() { "visible" } else { "hidden" },
        );
    }
    let still = shots.len().saturating_sub(1);
    let _ = writeln!(
        out,
        "@media (prefers-reduced-motion: reduce) {{ g {{ animation: none !important }} \
         .s{still} {{ visibility: visible }} }}\n</style>\n\
         <rect width=\"{width}\" height=\"{whole}\" rx=\"6\" fill=\"{GROUND}\"/>"
    );
    for (number, shot) in shots.iter().enumerate() {
        let _ = writeln!(out, "<g class=\"s{number}\">");
        for (row, cells) in shot.rows.iter().enumerate() {
            draw_row(&mut out, row, cells);
        }
        let y = whole - CELL.1 * 0.5;
        let _ = writeln!(
            out,
            "<text x=\"12\" y=\"{y:.1}\" class=\"b\" style=\"fill:#f2d06b\">{}</text>\n</g>",
            escaped(&shot.caption)
        );
    }
    out.push_str("</svg>\n");
    out
}

/// How cells that can be drawn together look.
#[derive(Clone, PartialEq)]
struct Look {
    text: Option<String>,
    ground: Option<String>,
    classes: String,
}

fn look(cell: &Cell) -> Look {
    let (mut text, mut ground) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
    if cell.inverse() {
        (text, ground) = (Some(ground.unwrap_or(GROUND.into())), Some(text.unwrap_or(TEXT.into())));
    }
    let flags = [(cell.bold(), "b"), (cell.italic(), "i"), (cell.underline(), "u")];
    let classes: Vec<&str> = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    Look { text, ground, classes: classes.join(" ") }
}

fn draw_row(out: &mut String, row: usize, cells: &[Cell]) {
    let top = row as f64 * CELL.1;
    let mut at = 0;
    while at < cells.len() {
        let look = look(&cells[at]);
        let mut run = String::new();
        let from = at;
        while at < cells.len() && self::look(&cells[at]) == look {
            let cell = &cells[at];
            run.push_str(if cell.has_contents() { cell.contents() } else { " " });
            at += if cell.is_wide() { 2 } else { 1 };
        }
        let at = at.min(cells.len());
        let (x, width) = (from as f64 * CELL.0, (at - from) as f64 * CELL.0);
        if let Some(ground) = &look.ground {
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{}\" fill=\"{ground}\"/>",
                CELL.1
            );
        }
        // Spaces at the ends are no text, and those within must not be folded.
        let blank = run.len() - run.trim_start_matches(' ').len();
        let text = run.trim_matches(' ').replace(' ', "\u{a0}");
        if text.is_empty() {
            continue;
        }
        let x = x + blank as f64 * CELL.0;
        let width = text.width() as f64 * CELL.0;
        let class = match look.classes.as_str() {
            "" => String::new(),
            classes => format!(" class=\"{classes}\""),
        };
        let fill = look.text.as_ref().map_or(String::new(), |c| format!(" style=\"fill:{c}\""));
        let y = top + CELL.1 - DESCENT;
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{y}\" textLength=\"{width}\"{class}{fill}>{}</text>",
            escaped(&text)
        );
    }
}

fn colour(colour: Color) -> Option<String> {
    let number = match colour {
        Color::Default => return None,
        Color::Rgb(r, g, b) => u32::from_be_bytes([0, r, g, b]),
        Color::Idx(index @ 0..=15) => SIXTEEN[usize::from(index)],
        // xterm's cube of 6 by 6 by 6, then greys.
        Color::Idx(index @ 16..=231) => {
            let index = u32::from(index) - 16;
            let part = |n: u32| if n == 0 { 0 } else { 55 + 40 * n };
            part(index / 36) << 16 | part(index / 6 % 6) << 8 | part(index % 6)
        }
        Color::Idx(index) => (8 + 10 * (u32::from(index) - 232)) * 0x01_01_01,
    };
    Some(format!("#{number:06x}"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
