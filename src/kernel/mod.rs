//! What Linux means: where KASLR put the kernel, whether this vmlinux is the
//! guest's, its modules, its CPUs and what runs on them.
//!
//! Contract: plain code over a [`Memory`](crate::base::memory::Memory) and
//! [`Symbols`]; a read that has no answer yet is an error of its own
//! ([`KernelError::missing`]), after which the same call is made again. Every
//! layout comes from members in debug information, never from a version.
//! Guest memory may hold anything: every walk and every size is bounded.

pub mod add_symbol_file;
pub mod boot;
pub mod breaks;
pub mod cmdline;
pub mod cpus;
pub mod crash;
pub mod crash_address;
pub mod crash_reporters;
pub mod crash_trap;
pub mod danger;
pub mod dmesg;
mod dmesg_old;
mod dmesg_ring;
pub mod hooks;
pub mod hw_breakpoints;
pub mod kconfig;
pub mod kgdb_state;
pub mod module_facts;
pub mod module_identity;
pub mod module_layout;
pub mod module_memory;
pub mod module_params;
pub mod module_sections;
pub mod module_usage;
pub mod modules;
pub mod percpu;
pub mod proof;
mod record;
pub mod sections_file;
pub mod sections_script;
pub mod sections_text;
pub mod slide;
pub mod task_list;
pub mod tasks;
pub mod version;

use crate::{
    base::{addr::Addr, memory::Gap},
    symbols::{answer::Layout, placed::Symbols},
};
use std::sync::Arc;
use thiserror::Error;

/// Why a fact about the kernel is not known.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KernelError {
    /// Guest memory that is not read yet, or can't be.
    #[error(transparent)]
    Gap(#[from] Gap),
    /// vmlinux lacks a symbol: the kernel is built without the feature, or
    /// its symbol table was stripped.
    #[error("vmlinux has no symbol {0}")]
    NoSymbol(String),
    /// The debug information lacks a type or a member of it.
    #[error("the debug information of vmlinux has no {0}; it needs CONFIG_DEBUG_INFO")]
    NoType(String),
    /// Guest memory holds something that can't be what it should be.
    #[error("{0}")]
    Implausible(String),
}

impl KernelError {
    /// Whether guest memory that can still be fetched is all that lacks.
    pub fn missing(&self) -> bool {
        matches!(self, KernelError::Gap(gap) if gap.is_missing())
    }
}

fn symbol(symbols: &Symbols, name: &str) -> Result<Addr, KernelError> {
    symbols.symbol_addr(name).ok_or_else(|| KernelError::NoSymbol(name.to_string()))
}

/// One structure's layout, with errors that name what lacks.
struct Struct {
    layout: Arc<Layout>,
}

impl Struct {
    fn new(symbols: &Symbols, name: &str) -> Result<Struct, KernelError> {
        let layout = symbols.struct_layout(name);
        let layout = layout.ok_or_else(|| KernelError::NoType(format!("struct {name}")))?;
        Ok(Struct { layout })
    }

    /// The offset and size of a member, both in bytes.
    fn find(&self, path: &str) -> Option<(u64, u64)> {
        self.layout.member(path).map(|member| (member.offset, member.size))
    }

    /// The offset of a member.
    fn offset(&self, path: &str) -> Result<u64, KernelError> {
        Ok(self.field(path)?.0)
    }

    /// The offset and size of a member that must be there.
    fn field(&self, path: &str) -> Result<(u64, u64), KernelError> {
        self.find(path).ok_or_else(|| {
            KernelError::NoType(format!("member {path} in struct {}", self.layout.name))
        })
    }

    /// A number that may be a bit field within a byte: the byte's offset, the
    /// first bit and how many.
    fn bits(&self, path: &str) -> Result<(u64, u32, u32), KernelError> {
        let (offset, _) = self.field(path)?;
        let bits = self.layout.member(path).and_then(|member| member.bits);
        let (first, count) = bits.unwrap_or((0, 8));
        Ok((offset + u64::from(first / 8), first % 8, count.min(8)))
    }

    fn size(&self) -> u64 {
        self.layout.size
    }
}
