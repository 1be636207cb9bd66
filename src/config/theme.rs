//! Colours by role. No role is told by colour alone: the text or a sign beside
//! it says the same. Themes have the colours of a terminal with 24-bit colours,
//! or the sixteen that every terminal has and its user chose.

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
    /// For dark backgrounds, 24-bit colours.
    Dark,
    /// For light backgrounds, 24-bit colours.
    Light,
    /// For dark backgrounds, the terminal's sixteen colours.
    #[default]
    Dark16,
    /// For light backgrounds, the terminal's sixteen colours.
    Light16,
    /// No colours, only bold, dim, underlined and reversed.
    Mono,
}

/// What the environment tells about the terminal.
#[derive(Clone, Debug, Default)]
pub struct Terminal {
    /// `NO_COLOR`: when it is set to anything, there are no colours
    /// (no-color.org).
    pub no_color: Option<String>,
    /// `TERM`: `dumb` has no colours.
    pub term: Option<String>,
    /// `COLORTERM`: `truecolor` or `24bit` where there are 24-bit colours.
    pub color_term: Option<String>,
    /// `COLORFGBG`, which rxvt, konsole and others set: the numbers of the
    /// colours of text and background, `15;0`.
    pub fg_bg: Option<String>,
}

impl Terminal {
    /// This process's.
    pub fn from_env() -> Terminal {
        let var = |name| std::env::var(name).ok();
        Terminal {
            no_color: var("NO_COLOR"),
            term: var("TERM"),
            color_term: var("COLORTERM"),
            fg_bg: var("COLORFGBG"),
        }
    }

    fn has_no_colors(&self) -> bool {
        self.no_color.as_deref().is_some_and(|value| !value.is_empty())
            || self.term.as_deref() == Some("dumb")
    }

    fn has_all_colors(&self) -> bool {
        matches!(self.color_term.as_deref(), Some("truecolor" | "24bit"))
    }

    /// Whether the background is light, as far as it is told: 7 is light grey,
    /// 9 to 15 are the bright colours.
    fn is_light(&self) -> bool {
        let last = self.fg_bg.as_deref().and_then(|text| text.rsplit(';').next());
        matches!(last.and_then(|number| number.parse().ok()), Some(7 | 9..=15))
    }
}

/// The names of themes, as settings have them.
pub const NAMES: [&str; 6] = ["auto", "dark", "light", "dark-16", "light-16", "mono"];

impl Theme {
    /// The theme called `name` on a terminal, if there is one. `auto` is what
    /// suits it; `dark` and `light` are drawn with sixteen colours where it has
    /// no more. A terminal that wants no colours gets none with `auto` only:
    /// whoever names a theme means it.
    pub fn named(name: &str, terminal: &Terminal) -> Option<Theme> {
        let all = terminal.has_all_colors();
        Some(match name {
            "auto" => Theme::of(terminal),
            "dark" if all => Theme::Dark,
            "light" if all => Theme::Light,
            "dark" | "dark-16" => Theme::Dark16,
            "light" | "light-16" => Theme::Light16,
            "mono" => Theme::Mono,
            _ => return None,
        })
    }

    /// What suits a terminal.
    pub fn of(terminal: &Terminal) -> Theme {
        match (terminal.has_all_colors(), terminal.is_light()) {
            _ if terminal.has_no_colors() => Theme::Mono,
            (true, false) => Theme::Dark,
            (true, true) => Theme::Light,
            (false, false) => Theme::Dark16,
            (false, true) => Theme::Light16,
        }
    }

    /// How a role looks.
    pub fn style(self, role: Role) -> Style {
        match self {
            Theme::Dark => coloured(role, &DARK),
            Theme::Light => coloured(role, &LIGHT),
            Theme::Dark16 => coloured(role, &DARK_16),
            Theme::Light16 => coloured(role, &LIGHT_16),
            Theme::Mono => mono(role),
        }
    }
}

/// The colours of a theme. Pairs are text and background.
struct Palette {
    dim: Color,
    border: Color,
    key: Color,
    cursor: (Option<Color>, Color),
    pc: (Color, Color),
    caller: (Color, Color),
    found: (Color, Color),
    armed: Color,
    waiting: Color,
    changed: Color,
    good: Color,
    warning: Color,
    error: (Color, Color),
    stopped: (Color, Color),
    running: (Color, Color),
    bar: Color,
    keyword: Color,
    type_name: Color,
    number: Color,
    string: Color,
    preproc: Color,
    constant: Option<Color>,
}

