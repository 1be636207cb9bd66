//! Building the guest once, and finding it again.
//!
//! The sources are in this program, so an installed `kgdb-tui demo` builds too.
//! A result is kept under a key made of everything that goes into it: the
//! scripts, the kernel package, the compiler. There are two, so that a change in
//! the demo module costs seconds and not minutes:
//!
//! ```text
//! ~/.cache/kgdb-tui/
//!   kernel-KEY/   vmlinux bzImage modules/ linux-6.1/ (sources, module build)
//!   guest-KEY/    initrd.gz modules/ src/{hgfs,linux-6.1} and links to the above
//!   build.lock    held while one process builds; others wait for it
//! ```
//!
//! A build happens in `….partial` and is renamed when it is complete.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::demo::job::{Asset, Job};
use crate::demo::{DemoError, Progress};

/// What `DW_AT_comp_dir` and the file names in the debug information start
/// with; the files are in [`Built::source`].
pub const COMPILED_IN: &str = "/build/linux-kgdbtui";

const KERNEL_ARCHIVE: &str = "/usr/src/linux-source-6.1.tar.xz";

macro_rules! asset {
    ($name:literal) => {
        ($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/guest/", $name)))
    };
}

const KERNEL_ASSETS: &[Asset] = &[asset!("kernel.sh"), asset!("kernel.config")];

const GUEST_ASSETS: &[Asset] = &[
    asset!("guest.sh"),
    asset!("init"),
    asset!("hgfs/Makefile"),
    asset!("hgfs/hgfs.h"),
    asset!("hgfs/main.c"),
    asset!("hgfs/request.c"),
    asset!("hgfs/hgfs-ping.h"),
    asset!("hgfs/hgfs-ping.c"),
    asset!("hgfs/hgfs-pong.c"),
    asset!("hgfs/hgfs-crash.c"),
];

/// Seconds each step takes on two slow cores (measured); the ratio is what
/// counts.
const KERNEL_WEIGHTS: &[f64] = &[12.0, 5.0, 280.0, 8.0];
const GUEST_WEIGHTS: &[f64] = &[3.0, 2.0];

/// A guest that is ready to boot and to debug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The directory with all the rest.
    pub dir: PathBuf,
    /// The kernel with debug information.
    pub vmlinux: PathBuf,
    /// The kernel to boot.
    pub bzimage: PathBuf,
    /// The RAM disk.
    pub initrd: PathBuf,
    /// A directory with `hgfs.ko`, `hgfs-ping.ko`, `fuse.ko` and the like, not stripped.
    pub modules: PathBuf,
    /// The directory that stands for [`COMPILED_IN`]: `linux-6.1` and `hgfs`.
    pub source: PathBuf,
}

impl Built {
    fn at(dir: PathBuf) -> Built {
        Built {
            vmlinux: dir.join("vmlinux"),
            bzimage: dir.join("bzImage"),
            initrd: dir.join("initrd.gz"),
            modules: dir.join("modules"),
            source: dir.join("src"),
            dir,
        }
    }

    fn is_complete(&self) -> bool {
        // The source directory reaches the kernel's through a link.
        self.initrd.is_file() && self.vmlinux.is_file() && self.source.join("linux-6.1").is_dir()
    }
}

/// What would be built here and now.
#[derive(Debug, Clone)]
pub struct Recipe {
    cache: PathBuf,
    kernel_key: String,
    guest_key: String,
}

impl Recipe {
    /// Works out the keys: reads the versions of compiler, linker and kernel
    /// source, and the `busybox` program.
    ///
    /// # Errors
    /// There is no cache directory. Programs that are missing only change the
    /// key; [`Recipe::build`] reports them.
    pub fn current() -> Result<Recipe, DemoError> {
        use etcetera::BaseStrategy;
        let base = etcetera::choose_base_strategy().map_err(|_| DemoError::NoCache)?;
        Ok(Recipe::in_cache(base.cache_dir().join("kgdb-tui")))
    }

    fn in_cache(cache: PathBuf) -> Recipe {
        let mut key = Key::default();
        for (name, bytes) in KERNEL_ASSETS {
            key.add(name.as_bytes()).add(bytes);
        }
        key.add(answer("gcc", &["--version"]).as_bytes());
        key.add(answer("ld", &["--version"]).as_bytes());
        key.add(answer("dpkg-query", &["-W", "-f", "${Version}", "linux-source-6.1"]).as_bytes());
        let archive = fs::metadata(KERNEL_ARCHIVE).map_or(0, |data| data.len());
        key.add(&archive.to_le_bytes());
        let kernel_key = key.to_string();
        for (name, bytes) in GUEST_ASSETS {
            key.add(name.as_bytes()).add(bytes);
        }
        key.add(&fs::read("/bin/busybox").unwrap_or_default());
        Recipe { cache, kernel_key, guest_key: key.to_string() }
    }

    /// The directory with all that is kept.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Where the kernel is, or will be.
    pub fn kernel_dir(&self) -> PathBuf {
        self.cache.join(format!("kernel-{}", self.kernel_key))
    }

    /// Where the guest is, or will be.
    pub fn guest_dir(&self) -> PathBuf {
        self.cache.join(format!("guest-{}", self.guest_key))
    }

    /// The guest, when it is built.
    pub fn built(&self) -> Option<Built> {
        Some(Built::at(self.guest_dir())).filter(Built::is_complete)
    }

    /// Whether [`Recipe::build`] has nothing to do.
    pub fn is_built(&self) -> bool {
        self.built().is_some()
    }

