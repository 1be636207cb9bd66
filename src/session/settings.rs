//! What `set` changes and `show` tells, in gdb's words.

use super::{
    answer::{Answer, Failure},
    run::Session,
    wanted::Due,
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
        name: "crash-stops",
        values: "on or off",
        says: "An oops or a panic stops the guest",
    },
    SettingDef {
        name: "disassembly-flavor",
        values: "att or intel",
        says: "The disassembly flavor is",
    },
    SettingDef {
        name: "hardware-cure",
        values: "ask, on or off",
        says: "perf_event.state is written where a kernel drops the hits of debug registers",
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

/// Whether perf events are made active, so that hits of debug registers get to
/// kgdb ([`crate::kernel::hw_breakpoints`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HardwareCure {
    /// The user is asked first; a script has to say so.
    #[default]
    Ask,
    /// Where it is needed.
    On,
    /// Never.
    Off,
}

impl HardwareCure {
    const ALL: [HardwareCure; 3] = [HardwareCure::Ask, HardwareCure::On, HardwareCure::Off];

    fn word(self) -> &'static str {
        match self {
            HardwareCure::Ask => "ask",
            HardwareCure::On => "on",
            HardwareCure::Off => "off",
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
    /// Whether perf events are made active.
    pub hardware_cure: HardwareCure,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            flavor: Flavor::default(),
            list_size: 10,
            module_events: ModuleEvents::default(),
            hardware_cure: HardwareCure::default(),
        }
    }
}

/// A longer listing is a whole file.
const LONGEST: u32 = 1_000_000;

impl Settings {
    /// The default ones with values that files of settings have for them; what
    /// can't be one is left out.
    pub fn with(values: &[(String, String)]) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in values {
            if let Ok(setting) = find(name) {
                let _ = settings.take(setting, value);
            }
        }
        settings
    }

    /// Takes a value in; `None` when it is none for this setting.
    fn take(&mut self, setting: &SettingDef, value: &str) -> Option<()> {
        match setting.name {
            "disassembly-flavor" => {
                self.flavor =
                    [Flavor::Att, Flavor::Intel].into_iter().find(|f| f.word() == value)?;
            }
            "listsize" => {
                let size = value.parse().ok();
                self.list_size = size.filter(|size| (1..=LONGEST).contains(size))?;
            }
            "hardware-cure" => {
                self.hardware_cure =
                    HardwareCure::ALL.into_iter().find(|cure| cure.word() == value)?;
            }
            "module-events" => {
                self.module_events =
                    ModuleEvents::ALL.into_iter().find(|events| events.word() == value)?;
            }
            _ => return None,
        }
        Some(())
    }
}

/// The settings that need no guest, so that a file can have values for them.
pub fn names_for_files() -> Vec<&'static str> {
    let names = SETTINGS.iter().map(|setting| setting.name);
    names.filter(|name| !["crash-stops", "substitute-path"].contains(name)).collect()
}

/// Whether a file of settings can have this value for a setting.
pub fn check(name: &str, value: &str) -> Result<(), String> {
    let setting = find(name).map_err(|why| why.to_string())?;
    Settings::default().take(setting, value).ok_or_else(|| refused(setting, value))
}

fn refused(setting: &SettingDef, value: &str) -> String {
    format!("{} is {}, not '{value}'", setting.name, setting.values)
}

impl Session {
    /// `set NAME VALUE`.
    pub(super) async fn set(&mut self, name: &str, value: &str) -> Result<Answer, Failure> {
        let setting = find(name)?;
        let refused = || Failure::Other(refused(setting, value));
        match setting.name {
            "crash-stops" => match value {
                "on" | "off" => self.set_crash_stops(value == "on").await?,
                _ => return Err(refused()),
            },
            "substitute-path" => {
                let (from, to) = value.split_once(char::is_whitespace).ok_or_else(refused)?;
                let (from, to) = (from.to_owned(), to.trim().to_owned());
                self.options.substitute.push((from.clone(), to.clone()));
                self.code.substitute(from, to.into());
                if self.need_stopped().is_ok() {
                    self.first_frame();
                    self.panes.restart(self.options.eager);
                }
            }
            _ => self.settings.take(setting, value).ok_or_else(refused)?,
        }
        match setting.name {
            "disassembly-flavor" => {
                if self.stop.as_ref().is_some_and(|stop| !stop.code.is_empty()) {
                    // The bytes are known at this stop; only the text is new.
                    self.read_code().await?;
                }
                self.panes.due.add(Due::of_code(&self.panes.wants));
            }
            "hardware-cure" => self.points.retry_hardware(),
            _ => {}
        }
        if ["hardware-cure", "module-events"].contains(&setting.name) && self.need_stopped().is_ok()
        {
            self.reconcile().await?;
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
                "crash-stops" => format!("{}: {}.", setting.says, self.crash_stops()),
                "disassembly-flavor" => {
                    format!("{} \"{}\".", setting.says, self.settings.flavor.word())
                }
                "hardware-cure" => {
                    format!("{}: {}.", setting.says, self.settings.hardware_cure.word())
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
    use super::*;

    #[test]
    fn files_have_values_that_need_no_guest() {
        let defaults = Settings::default();
        for (name, value) in [
            ("disassembly-flavor", defaults.flavor.word().to_string()),
            ("hardware-cure", defaults.hardware_cure.word().to_string()),
            ("listsize", defaults.list_size.to_string()),
            ("module-events", defaults.module_events.word().to_string()),
        ] {
            assert_eq!(check(name, &value), Ok(()), "{name}");
            assert!(names_for_files().contains(&name));
        }
        assert_eq!(names_for_files().len(), 4, "the documented default has them all");
        assert_eq!(check("listsize", "0").unwrap_err(), "listsize is a number of lines, not '0'");
        assert!(check("crash-stops", "on").is_err());
        let value = |name: &str, value: &str| (name.to_string(), value.to_string());
        let given = [value("listsize", "25"), value("listsize", "x"), value("zork", "1")];
        assert_eq!(Settings::with(&given).list_size, 25);
    }

    #[test]
    fn settings_are_found_by_their_beginning() {
        assert_eq!(find("disas").unwrap().name, "disassembly-flavor");
        assert_eq!(find("listsize").unwrap().name, "listsize");
        assert!(find("").is_err());
        assert!(find("zork").err().unwrap().to_string().contains("listsize"));
    }
}
