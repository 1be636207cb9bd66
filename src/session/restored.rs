//! Breakpoints that stay from one session to the next.
//!
//! They are kept as the user wrote them, never as addresses: where KASLR puts
//! the kernel at each boot is another place, and another build has other code.
//! What is restored waits until the vmlinux is proven to be the guest's; then
//! names and lines are looked up anew. A bare address is armed only where the
//! same build is at the same place.
//!
//! Only the screen keeps and restores them: a batch says all it does.

use super::{
    breakpoints::Points,
    conduct::{After, Conduct},
    crash_view::CrashEvent,
    modules::is_bare_address,
    request::{BreakKind, Catch, Level, Means, When},
    run::Session,
    wish::Wish,
};
use serde::{Deserialize, Serialize};

/// The name of the file.
const NAME: &str = "breakpoints";

/// Breakpoints as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The kernel they were set in.
    build_id: Option<String>,
    /// Where that was.
    slide: Option<u64>,
    points: Vec<SavedPoint>,
    /// Whether they are kept: not where the file could not be read.
    #[serde(skip)]
    active: bool,
}

impl Saved {
    /// From now on nothing is kept: what becomes of the breakpoints is no wish of
    /// the user's.
    pub fn stop(&mut self) {
        self.active = false;
    }
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct SavedPoint {
    location: String,
    means: Means,
    catch: Option<Catch>,
    crash: Option<CrashEvent>,
    when: When,
    enabled: bool,
    forced: bool,
    commands: Vec<String>,
    log: Option<String>,
}

impl SavedPoint {
    fn of(wish: &Wish) -> SavedPoint {
        SavedPoint {
            location: wish.location.clone(),
            means: wish.means,
            catch: wish.catch.clone(),
            crash: wish.crash,
            when: wish.when.clone(),
            enabled: wish.enabled,
            forced: wish.forced,
            commands: wish.conduct.commands.clone(),
            log: wish.conduct.log.clone(),
        }
    }

    fn put_into(self, points: &mut Points, number: u32) {
        let wish = points.push(number, BreakKind::Kept, self.location);
        wish.means = self.means;
        wish.catch = self.catch;
        wish.crash = self.crash;
        wish.when = self.when;
        wish.enabled = self.enabled;
        wish.forced = self.forced;
        wish.conduct = Conduct { commands: self.commands, log: self.log, ..Conduct::default() };
        wish.held = Some(held("waits for the first stop, to prove the vmlinux"));
        // Not as one that names nothing.
        wish.pending.clone_from(&wish.held);
    }
}

fn held(why: &str) -> String {
    format!("restored, not armed yet: {why}")
}

/// Whether a wish outlives the session.
fn lasts(wish: &Wish) -> bool {
    wish.kind == BreakKind::Kept
        && wish.watch.is_none()
        && wish.conduct.after != After::Deleted
        && !wish.gone
}

impl Session {
    /// At the start: what was kept of this target.
    pub(super) fn restore_breakpoints(&mut self) {
        let Some(kept) = self.kept.as_ref().filter(|_| self.options.eager) else { return };
        let saved = match kept.load::<Saved>(NAME) {
            Ok(saved) => saved,
            Err(error) => {
                let text = format!("breakpoints of earlier sessions: {error}; none are kept");
                self.say(Level::Warning, text);
                return;
            }
        };
        self.saved = saved.unwrap_or_default();
        self.saved.active = true;
        let first = self.options.first_restored.max(1);
        let points = self.saved.points.clone();
        let count = points.len();
        for (number, point) in (first..).zip(points) {
            point.put_into(&mut self.points, number);
        }
        if count > 0 {
            let file = kept_file(self);
            let what = breakpoints(count);
            self.say(
                Level::Info,
                format!("{what} restored from {file}; armed when the vmlinux is proven to be the guest's"),
            );
        }
    }