    /// Builds what is missing; at once when nothing is.
    ///
    /// When another process builds, waits for it. `progress` is called on this
    /// thread. Setting `cancel` ends the build within a moment, and a build that
    /// did not end well leaves nothing that looks complete.
    ///
    /// # Errors
    /// A step failed (its log is named), the cache cannot be written, or the
    /// build was cancelled.
    pub fn build(
        &self,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Built, DemoError> {
        if let Some(built) = self.built() {
            return Ok(built);
        }
        fs::create_dir_all(&self.cache).map_err(DemoError::file("create", &self.cache))?;
        let lock = self.lock(cancel, progress)?;
        if let Some(built) = self.built() {
            return Ok(built);
        }
        let need_kernel = !self.kernel_dir().is_dir();
        let mut weights = if need_kernel { KERNEL_WEIGHTS.to_vec() } else { vec![] };
        weights.extend(GUEST_WEIGHTS);
        let mut meter = Meter::new(weights);

        let job = Job { lock: &lock, cancel };
        let kernel = self.kernel_dir();
        if need_kernel {
            let report = &mut |step, part, title: &str| progress(&meter.at(step, part, title));
            job.run(KERNEL_ASSETS, "kernel.sh", &[], &kernel, report)?;
            meter.skip(KERNEL_WEIGHTS.len());
        }
        let guest = self.guest_dir();
        let report = &mut |step, part, title: &str| progress(&meter.at(step, part, title));
        job.run(GUEST_ASSETS, "guest.sh", &[&kernel], &guest, report)?;
        self.built().ok_or_else(|| DemoError::Build {
            why: "the guest is not complete after its build".to_owned(),
            log: guest.join("build.log"),
            tail: String::new(),
        })
    }

    /// Takes the lock, or waits while another process builds.
    fn lock(
        &self,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<File, DemoError> {
        let path = self.cache.join("build.lock");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(DemoError::file("open", &path))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(source)) => {
                    return Err(DemoError::File { what: "lock", path, source });
                }
            }
            if cancel.load(Ordering::Relaxed) {
                return Err(DemoError::Cancelled);
            }
            progress(&Progress {
                step: 1,
                steps: 1,
                title: "waiting for another process that builds the guest".to_owned(),
                fraction: 0.0,
                eta: None,
            });
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Turns steps into a fraction of the whole and an estimate.
struct Meter {
    weights: Vec<f64>,
    skipped: usize,
    start: Instant,
}

impl Meter {
    fn new(weights: Vec<f64>) -> Meter {
        Meter { weights, skipped: 0, start: Instant::now() }
    }

    /// The script that comes next counts its steps from 1 again.
    fn skip(&mut self, steps: usize) {
        self.skipped += steps;
    }

    fn at(&self, step: usize, part: f64, title: &str) -> Progress {
        let index = (self.skipped + step).clamp(1, self.weights.len()) - 1;
        let total: f64 = self.weights.iter().sum();
        let before: f64 = self.weights[..index].iter().sum();
        let fraction = ((before + self.weights[index] * part) / total).min(1.0);
        let spent = self.start.elapsed();
        // The first percents say little about this machine.
        let eta = (fraction > 0.02).then(|| spent.mul_f64((1.0 - fraction) / fraction));
        Progress {
            step: index as u32 + 1,
            steps: self.weights.len() as u32,
            title: title.to_owned(),
            fraction,
            eta,
        }
    }
}

/// FNV-1a with 64 bits: stable between releases, which std's hashers are not.
struct Key(u64);

impl Default for Key {
    fn default() -> Key {
        Key(0xcbf2_9ce4_8422_2325)
    }
}

impl Key {
    /// Adds bytes and their number, so that two fields do not run together.
    fn add(&mut self, bytes: &[u8]) -> &mut Key {
        for byte in bytes.iter().chain(&(bytes.len() as u64).to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a program prints; empty when it cannot be run.
fn answer(program: &str, args: &[&str]) -> String {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_only_goes_forward() {
        let mut meter = Meter::new(vec![1.0, 3.0, 4.0]);
        let first = meter.at(1, 0.5, "a");
        assert_eq!((first.step, first.steps, first.fraction), (1, 3, 0.0625));
        assert_eq!(meter.at(2, 1.0, "b").fraction, 0.5);
        meter.skip(2);
        let last = meter.at(1, 1.0, "c");
        assert_eq!((last.step, last.fraction), (3, 1.0));
        assert_eq!(last.eta, Some(Duration::ZERO));
        assert_eq!(meter.at(9, 1.0, "beyond").step, 3);
    }

    #[test]
    fn the_key_knows_where_fields_end() {
        let key = |fields: &[&[u8]]| {
            let mut key = Key::default();
            for field in fields {
                key.add(field);
            }
            key.to_string()
        };
        assert_eq!(key(&[b"ab", b"c"]), key(&[b"ab", b"c"]));
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert_ne!(key(&[b""]), key(&[]));
    }

    #[test]
    fn the_assets_name_every_file_of_the_directory() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/guest");
        let mut on_disk = Vec::new();
        for dir in ["", "hgfs/"] {
            for entry in fs::read_dir(root.join(dir)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    on_disk.push(format!("{dir}{}", entry.file_name().to_string_lossy()));
                }
            }
        }
        let mut known: Vec<String> =
            KERNEL_ASSETS.iter().chain(GUEST_ASSETS).map(|(name, _)| (*name).to_owned()).collect();
        on_disk.sort();
        known.sort();
        assert_eq!(on_disk, known);
    }
}
