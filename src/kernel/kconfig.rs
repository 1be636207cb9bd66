//! The configuration that a kernel was built with.
//!
//! With CONFIG_IKCONFIG it is packed into the kernel (`kernel_config_data` in
//! kernel/configs.c). That is constant data, so a vmlinux that is proven to be
//! the guest's has the same bytes, and reading them costs nothing; only where
//! the file has none (its sections were taken out when the debug info was split
//! off) they come from the guest. Without CONFIG_IKCONFIG symbols tell some of
//! it: what a part of the kernel defines is there or not.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory},
    },
    kernel::KernelError,
    symbols::placed::Symbols,
};
use std::{collections::BTreeMap, io::Read};
use thiserror::Error;

/// Around the data in memory.
const BEGIN: &[u8] = b"IKCFG_ST";
const END: &[u8] = b"IKCFG_ED";

/// What gzip begins with (RFC 1952).
const GZIP: &[u8] = &[0x1f, 0x8b];

/// More than any packed configuration has: distributions' have 40 to 80 kB.
const MOST_PACKED: u64 = 512 << 10;

/// More than any configuration has: distributions' have 200 to 300 kB.
const MOST_TEXT: u64 = 4 << 20;

/// Options that symbols tell: the option, and a symbol that is there with it and
/// not without.
const BY_SYMBOL: [(&str, &str); 7] = [
    // kernel/debug/debug_core.c
    ("KGDB", "kgdb_breakpoint"),
    // drivers/tty/serial/kgdboc.c; not found when it is a module.
    ("KGDB_SERIAL_CONSOLE", "kgdboc_io_ops"),
    // kernel/debug/kdb/kdb_main.c
    ("KGDB_KDB", "kdb_register"),
    // drivers/tty/sysrq.c
    ("MAGIC_SYSRQ", "handle_sysrq"),
    // init/main.c; up to 4.10 the option was called DEBUG_RODATA.
    ("STRICT_KERNEL_RWX", "mark_rodata_ro"),
    // security/lockdown/lockdown.c
    ("SECURITY_LOCKDOWN_LSM", "kernel_locked_down"),
    // kernel/configs.c
    ("IKCONFIG", "kernel_config_data"),
];

/// Why a text is no configuration.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// It can't be unpacked.
    #[error("the configuration can't be unpacked: {0}")]
    Packed(String),
    /// It is too large.
    #[error("it is larger than a kernel's configuration ever is (4 MB)")]
    TooLarge,
    /// It is something else.
    #[error("it is no kernel configuration: it has no line such as CONFIG_64BIT=y")]
    NotConfig,
}

/// The options that are told, without their `CONFIG_`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    values: BTreeMap<String, String>,
    /// Whether an option that is not told is not set.
    whole: bool,
}

impl Config {
    /// Reads a file such as /boot/config-6.1.0, /proc/config.gz, or a kernel in
    /// which one is packed.
    ///
    /// # Errors
    /// It is no such file.
    pub fn of_bytes(bytes: &[u8]) -> Result<Config, ConfigError> {
        let marked = bytes.windows(BEGIN.len()).position(|window| window == BEGIN);
        let bytes = match marked {
            Some(at) if !bytes.starts_with(GZIP) => {
                let inner = &bytes[at + BEGIN.len()..];
                let end = inner.windows(END.len()).position(|window| window == END);
                &inner[..end.unwrap_or(inner.len())]
            }
            _ => bytes,
        };
        let mut text = Vec::new();
        let read = match bytes.starts_with(GZIP) {
            true => flate2::read::GzDecoder::new(bytes).take(MOST_TEXT + 1).read_to_end(&mut text),
            false => bytes.take(MOST_TEXT + 1).read_to_end(&mut text),
        };
        read.map_err(|why| ConfigError::Packed(why.to_string()))?;
        if text.len() as u64 > MOST_TEXT {
            return Err(ConfigError::TooLarge);
        }
        Config::parse(&String::from_utf8_lossy(&text)).ok_or(ConfigError::NotConfig)
    }

    /// Reads the text (`CONFIG_X=y`, `# CONFIG_X is not set`); `None` when there
    /// is no such line.
    fn parse(text: &str) -> Option<Config> {
        let one = |line: &str| {
            let line = line.trim_end();
            if let Some(rest) = line.strip_prefix("CONFIG_") {
                let (name, value) = rest.split_once('=')?;
                return Some((name.to_owned(), value.to_owned()));
            }
            let name = line.strip_prefix("# CONFIG_")?.strip_suffix(" is not set")?;
            Some((name.to_owned(), "n".to_owned()))
        };
        let values: BTreeMap<_, _> = text.lines().filter_map(one).collect();
        (!values.is_empty()).then_some(Config { values, whole: true })
    }

    /// Options that are known already; of a whole configuration, those that are
    /// not among them are not set.
    pub fn of_options(options: Vec<(String, String)>, whole: bool) -> Config {
        Config { values: options.into_iter().collect(), whole }
    }

