//! Where settings come from: the user's file, and the one of the working tree.
//! They are looked for and read again when one was changed, made or removed.

use super::parse::{Checks, Origin, Parsed, Problem, parse};
use super::settings::Settings;
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The name of the file of a working tree.
pub const OF_A_TREE: &str = ".kgdb-tui.toml";

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The file of `--config`, which takes the place of the user's own.
    pub given: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME/kgdb-tui/config.toml`.
    pub own: Option<PathBuf>,
    /// The working directory.
    pub directory: Option<PathBuf>,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// Who runs the program; files of a tree must be theirs, or root's.
    pub user: u32,
}

impl Places {
    /// Those of this process.
    pub fn of_process(given: Option<PathBuf>) -> Places {
        let base = etcetera::choose_base_strategy().ok();
        let own = base.as_ref().map(etcetera::BaseStrategy::config_dir);
        Places {
            given,
            own: own.map(|dir| dir.join("kgdb-tui").join("config.toml")),
            directory: std::env::current_dir().ok(),
            home: etcetera::home_dir().ok(),
            user: rustix::process::geteuid().as_raw(),
        }
    }

    /// The files that may be read, the one that wins last.
    pub fn files(&self) -> Vec<Origin> {
        let origin = |path, trusted| Origin { path, trusted, home: self.home.clone() };
        let own = self.given.clone().or_else(|| self.own.clone());
        let own = own.map(|path| origin(path, true));
        let tree = self.tree_file().map(|path| origin(path, false));
        own.into_iter().chain(tree).collect()
    }

    /// The nearest file of the working directory or above it, up to a `.git`
    /// or the home directory; the one in the working directory where there is
    /// none yet.
    fn tree_file(&self) -> Option<PathBuf> {
        let directory = self.directory.as_deref()?;
        for above in directory.ancestors() {
            let file = above.join(OF_A_TREE);
            if file.is_file() {
                return Some(file);
            }
            if above.join(".git").exists() || Some(above) == self.home.as_deref() {
                break;
            }
        }
        Some(directory.join(OF_A_TREE))
    }
}

/// What tells that a file was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let data = fs::metadata(path).ok()?;
        Some(Stamp { modified: data.modified().ok(), len: data.len(), inode: data.ino() })
    }
}

/// What the files say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Everything that is wrong in the files.
    pub problems: Vec<Problem>,
    /// The files that were read.
    pub read: Vec<PathBuf>,
}

/// The files of settings, over and over.
#[derive(Debug)]
pub struct Files {
    places: Places,
    checks: Checks,
    stamps: Vec<(Origin, Option<Stamp>)>,
    /// What each said when it was last in order.
    good: Vec<(PathBuf, Settings)>,
}

impl Files {
    /// Files that are still to be read.
    pub fn new(places: Places, checks: Checks) -> Files {
        Files { places, checks, stamps: Vec::new(), good: Vec::new() }
    }

    /// Reads all of them.
    pub fn load(&mut self) -> Loaded {
        let stamp = |origin: Origin| {
            let stamp = Stamp::of(&origin.path);
            (origin, stamp)
        };
        self.stamps = self.places.files().into_iter().map(stamp).collect();
        let mut loaded = Loaded::default();
        for (origin, stamp) in self.stamps.clone() {
            let settings = match stamp {
                Some(_) => self.read(&origin, &mut loaded),
                None if Some(&origin.path) == self.places.given.as_ref() => {
                    loaded.problems.push(whole(&origin, "there is no such file".into()));
                    continue;
                }
                None => continue,
            };
            loaded.settings = settings.over(loaded.settings);
        }
        loaded
    }

    /// Reads them again if one of them was changed, made or removed.
    pub fn changed(&mut self) -> Option<Loaded> {
        let now = self.places.files().into_iter().map(|origin| {
            let stamp = Stamp::of(&origin.path);
            (origin, stamp)
        });
        if now.eq(self.stamps.iter().cloned()) { None } else { Some(self.load()) }
    }

    fn read(&mut self, origin: &Origin, loaded: &mut Loaded) -> Settings {
        let text = match text_of(origin, self.places.user) {
            Ok(text) => text,
            Err(why) => {
                loaded.problems.push(whole(origin, why));
                return Settings::default();
            }
        };
        loaded.read.push(origin.path.clone());
        let Parsed { settings, problems, broken } = parse(&text, origin, &self.checks);
        loaded.problems.extend(problems);
        let before = self.good.iter().position(|(path, _)| *path == origin.path);
        match before {
            // Somebody is in the middle of writing it.
            Some(at) if broken => {
                let words = "not taken in; what the file said before stays in force";
                loaded.problems.push(whole(origin, words.into()));
                self.good[at].1.clone()
            }
            Some(at) => {
                self.good[at].1 = settings.clone();
                settings
            }
            None => {
                if !broken {
                    self.good.push((origin.path.clone(), settings.clone()));
                }
                settings
            }
        }
    }
}

fn whole(origin: &Origin, what: String) -> Problem {
    Problem { path: origin.path.clone(), line: 0, what }
}

/// The text of a file, when it may be believed.
fn text_of(origin: &Origin, user: u32) -> Result<String, String> {
    /// More is no file of settings.
    const LONGEST: u64 = 1 << 20;
    let file = fs::File::open(&origin.path).map_err(|error| error.to_string())?;
    let data: Metadata = file.metadata().map_err(|error| error.to_string())?;
    if !data.is_file() {
        return Err("this is no file".into());
    }
    if !origin.trusted && data.uid() != user && data.uid() != 0 {
        return Err(format!("not read: it belongs to another user (uid {})", data.uid()));
    }
    let mut text = String::new();
    match file.take(LONGEST + 1).read_to_string(&mut text) {
        Ok(count) if count as u64 > LONGEST => Err("too long for settings".into()),
        Ok(_) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;
    use tempfile::TempDir;

    /// A home with a tree in it, `a/b` below that.
    fn home() -> (TempDir, Places) {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        fs::create_dir_all(at("tree/a/b")).unwrap();
        let places = Places {
            given: None,
            own: Some(at("config.toml")),
            directory: Some(at("tree/a/b")),
            home: Some(home.path().to_path_buf()),
            user: fs::metadata(home.path()).unwrap().uid(),
        };
        (home, places)
    }

    fn themes(loaded: &Loaded) -> (Option<&str>, Option<&str>) {
        (loaded.settings.theme.as_deref(), loaded.settings.connect.as_deref())
    }

    #[test]
    fn the_tree_wins_over_the_user_and_is_found_from_below() {
        let (home, places) = home();
        let at = |path: &str| home.path().join(path);
        let mut files = Files::new(places.clone(), Checks::NONE);
        assert_eq!(files.load(), Loaded::default());
        assert_eq!(files.changed(), None);
        write(at("config.toml"), "theme = 'light'\nconnect = 'a:1'").unwrap();
        let loaded = files.changed().unwrap();
        assert_eq!(themes(&loaded), (Some("light"), Some("a:1")));
        write(at("tree/.kgdb-tui.toml"), "theme = 'mono'").unwrap();
        let loaded = files.changed().unwrap();
        assert_eq!(themes(&loaded), (Some("mono"), Some("a:1")));
        assert_eq!(loaded.read, [at("config.toml"), at("tree/.kgdb-tui.toml")]);
        fs::remove_file(at("config.toml")).unwrap();
        assert_eq!(themes(&files.changed().unwrap()), (Some("mono"), None));
        fs::create_dir(at("tree/a/.git")).unwrap();
        assert_eq!(themes(&files.changed().unwrap()), (None, None), "another tree");
        fs::remove_dir(at("tree/a/.git")).unwrap();
        let given = Places { given: Some(at("none.toml")), ..places };
        let loaded = Files::new(given, Checks::NONE).load();
        assert_eq!(loaded.problems[0].what, "there is no such file");
        assert_eq!(themes(&loaded), (Some("mono"), None), "the tree's file still counts");
    }

    #[test]
    fn a_broken_file_leaves_what_it_said_before() {
        let (home, places) = home();
        let own = home.path().join("config.toml");
        write(&own, "theme = 'light'").unwrap();
        let mut files = Files::new(places, Checks::NONE);
        files.load();
        write(&own, "theme = 'mono'\n[keys").unwrap();
        let loaded = files.changed().unwrap();
        assert_eq!(themes(&loaded).0, Some("light"));
        assert_eq!((loaded.problems[0].line, loaded.problems.len()), (2, 2));
        assert!(loaded.problems[1].what.contains("stays in force"));
        write(&own, "theme = 'mono'").unwrap();
        let loaded = files.changed().unwrap();
        assert_eq!((themes(&loaded).0, loaded.problems.len()), (Some("mono"), 0));
    }

    #[test]
    fn a_file_of_another_user_is_not_believed() {
        let (home, places) = home();
        write(home.path().join("tree/.kgdb-tui.toml"), "theme = 'mono'").unwrap();
        let user = places.user.wrapping_add(1);
        let loaded = Files::new(Places { user, ..places.clone() }, Checks::NONE).load();
        if places.user != 0 {
            assert!(loaded.problems[0].what.contains("another user"));
            assert_eq!(loaded.settings, Settings::default());
        }
        fs::remove_file(home.path().join("tree/.kgdb-tui.toml")).unwrap();
        write(home.path().join("config.toml"), vec![0xff; 10]).unwrap();
        assert_eq!(Files::new(places, Checks::NONE).load().problems.len(), 1);
    }
}
