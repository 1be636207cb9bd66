//! Colours by role. Only the sixteen colours every terminal has are used, and
//! no role is told by colour alone: the text or a sign beside it says the same.

use ratatui::style::{Color, Modifier, Style};

/// What a piece of text is, to whoever looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Plain text.
    Text,
    /// Secondary text: numbers of lines, placeholders, what is old.
    Dim,
    /// What stands out in plain text: names of functions, headings.
    Strong,
    /// A pane's frame.
    Border,
    /// The frame of the pane that has the keys.
    Focused,
    /// A key in a hint.
    Key,
    /// The line about to be executed.
    Pc,
    /// The line an outer frame will come back to.
    Caller,
    /// The row the cursor is on.
    Cursor,
    /// What a search found.
    Match,
    /// A breakpoint that is armed.
    Armed,
    /// A breakpoint that waits, or is switched off.
    Waiting,
    /// A value that differs from the stop before.
    Changed,
    /// All is well.
    Good,
    /// Needs attention.
    Warning,
    /// Failed, or must not be overlooked.
    Error,
    /// The state word while the guest is stopped.
    Stopped,
    /// The state word while it runs.
    Running,
    /// The status row.
    Bar,
    /// C keywords.
    Keyword,
    /// C types.
    Type,
    /// Numbers.
    Number,
    /// Strings and characters.
    String,
    /// Comments.
    Comment,
    /// Preprocessor lines.
    Preproc,
    /// Macros and constants.
    Macro,
}

/// A set of colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Theme {
    /// For dark backgrounds.
    #[default]
    Dark,
    /// For light backgrounds.
    Light,
    /// No colours, only bold, dim, underlined and reversed.
    Mono,
}

impl Theme {
    /// The theme called `name`, if there is one.
    pub fn named(name: &str) -> Option<Theme> {
        match name {
            "dark" => Some(Theme::Dark),
            "light" => Some(Theme::Light),
            "mono" => Some(Theme::Mono),
            _ => None,
        }
    }

    /// The default theme for a terminal: `mono` when NO_COLOR is set to
    /// anything (no-color.org) or the terminal says it is dumb.
    pub fn for_terminal(no_color: Option<&str>, term: Option<&str>) -> Theme {
        let no_color = no_color.is_some_and(|value| !value.is_empty());
        if no_color || term == Some("dumb") { Theme::Mono } else { Theme::Dark }
    }

    /// How a role looks.
    pub fn style(self, role: Role) -> Style {
        match self {
            Theme::Dark => coloured(role, &DARK),
            Theme::Light => coloured(role, &LIGHT),
            Theme::Mono => mono(role),
        }
    }
}

/// The colours in which the dark and the light theme differ.
struct Palette {
    dim: Color,
    key: Color,
    cursor: Color,
    pc: (Color, Color),
    changed: Color,
    keyword: Color,
    type_name: Color,
    number: Color,
    string: Color,
    preproc: Color,
    bar: Color,
}

const DARK: Palette = Palette {
    dim: Color::DarkGray,
    key: Color::LightCyan,
    cursor: Color::DarkGray,
    pc: (Color::White, Color::Blue),
    changed: Color::LightYellow,
    keyword: Color::LightBlue,
    type_name: Color::Cyan,
    number: Color::LightMagenta,
    string: Color::Green,
    preproc: Color::Magenta,
    bar: Color::Gray,
};

const LIGHT: Palette = Palette {
    dim: Color::DarkGray,
    key: Color::Blue,
    cursor: Color::Gray,
    pc: (Color::White, Color::Blue),
    changed: Color::Red,
    keyword: Color::Blue,
    type_name: Color::Cyan,
    number: Color::Magenta,
    string: Color::Green,
    preproc: Color::Magenta,
    bar: Color::Black,
};

fn coloured(role: Role, palette: &Palette) -> Style {
    let plain = Style::new();
    match role {
        Role::Text | Role::Macro => plain,
        Role::Dim | Role::Border => plain.fg(palette.dim),
        Role::Comment => plain.fg(palette.dim).add_modifier(Modifier::ITALIC),
        Role::Strong => plain.add_modifier(Modifier::BOLD),
        Role::Focused | Role::Key => plain.fg(palette.key).add_modifier(Modifier::BOLD),
        Role::Pc => plain.fg(palette.pc.0).bg(palette.pc.1).add_modifier(Modifier::BOLD),
        Role::Caller => plain.fg(Color::Black).bg(Color::Cyan),
        Role::Cursor => plain.bg(palette.cursor),
        Role::Match => plain.fg(Color::Black).bg(Color::Yellow),
        Role::Armed => plain.fg(Color::LightRed).add_modifier(Modifier::BOLD),
        Role::Waiting => plain.fg(Color::Yellow),
        Role::Changed => plain.fg(palette.changed).add_modifier(Modifier::BOLD),
        Role::Good => plain.fg(Color::Green),
        Role::Warning => plain.fg(Color::Yellow).add_modifier(Modifier::BOLD),
        Role::Error => plain.fg(Color::White).bg(Color::Red).add_modifier(Modifier::BOLD),
        Role::Stopped => plain.fg(Color::Black).bg(Color::Yellow).add_modifier(Modifier::BOLD),
        Role::Running => plain.fg(Color::Black).bg(Color::Green).add_modifier(Modifier::BOLD),
        Role::Bar => plain.fg(palette.bar),
        Role::Keyword => plain.fg(palette.keyword),
        Role::Type => plain.fg(palette.type_name),
        Role::Number => plain.fg(palette.number),
        Role::String => plain.fg(palette.string),
        Role::Preproc => plain.fg(palette.preproc),
    }
}

fn mono(role: Role) -> Style {
    let with = |modifier| Style::new().add_modifier(modifier);
    match role {
        Role::Dim | Role::Border | Role::Comment | Role::Waiting => with(Modifier::DIM),
        Role::Strong
        | Role::Focused
        | Role::Key
        | Role::Armed
        | Role::Changed
        | Role::Warning
        | Role::Keyword => with(Modifier::BOLD),
        Role::Cursor | Role::Caller => with(Modifier::UNDERLINED),
        Role::Pc | Role::Error | Role::Stopped => with(Modifier::REVERSED | Modifier::BOLD),
        Role::Match | Role::Running => with(Modifier::REVERSED),
        Role::Text
        | Role::Good
        | Role::Bar
        | Role::Type
        | Role::Number
        | Role::String
        | Role::Preproc
        | Role::Macro => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_is_obeyed() {
        assert_eq!(Theme::for_terminal(Some("1"), Some("xterm")), Theme::Mono);
        assert_eq!(Theme::for_terminal(Some(""), Some("xterm")), Theme::Dark);
        assert_eq!(Theme::for_terminal(None, Some("dumb")), Theme::Mono);
        for role in [Role::Pc, Role::Error, Role::Changed, Role::Keyword, Role::Armed] {
            let style = Theme::Mono.style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
        }
    }

    #[test]
    fn themes_have_names() {
        assert_eq!(Theme::named("light"), Some(Theme::Light));
        assert_eq!(Theme::named("neon"), None);
    }
}