    /// The value of an option: `y`, `m`, `n`, a number, a text in quotes; `None`
    /// when it is not known. An option that a whole configuration does not have
    /// is `n`: what it depends on is not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        let known = self.values.get(name).map(String::as_str);
        known.or_else(|| self.whole.then_some("n"))
    }

    /// Whether it is known to be `y` or `m`.
    pub fn is_set(&self, name: &str) -> bool {
        matches!(self.get(name), Some("y" | "m"))
    }

    /// All that is told, by name.
    pub fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Where the packed configuration is: its address and size.
fn place(symbols: &Symbols) -> Option<(Addr, u64)> {
    let start = symbols.symbol_addr("kernel_config_data")?;
    // Since 5.1 labels of the assembler, before an array of C, marks included.
    let size = match symbols.symbol_addr("kernel_config_data_end") {
        Some(end) => end.since(start),
        None => {
            let image = symbols.vmlinux()?.image.image();
            image.symbols().named("kernel_config_data").next()?.size
        }
    };
    (1..=MOST_PACKED).contains(&size).then_some((start, size))
}

/// Whether there is a configuration in the kernel.
pub fn is_packed_in(symbols: &Symbols) -> bool {
    place(symbols).is_some()
}

/// The configuration in the file of the kernel; `None` when the file does not
/// have it.
///
/// # Errors
/// What is there is no configuration.
pub fn of_file(symbols: &Symbols) -> Result<Option<Config>, ConfigError> {
    let bytes = place(symbols).and_then(|(at, size)| symbols.file_bytes(at, size as usize));
    bytes.map(Config::of_bytes).transpose()
}

/// The configuration in the guest's memory. The read is as long as that is
/// packed: at 115200 baud ten seconds and more.
///
/// # Errors
/// A read that has no answer; there is none, or something else.
pub fn of_memory(symbols: &Symbols, memory: &dyn Memory) -> Result<Config, KernelError> {
    let none = || KernelError::NoSymbol("kernel_config_data".into());
    let (at, size) = place(symbols).ok_or_else(none)?;
    let bytes: Result<Vec<u8>, Gap> = memory.bytes(at, size as usize);
    Config::of_bytes(&bytes?).map_err(|why| KernelError::Implausible(why.to_string()))
}

/// What symbols tell of it. A file without a symbol table tells nothing.
pub fn of_symbols(symbols: &Symbols) -> Config {
    let Some(vmlinux) = symbols.vmlinux() else { return Config::default() };
    let image = vmlinux.image.image();
    let mut values = BTreeMap::new();
    if image.symbols().named("start_kernel").next().is_some() {
        for (option, symbol) in BY_SYMBOL {
            let is_there = image.symbols().named(symbol).next().is_some();
            let may_be_module = option == "KGDB_SERIAL_CONSOLE";
            match is_there {
                true => values.insert(option.to_owned(), "y".to_owned()),
                false if may_be_module => None,
                false => values.insert(option.to_owned(), "n".to_owned()),
            };
        }
        let debug_info = if image.has_dwarf() { "y" } else { "n" };
        values.insert("DEBUG_INFO".to_owned(), debug_info.to_owned());
    }
    Config { values, whole: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    const TEXT: &str = "#\n# Linux/x86 6.1.0 Kernel Configuration\n#\nCONFIG_KGDB=y\nCONFIG_KGDB_SERIAL_CONSOLE=m\n# CONFIG_KGDB_KDB is not set\nCONFIG_MAGIC_SYSRQ_DEFAULT_ENABLE=0x1b6\nCONFIG_LOCALVERSION=\"-x=y\"\n";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn a_configuration_is_read_packed_or_not_or_inside_a_kernel() {
        let packed = gzip(TEXT.as_bytes());
        let inside = [b"\x7fELF junk ", BEGIN, &packed[..], END, b" more"].concat();
        for bytes in [TEXT.as_bytes(), &packed, &inside] {
            let config = Config::of_bytes(bytes).unwrap();
            assert_eq!(config.get("KGDB"), Some("y"));
            assert!(config.is_set("KGDB_SERIAL_CONSOLE") && !config.is_set("KGDB_KDB"));
            assert_eq!(config.get("MAGIC_SYSRQ_DEFAULT_ENABLE"), Some("0x1b6"));
            assert_eq!(config.get("LOCALVERSION"), Some("\"-x=y\""));
            assert_eq!(config.get("NEVER_HEARD_OF"), Some("n"));
            assert_eq!(config.options().count(), 5);
        }
    }

    #[test]
    fn what_is_none_says_so() {
        let error = |bytes: &[u8]| Config::of_bytes(bytes).unwrap_err();
        assert_eq!(error(b"hello\n"), ConfigError::NotConfig);
        assert_eq!(error(b""), ConfigError::NotConfig);
        let packed = gzip(TEXT.as_bytes());
        assert!(matches!(error(&packed[..packed.len() / 2]), ConfigError::Packed(_)));
        // A small file that says it is endless.
        assert_eq!(error(&gzip(&vec![b'#'; 5 << 20])), ConfigError::TooLarge);
        assert_eq!(Config::default().get("KGDB"), None, "nothing is told");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..200) {
            let _ = Config::of_bytes(&bytes);
            let mut packed = gzip(TEXT.as_bytes());
            packed.truncate(cut);
            packed.extend(&bytes);
            let _ = Config::of_bytes(&packed);
        }
    }
}