    /// Arms what was restored, as far as that is safe, once the vmlinux is
    /// proven.
    pub(super) fn release_restored(&mut self) {
        if self.points.wishes.iter().all(|wish| wish.held.is_none()) {
            return;
        }
        if let Err(why) = self.may_resolve() {
            let why = held(why);
            for wish in self.points.wishes.iter_mut().filter(|wish| wish.held.is_some()) {
                wish.held = Some(why.clone());
            }
            return;
        }
        let known = self.saved.build_id.is_some();
        let same_build = known && self.saved.build_id == self.target.build_id;
        let same_place = same_build && self.saved.slide == self.target.slide.map(|slide| slide.0);
        let mut count = 0;
        for wish in self.points.wishes.iter_mut().filter(|wish| wish.held.is_some()) {
            (wish.held, wish.pending) = (None, None);
            count += 1;
            if is_bare_address(&wish.location) && !same_place {
                wish.enabled = false;
                let of = if same_build { "another place (KASLR)" } else { "another kernel" };
                wish.note = Some(format!("disabled: an address in a kernel at {of}"));
            }
        }
        let what = breakpoints(count);
        let id = |id: &Option<String>| {
            id.as_ref().map_or("unknown".into(), |id| id.chars().take(12).collect::<String>())
        };
        if same_build || !known {
            self.say(Level::Info, format!("{what} of the last session: looked up and armed"));
        } else {
            self.say(
                Level::Warning,
                format!(
                    "{what} of the last session were set in another build ({}, this is {}): names and lines were looked up anew; look whether lines are still those you mean",
                    id(&self.saved.build_id),
                    id(&self.target.build_id)
                ),
            );
        }
    }

    /// Keeps the breakpoints, when they changed.
    pub(super) fn keep_breakpoints(&mut self) {
        let Some(kept) = self.kept.as_ref().filter(|_| self.saved.active) else { return };
        let lasting = self.points.wishes.iter().filter(|wish| lasts(wish));
        let points: Vec<SavedPoint> = lasting.map(SavedPoint::of).collect();
        let mut now = Saved { points, ..self.saved.clone() };
        // What waits for the proof is still of the kernel it was set in.
        if self.may_resolve().is_ok() && self.points.wishes.iter().all(|w| w.held.is_none()) {
            now.build_id.clone_from(&self.target.build_id);
            now.slide = self.target.slide.map(|slide| slide.0);
        }
        if now == self.saved || (now.points.is_empty() && self.saved.points.is_empty()) {
            return;
        }
        let done = match now.points.is_empty() {
            true => kept.forget(NAME),
            false => kept.save(NAME, &now),
        };
        if let Err(error) = done {
            // Once is enough.
            now.active = false;
            self.say(Level::Warning, format!("breakpoints can't be kept: {error}"));
        }
        self.saved = now;
    }

    /// A breakpoint is set anew: one of an earlier session that is the same is
    /// the same one.
    pub(super) fn drop_restored(&mut self, location: &str, when: &When) {
        self.points.wishes.retain(|wish| {
            wish.held.is_none()
                || wish.catch.is_some()
                || wish.location != location
                || wish.when != *when
        });
    }
}

fn kept_file(session: &Session) -> String {
    session.kept.as_ref().map_or(String::new(), |kept| kept.path(NAME).display().to_string())
}

fn breakpoints(count: usize) -> String {
    if count == 1 { "1 breakpoint".into() } else { format!("{count} breakpoints") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_as_it_was_set_and_waits() {
        let mut points = Points::default();
        let wish = points.add(BreakKind::Kept, "vfs_read".into());
        wish.when.condition = Some("count > 5".into());
        wish.when.comm = Some("cat".into());
        wish.conduct.commands = vec!["bt".into()];
        wish.hits = 4;
        points.add(BreakKind::Temporary, "vfs_write".into());
        let saved: Vec<_> =
            points.wishes.iter().filter(|wish| lasts(wish)).map(SavedPoint::of).collect();
        assert_eq!(saved.len(), 1, "a temporary one is not kept");
        let text = serde_json::to_string(&saved[0]).unwrap();
        let read: SavedPoint = serde_json::from_str(&text).unwrap();
        assert_eq!(read, saved[0]);
        let mut again = Points::default();
        read.put_into(&mut again, 1);
        let wish = &again.wishes[0];
        assert_eq!((wish.hits, wish.number), (0, 1));
        assert_eq!(SavedPoint::of(wish), saved[0]);
        let view = &again.views()[0];
        assert_eq!(view.state, "pending");
        assert!(view.why.as_ref().unwrap().starts_with("restored, not armed yet"));
        assert_eq!(again.add(BreakKind::Kept, "x".into()).number, 2);
        // One that an older or newer program wrote lacks something.
        let short: SavedPoint = serde_json::from_str(r#"{"location":"f","new":1}"#).unwrap();
        assert_eq!(short.location, "f");
    }
}
