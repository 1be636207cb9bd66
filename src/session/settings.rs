//! What `set` changes and `show` tells, in gdb's words.

use super::{
    answer::{Answer, Failure},
    run::Session,
};
use crate::arch::insn::Flavor;

/// One setting: gdb's name, what it takes, what it is.
pub struct SettingDef {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub values: &'static str,
    /// What it means, as `show` tells it before the value.
    pub says: &'static str,
}

/// Every setting.
pub const SETTINGS: &[SettingDef] = &[
    SettingDef {
        name: "disassembly-flavor",
        values: "att or intel",
        says: "The disassembly flavor is",
    },
    SettingDef {
        name: "listsize",
        values: "a number of lines",
        says: "Number of source lines that \"list\" shows is",
    },
    SettingDef {
        name: "module-events",
        values: "on, off or always",
        says: "Loads and unloads of modules are caught as they happen (on: while a breakpoint may need it)",
    },
    SettingDef { name: "substitute-path", values: "FROM TO", says: "Source paths are replaced by" },
];

/// When the guest is caught as modules come and go, for a few milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModuleEvents {
    /// While there is a breakpoint that a module may have a place for.
    #[default]
    On,
    /// Only where a breakpoint would be left in memory that is freed; modules
    /// are looked at when the guest stops for another reason.
    Off,
    /// Also when nothing waits for a module: the list on the screen is always
    /// right. A running guest can't be left without being stopped once more.
    Always,
}

impl ModuleEvents {
    const ALL: [ModuleEvents; 3] = [ModuleEvents::On, ModuleEvents::Off, ModuleEvents::Always];

    fn word(self) -> &'static str {
        match self {
            ModuleEvents::On => "on",
            ModuleEvents::Off => "off",
            ModuleEvents::Always => "always",
        }
    }
}

/// The settings' values.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How instructions are written.
    pub flavor: Flavor,
    /// Lines that `list` shows.
    pub list_size: u32,
    /// When the guest is caught as modules come and go.
    pub module_events: ModuleEvents,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            flavor: Flavor::default(),
            list_size: 10,
            module_events: ModuleEvents::default(),
        }
    }
}

impl Session {
    /// `set NAME VALUE`.
    pub(super) async fn set(&mut self, name: &str, value: &str) -> Result<Answer, Failure> {
        /// A longer listing is a whole file.
        const LONGEST: u32 = 1_000_000;
        let setting = find(name)?;
        let refused = || {
            let values = setting.values;
            Failure::Other(format!("{} is {values}, not '{value}'", setting.name))
        };
        match setting.name {
            "disassembly-flavor" => {
                let flavor = [Flavor::Att, Flavor::Intel].into_iter().find(|f| f.word() == value);
                self.settings.flavor = flavor.ok_or_else(refused)?;
                if self.stop.as_ref().is_some_and(|stop| !stop.code.is_empty()) {
                    // The bytes are known at this stop; only the text is new.
                    self.read_code().await?;
                }
            }
            "listsize" => {
                let size = value.parse().ok().filter(|size| (1..=LONGEST).contains(size));
                self.settings.list_size = size.ok_or_else(refused)?;
            }
            "module-events" => {
                let events = ModuleEvents::ALL.into_iter().find(|events| events.word() == value);
                self.settings.module_events = events.ok_or_else(refused)?;
                if self.need_stopped().is_ok() {
                    self.reconcile().await?;
                }
            }
            _ => {
                let (from, to) = value.split_once(char::is_whitespace).ok_or_else(refused)?;
                let (from, to) = (from.to_owned(), to.trim().to_owned());
                self.options.substitute.push((from.clone(), to.clone()));
                self.code.substitute(from, to.into());
                if self.need_stopped().is_ok() {
                    self.first_frame();
                    self.panes.restart(self.options.eager);
                }
            }
        }
        self.touch();
        Ok(Answer::Done {})
    }

    /// `show [NAME]`.
    pub(super) fn show(&self, name: &str) -> Result<Answer, Failure> {
        let wanted = if name.is_empty() { None } else { Some(find(name)?.name) };
        let shown = SETTINGS.iter().filter(|setting| wanted.is_none_or(|w| w == setting.name));
        let lines: Vec<String> = shown
            .map(|setting| match setting.name {
                "disassembly-flavor" => {
                    format!("{} \"{}\".", setting.says, self.settings.flavor.word())
                }
                "module-events" => {
                    format!("{}: {}.", setting.says, self.settings.module_events.word())
                }
                "listsize" => format!("{} {}.", setting.says, self.settings.list_size),
                _ => {
                    let rules = self.options.substitute.iter();
                    let rules: Vec<_> = rules.map(|(from, to)| format!("{from} -> {to}")).collect();
                    let rules = if rules.is_empty() { "nothing".into() } else { rules.join(", ") };
                    format!("{}: {rules}.", setting.says)
                }
            })
            .collect();
        Ok(Answer::Text { text: lines.join("\n") })
    }
}

/// The setting of a name, or of the beginning of one.
fn find(name: &str) -> Result<&'static SettingDef, Failure> {
    let mut begin = SETTINGS.iter().filter(|setting| setting.name.starts_with(name));
    match (begin.next(), begin.next()) {
        (Some(setting), None) if !name.is_empty() => Ok(setting),
        _ => {
            let known: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
            Err(Failure::Other(format!(
                "there is no setting '{name}'; there are {}",
                known.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn settings_are_found_by_their_beginning() {
        assert_eq!(find("disas").unwrap().name, "disassembly-flavor");
        assert_eq!(find("listsize").unwrap().name, "listsize");
        assert!(find("").is_err());
        assert!(find("zork").err().unwrap().to_string().contains("listsize"));
    }
}
