//! What the session answers about one module of the guest (`info module`).

use crate::base::addr::Addr;
use serde::Serialize;
use std::path::PathBuf;

/// A module, with all that its memory tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModuleAnswer {
    /// Its name, as `lsmod` has it.
    pub name: String,
    /// Its `struct module`.
    pub address: Addr,
    /// `live`, `coming`, `going` or `unknown`.
    pub state: &'static str,
    /// The memory it has now.
    pub memory: Vec<MemoryAnswer>,
    /// How often it is in use, as `lsmod` counts; null in a kernel that can't
    /// unload modules.
    pub refs: Option<i64>,
    /// Whether it can't be unloaded: it has no exit function.
    pub permanent: bool,
    /// Modules that use it.
    pub used_by: Vec<String>,
    /// Modules that it uses.
    pub uses: Vec<String>,
    /// What it taints the kernel with: the letters of `/proc/modules`.
    pub taints: String,
    /// `MODULE_VERSION`.
    pub version: Option<String>,
    /// The sum of its sources (`CONFIG_MODULE_SRCVERSION_ALL`).
    pub srcversion: Option<String>,
    /// The build-id in its memory, in hexadecimal.
    pub build_id: Option<String>,
    /// Its init function; null when it has none.
    pub init: Option<FunctionAnswer>,
    /// Its exit function; null when it has none.
    pub exit: Option<FunctionAnswer>,
    /// Where its sections are or were, in the guest's order; the per-CPU one,
    /// which every CPU has a copy of, last.
    pub sections: Vec<SectionAnswer>,
    /// Its parameters, in the guest's order.
    pub parameters: Vec<ParameterAnswer>,
    /// `loaded`, `loading`, `not found`, `wrong build`, `failed`.
    pub symbols: &'static str,
    /// The .ko in use.
    pub path: Option<PathBuf>,
    /// What shows that it is the guest's.
    pub proven_by: Option<String>,
    /// Where it was looked for, or what does not fit.
    pub why: Option<String>,
    /// What could not be read, or can't be true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
}

/// A piece of a module's memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryAnswer {
    /// `core` or `init`; since 6.4 `text`, `data`, `rodata`, `ro_after_init`,
    /// `init_text`, `init_data` and `init_rodata`.
    pub what: &'static str,
    /// Where it starts.
    pub start: Addr,
    /// Its size in bytes.
    pub size: u64,
    /// How much of it is code, where that is told apart.
    pub text: Option<u64>,
}

/// A function of a module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FunctionAnswer {
    /// Where it is, or was.
    pub address: Addr,
    /// Its name, where the symbols know it.
    pub name: Option<String>,
    /// Whether its memory was given back.
    pub gone: bool,
}

/// A section of a module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SectionAnswer {
    /// `.text` and the like.
    pub name: String,
    /// Its address, as `/sys/module/NAME/sections` has it.
    pub address: Addr,
    /// `loaded`; `gone` when its memory was given back after init; `per-cpu`
    /// for an offset that every CPU adds its own to; `nowhere` when there can
    /// be nothing at that address.
    pub state: &'static str,
}

/// A parameter of a module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParameterAnswer {
    /// Its name.
    pub name: String,
    /// `int`, `charp`, `array of ushort`, …; null for one with functions of its own.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Its value, as `/sys/module/NAME/parameters` has it.
    pub value: Option<String>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its mode in `/sys`, in octal as `ls` has it: `0644`; `0000` when it is not there.
    pub mode: String,
}
