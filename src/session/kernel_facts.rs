//! What the kernel was built with and how kgdb is set up in it: `info config`,
//! `info kgdb`.

use super::{
    answer::{Answer, Failure},
    info::{MOST_NAMES, regex},
    request::Pattern,
    run::Session,
    subject::said,
};
use crate::kernel::{
    kconfig::{self, Config},
    kgdb_state::{self, KgdbState},
};
use serde::Serialize;

/// How kgdb is set up in the running kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KgdbAnswer {
    /// `/proc/cmdline`.
    pub command_line: Option<String>,
    /// The value of kgdboc now; empty when it is not set.
    pub kgdboc: Option<String>,
    /// The driver that carries the debugger's bytes; empty when there is none.
    pub driver: Option<String>,
    /// The mask of sysrq keys.
    pub sysrq: Option<i32>,
    /// Whether all of them are allowed whatever the mask says.
    pub sysrq_always: Option<bool>,
    /// `none`, `integrity`, `confidentiality`, or `on`.
    pub lockdown: Option<&'static str>,
    /// Seconds from a panic to the restart.
    pub panic_timeout: Option<i32>,
    /// Whether the kernel's code is read-only.
    pub rodata: Option<bool>,
    /// Whether kdb is built in.
    pub kdb: bool,
}

impl From<KgdbState> for KgdbAnswer {
    fn from(state: KgdbState) -> KgdbAnswer {
        KgdbAnswer {
            command_line: state.command_line,
            kgdboc: state.kgdboc,
            driver: state.driver,
            sysrq: state.sysrq,
            sysrq_always: state.sysrq_always,
            lockdown: state.lockdown.map(|lockdown| lockdown.word()),
            panic_timeout: state.panic_timeout,
            rodata: state.rodata,
            kdb: state.kdb,
        }
    }
}

/// The kernel's configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ConfigAnswer {
    /// Where it is from: `vmlinux` (the file), `memory` (the guest's), or
    /// `symbols` (what the symbols tell of it).
    pub from: &'static str,
    /// Options without their `CONFIG_`, and their values; `n` is not set.
    #[serde(serialize_with = "as_map")]
    pub options: Vec<(String, String)>,
    /// How many more fit.
    pub more: usize,
}

fn as_map<S: serde::Serializer>(
    options: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(options.iter().map(|(name, value)| (name, value)))
}

impl Session {
    /// `info kgdb`.
    pub(super) async fn kgdb_answer(&mut self) -> Result<Answer, Failure> {
        self.need_stopped()?;
        self.need_symbols()?;
        let state = self.compute(kgdb_state::read).await?;
        let state = state.map_err(|gap| Failure::Other(gap.to_string()))?;
        Ok(Answer::Kgdb(Box::new(state.into())))
    }

    /// `info config`: from the file, which costs nothing; else from the guest;
    /// else what symbols tell.
    pub(super) async fn config_answer(&mut self, pattern: &Pattern) -> Result<Answer, Failure> {
        let regex = regex(pattern)?;
        let symbols = self.usable_symbols();
        if symbols.vmlinux().is_none() {
            self.need_symbols()?;
        }
        let bad = |why: kconfig::ConfigError| Failure::Other(why.to_string());
        let (from, config): (&str, Config) = match kconfig::of_file(&symbols).map_err(bad)? {
            Some(config) => ("vmlinux", config),
            None if kconfig::is_packed_in(&symbols) => {
                self.need_stopped()?;
                self.need_symbols()?;
                ("memory", self.compute(kconfig::of_memory).await?.map_err(said)?)
            }
            None => ("symbols", kconfig::of_symbols(&symbols)),
        };
        // People write the name with and without what is before each.
        let fits = |name: &str| {
            let name = format!("CONFIG_{name}");
            regex.as_ref().is_none_or(|regex| regex.is_match(name.as_bytes()))
        };
        let all = config.options().filter(|(name, _)| fits(name));
        let mut options: Vec<_> =
            all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let most = pattern.limit.unwrap_or(MOST_NAMES);
        let more = options.len().saturating_sub(most);
        options.truncate(most);
        Ok(Answer::Config(Box::new(ConfigAnswer { from, options, more })))
    }
}