const fn rgb(hex: u32) -> Color {
    Color::Rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

const DARK: Palette = Palette {
    dim: rgb(0x8b93a1),
    border: rgb(0x5c6773),
    key: rgb(0x6cc7d9),
    cursor: (None, rgb(0x2a313c)),
    pc: (rgb(0xffffff), rgb(0x1f4f96)),
    caller: (rgb(0xffffff), rgb(0x1d5a63)),
    found: (rgb(0x101418), rgb(0xe6c07b)),
    armed: rgb(0xff7b72),
    waiting: rgb(0xd9a566),
    changed: rgb(0xf2d06b),
    good: rgb(0x98c379),
    warning: rgb(0xe6c07b),
    error: (rgb(0xffffff), rgb(0xb02a37)),
    stopped: (rgb(0x101418), rgb(0xe6c07b)),
    running: (rgb(0x101418), rgb(0x98c379)),
    bar: rgb(0xc3cad4),
    keyword: rgb(0xc792ea),
    type_name: rgb(0x6cc7d9),
    number: rgb(0xe0a174),
    string: rgb(0x98c379),
    preproc: rgb(0xe58fb0),
    constant: Some(rgb(0x82b1ff)),
};

const LIGHT: Palette = Palette {
    dim: rgb(0x656d76),
    border: rgb(0x8b949e),
    key: rgb(0x0a5f73),
    cursor: (None, rgb(0xe4e9f0)),
    pc: (rgb(0xffffff), rgb(0x1f4f96)),
    caller: (rgb(0xffffff), rgb(0x1d5a63)),
    found: (rgb(0x101418), rgb(0xf2d06b)),
    armed: rgb(0xb3261e),
    waiting: rgb(0x8a5200),
    changed: rgb(0x9a3d00),
    good: rgb(0x1a6b2d),
    warning: rgb(0x855000),
    error: (rgb(0xffffff), rgb(0xb02a37)),
    stopped: (rgb(0x101418), rgb(0xf2d06b)),
    running: (rgb(0x101418), rgb(0x8fd19e)),
    bar: rgb(0x24292f),
    keyword: rgb(0x7a2fa0),
    type_name: rgb(0x0a5f73),
    number: rgb(0x8a4300),
    string: rgb(0x1a6b2d),
    preproc: rgb(0x9b2355),
    constant: Some(rgb(0x1f4f96)),
};

const DARK_16: Palette = Palette {
    dim: Color::DarkGray,
    border: Color::DarkGray,
    key: Color::LightCyan,
    // Dim text would vanish in it, so that the row has one colour.
    cursor: (Some(Color::White), Color::DarkGray),
    pc: (Color::White, Color::Blue),
    caller: (Color::Black, Color::Cyan),
    found: (Color::Black, Color::Yellow),
    armed: Color::LightRed,
    waiting: Color::Yellow,
    changed: Color::LightYellow,
    good: Color::Green,
    warning: Color::Yellow,
    error: (Color::White, Color::Red),
    stopped: (Color::Black, Color::Yellow),
    running: (Color::Black, Color::Green),
    bar: Color::Gray,
    keyword: Color::LightBlue,
    type_name: Color::Cyan,
    number: Color::LightMagenta,
    string: Color::Green,
    preproc: Color::Magenta,
    constant: None,
};

const LIGHT_16: Palette = Palette {
    dim: Color::DarkGray,
    border: Color::DarkGray,
    key: Color::Blue,
    cursor: (Some(Color::Black), Color::Gray),
    pc: (Color::White, Color::Blue),
    caller: (Color::White, Color::Cyan),
    found: (Color::Black, Color::Yellow),
    armed: Color::Red,
    waiting: Color::Magenta,
    changed: Color::Red,
    good: Color::Green,
    warning: Color::Red,
    error: (Color::White, Color::Red),
    stopped: (Color::Black, Color::Yellow),
    running: (Color::Black, Color::Green),
    bar: Color::Black,
    keyword: Color::Blue,
    type_name: Color::Cyan,
    number: Color::Magenta,
    string: Color::Green,
    preproc: Color::Magenta,
    constant: None,
};

fn coloured(role: Role, palette: &Palette) -> Style {
    let plain = Style::new();
    let pair = |(text, ground): (Color, Color)| plain.fg(text).bg(ground);
    match role {
        Role::Text => plain,
        Role::Dim => plain.fg(palette.dim),
        Role::Border => plain.fg(palette.border),
        Role::Comment => plain.fg(palette.dim).add_modifier(Modifier::ITALIC),
        Role::Strong => plain.add_modifier(Modifier::BOLD),
        Role::Focused | Role::Key => plain.fg(palette.key).add_modifier(Modifier::BOLD),
        Role::Pc => pair(palette.pc).add_modifier(Modifier::BOLD),
        Role::Caller => pair(palette.caller),
        Role::Cursor => Style { fg: palette.cursor.0, ..plain.bg(palette.cursor.1) },
        Role::Match => pair(palette.found),
        Role::Armed => plain.fg(palette.armed).add_modifier(Modifier::BOLD),
        Role::Waiting => plain.fg(palette.waiting),
        Role::Changed => plain.fg(palette.changed).add_modifier(Modifier::BOLD),
        Role::Good => plain.fg(palette.good),
        Role::Warning => plain.fg(palette.warning).add_modifier(Modifier::BOLD),
        Role::Error => pair(palette.error).add_modifier(Modifier::BOLD),
        Role::Stopped => pair(palette.stopped).add_modifier(Modifier::BOLD),
        Role::Running => pair(palette.running).add_modifier(Modifier::BOLD),
        Role::Bar => plain.fg(palette.bar),
        Role::Keyword => plain.fg(palette.keyword),
        Role::Type => plain.fg(palette.type_name),
        Role::Number => plain.fg(palette.number),
        Role::String => plain.fg(palette.string),
        Role::Preproc => plain.fg(palette.preproc),
        Role::Macro => Style { fg: palette.constant, ..plain },
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

    const ROLES: [Role; 26] = [
        Role::Text,
        Role::Dim,
        Role::Strong,
        Role::Border,
        Role::Focused,
        Role::Key,
        Role::Pc,
        Role::Caller,
        Role::Cursor,
        Role::Match,
        Role::Armed,
        Role::Waiting,
        Role::Changed,
        Role::Good,
        Role::Warning,
        Role::Error,
        Role::Stopped,
        Role::Running,
        Role::Bar,
        Role::Keyword,
        Role::Type,
        Role::Number,
        Role::String,
        Role::Comment,
        Role::Preproc,
        Role::Macro,
    ];

    fn terminal(no_color: &str, term: &str, color_term: &str, fg_bg: &str) -> Terminal {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
        Terminal {
            no_color: some(no_color),
            term: some(term),
            color_term: some(color_term),
            fg_bg: some(fg_bg),
        }
    }

    #[test]
    fn the_terminal_says_what_suits_it() {
        let of = |no, term, colors, ground| Theme::of(&terminal(no, term, colors, ground));
        assert_eq!(of("1", "xterm", "truecolor", ""), Theme::Mono);
        assert_eq!(of("", "dumb", "truecolor", ""), Theme::Mono);
        assert_eq!(of("", "xterm-256color", "truecolor", ""), Theme::Dark);
        assert_eq!(of("", "xterm", "24bit", "0;15"), Theme::Light);
        assert_eq!(of("", "linux", "", ""), Theme::Dark16);
        assert_eq!(of("", "rxvt", "", "0;default;7"), Theme::Light16);
        assert_eq!(of("", "rxvt", "", "15;0"), Theme::Dark16);
        let empty = Terminal { no_color: Some(String::new()), ..Terminal::default() };
        assert_eq!(Theme::of(&empty), Theme::Dark16);
    }

    #[test]
    fn a_named_theme_is_meant() {
        let no_color = terminal("1", "xterm", "truecolor", "");
        assert_eq!(Theme::named("auto", &no_color), Some(Theme::Mono));
        assert_eq!(Theme::named("dark", &no_color), Some(Theme::Dark));
        let sixteen = terminal("", "linux", "", "");
        assert_eq!(Theme::named("dark", &sixteen), Some(Theme::Dark16));
        assert!(NAMES.iter().all(|name| Theme::named(name, &sixteen).is_some()));
        assert_eq!(Theme::named("neon", &sixteen), None);
    }

    #[test]
    fn without_colours_there_are_none() {
        for role in ROLES {
            let style = Theme::Mono.style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
        }
    }

    #[test]
    fn no_text_has_the_colour_of_its_ground() {
        for theme in [Theme::Dark, Theme::Light, Theme::Dark16, Theme::Light16] {
            for role in ROLES {
                let style = theme.style(role);
                assert!(style.fg.is_none() || style.fg != style.bg, "{theme:?} {role:?}");
                let on_cursor = style.patch(theme.style(Role::Cursor));
                assert_ne!(on_cursor.fg, on_cursor.bg, "{theme:?} {role:?} under the cursor");
            }
        }
    }

    /// Relative luminance, and the ratio of two: WCAG 2.1, "contrast ratio".
    fn contrast(a: Color, b: Color) -> f64 {
        let light = |color| {
            let Color::Rgb(r, g, b) = color else { panic!("{color:?} is not 24-bit") };
            let linear = |part: u8| {
                let part = f64::from(part) / 255.0;
                if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
        };
        let (a, b) = (light(a) + 0.05, light(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn text_can_be_read_on_the_usual_grounds() {
        let dark = [rgb(0x000000), rgb(0x1e1e1e), rgb(0x282c34)];
        let light = [rgb(0xffffff), rgb(0xfafafa), rgb(0xfdf6e3)];
        for (theme, grounds) in [(Theme::Dark, dark), (Theme::Light, light)] {
            for role in ROLES.into_iter().filter(|role| *role != Role::Border) {
                let style = theme.style(role);
                let Some(text) = style.fg else { continue };
                let own = style.bg.map_or(grounds, |ground| [ground; 3]);
                for ground in own {
                    let ratio = contrast(text, ground);
                    assert!(ratio >= 4.5, "{theme:?} {role:?} on {ground:?}: {ratio:.1}");
                }
                // The row under the cursor as well.
                if style.bg.is_none() {
                    let cursor = theme.style(Role::Cursor).bg.unwrap_or(grounds[0]);
                    let ratio = contrast(text, cursor);
                    assert!(ratio >= 4.0, "{theme:?} {role:?} under the cursor: {ratio:.1}");
                }
            }
        }
    }
}
