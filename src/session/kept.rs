//! What is kept of a target on disk, from one session to the next.
//!
//! A target is where the link goes (`localhost:9999`): one directory each,
//! one file for each kind of thing. The files are JSON, for this program
//! alone. A file is replaced as a whole, so that a session which is killed
//! leaves the old one or the new one.

use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Why something could not be kept or found again.
#[derive(Debug, Error)]
pub enum KeptError {
    /// The file system said no.
    #[error("{}: {error}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// A file that this program did not write, or that is damaged.
    #[error("{} is damaged and not used: {error}", .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where, and what.
        error: serde_json::Error,
    },
}

/// What is kept of one target.
#[derive(Clone, Debug)]
pub struct Kept {
    dir: PathBuf,
}

impl Kept {
    /// Below `root`, for a target named as the user names it.
    pub fn new(root: &Path, target: &str) -> Kept {
        Kept { dir: root.join("targets").join(file_name(target)) }
    }

    /// What was kept under a name; `None` when nothing was.
    ///
    /// # Errors
    /// A file that can't be read or makes no sense.
    pub fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, KeptError> {
        let path = self.path(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(KeptError::Io { path, error }),
        };
        match serde_json::from_slice(&text) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(KeptError::Damaged { path, error }),
        }
    }

    /// Keeps something under a name.
    ///
    /// # Errors
    /// A file that can't be written.
    pub fn save<T: Serialize>(&self, name: &str, value: &T) -> Result<(), KeptError> {
        let path = self.path(name);
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.dir)?;
            // Beside it, so that the rename stays in one file system.
            let new = path.with_extension(format!("new.{}", std::process::id()));
            let mut file = fs::File::create(&new)?;
            file.write_all(&serde_json::to_vec_pretty(value)?)?;
            drop(file);
            fs::rename(&new, &path)
        };
        write().map_err(|error| KeptError::Io { path: path.clone(), error })
    }

    /// Forgets what was kept under a name.
    ///
    /// # Errors
    /// A file that can't be removed.
    pub fn forget(&self, name: &str) -> Result<(), KeptError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(KeptError::Io { path, error })
            }
            _ => {
                // Goes only when nothing else is kept.
                let _ = fs::remove_dir(&self.dir);
                Ok(())
            }
        }
    }

    /// The file of what is kept under a name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name).with_extension("json")
    }
}

/// A target's name as one of a file: what else could mean something in a path
/// is written as `%` and two digits.
fn file_name(target: &str) -> String {
    /// Shorter than any file system's limit of 255 bytes.
    const MOST: usize = 200;
    let mut name = String::new();
    for byte in target.bytes().take(MOST / 3) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            b'.' if !name.is_empty() => name.push('.'),
            _ => name += &format!("%{byte:02x}"),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_kept_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        let kept = Kept::new(root.path(), "localhost:9999");
        assert_eq!(kept.load::<Vec<u32>>("numbers").unwrap(), None);
        kept.save("numbers", &vec![1, 2]).unwrap();
        kept.save("numbers", &vec![3]).unwrap();
        assert_eq!(kept.load("numbers").unwrap(), Some(vec![3]));
        let other = Kept::new(root.path(), "localhost:9998");
        assert_eq!(other.load::<Vec<u32>>("numbers").unwrap(), None);
        fs::write(kept.path("numbers"), "[3").unwrap();
        let error = kept.load::<Vec<u32>>("numbers").unwrap_err().to_string();
        assert!(error.contains("numbers.json is damaged"), "{error}");
        kept.forget("numbers").unwrap();
        kept.forget("numbers").unwrap();
        assert!(!kept.dir.exists(), "an empty directory goes too");
    }

    proptest! {
        #[test]
        fn any_target_is_one_file_name(target in "\\PC+") {
            let name = file_name(&target);
            prop_assert!(!name.contains(['/', '\0']) && !name.starts_with('.'));
            prop_assert!(name.len() <= 200);
        }
    }
}
