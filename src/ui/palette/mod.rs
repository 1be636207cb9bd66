//! The palette: one window in which everything that has a name is found by a
//! few of its letters, from commands to tasks. What the symbols know is looked
//! for on another thread: one question at a time, the newest text next, so
//! that a key is drawn at once however many names there are.

mod choose;
mod draw;
pub mod item;
mod local;
mod matching;
pub mod preview;

pub use choose::{choose, open, open_words};

use super::app::App;
use super::edit::Line;
use super::list::List;
use super::lookup::{LookUp, LookedUp, MOST};
use super::message::Effect;
use super::popups::Popup;
use crate::config::{
    actions::Action,
    key::Key,
    keymap::{Keymap, Scope},
};
use crate::session::symbol_answer::MatchAnswer;
use crate::session::view::{SymbolsView, View};
use crate::session::wants::{TaskSort, TaskWant};
use crossterm::event::{KeyCode, KeyModifiers};
use item::{Item, Kind, What};
use matching::{Row, fitting};
use preview::Preview;
use std::collections::VecDeque;

/// The palette while it is open.
#[derive(Debug, Default)]
pub struct Palette {
    /// What is typed.
    pub line: Line,
    /// The cursor.
    pub list: List,
    rows: Vec<Row>,
    /// How many of the rows were chosen before, and stand first for that.
    recent: usize,
    /// What the symbols had for `answered`.
    code: Vec<Item>,
    answered: Option<String>,
    /// How much there was to be searched then.
    searched: usize,
    /// What is being looked for.
    asked: Option<String>,
    /// Whether there is more to be searched since that was asked.
    outdated: bool,
    /// Whether a long list of tasks is to be read.
    sure: bool,
    /// A title and the only items there are.
    fixed: Option<(&'static str, Vec<Item>)>,
    preview: Option<(MatchAnswer, Preview)>,
    preview_asked: Option<MatchAnswer>,
    /// The value of a variable that was asked for, by its expression.
    value: Option<(String, Option<String>)>,
}

/// What a key led to.
#[derive(Debug)]
pub enum Pressed {
    /// More typing.
    Going,
    /// Nothing is wanted.
    Closed,
    /// The value of this expression is to be read.
    Read(String),
    /// This is wanted; or the other thing that can be done with it.
    Chosen(Item, bool),
}

/// Where items come from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// What the session shows.
    pub view: Option<&'a View>,
    /// The keys in force.
    pub keymap: &'a Keymap,
    /// Where keys hold now.
    pub scopes: &'a [Scope],
    /// What was chosen before, the last one first.
    pub recent: &'a VecDeque<Item>,
}

impl Palette {
    /// A palette that is limited to a kind, until that is erased.
    pub fn of(kind: Kind) -> Palette {
        Palette { line: Line::new(kind.prefix()), ..Palette::default() }
    }

    /// A palette of these items alone.
    pub fn of_items(title: &'static str, items: Vec<Item>) -> Palette {
        Palette { fixed: Some((title, items)), ..Palette::default() }
    }

    /// The kind that is looked for, and the text.
    fn query(&self) -> (Kind, &str) {
        match self.fixed {
            Some(_) => (Kind::Everything, self.line.text().trim()),
            None => Kind::parse(self.line.text()),
        }
    }

    /// The item the cursor is on.
    fn chosen(&self) -> Option<&Item> {
        self.rows.get(self.list.cursor).map(|row| &row.item)
    }

    /// Takes a key.
    pub fn key(&mut self, key: Key, sources: Sources<'_>) -> Pressed {
        let control = key.modifiers == KeyModifiers::CONTROL;
        let movement = match key.code {
            KeyCode::Up => Some(Action::Up),
            KeyCode::Down => Some(Action::Down),
            KeyCode::Char('p' | 'k') if control => Some(Action::Up),
            KeyCode::Char('n' | 'j') if control => Some(Action::Down),
            KeyCode::PageUp => Some(Action::PageUp),
            KeyCode::PageDown => Some(Action::PageDown),
            _ => None,
        };
        if let Some(movement) = movement {
            self.list.act(movement);
            return Pressed::Going;
        }
        match key.code {
            KeyCode::Char('r') if control => return self.read(sources),
            KeyCode::Esc => return Pressed::Closed,
            KeyCode::Backspace if self.line.text().is_empty() => return Pressed::Closed,
            KeyCode::Enter | KeyCode::Tab => {
                let alternative = key.code == KeyCode::Tab;
                return match self.chosen().cloned() {
                    Some(item) if !alternative || item.choices().1.is_some() => {
                        Pressed::Chosen(item, alternative)
                    }
                    _ => {
                        self.sure |= self.query().0 == Kind::Tasks && !alternative;
                        Pressed::Going
                    }
                };
            }
            _ => {}
        }
        let before = self.line.text().to_owned();
        self.line.key(key);
        if self.line.text() != before {
            self.list.act(Action::Home);
            self.refill(sources, false);
        }
        Pressed::Going
    }

    /// Reads the value of the variable the cursor is on, where it can be read.
    fn read(&mut self, sources: Sources<'_>) -> Pressed {
        let stopped = sources.view.is_some_and(|view| view.state.is_stopped());
        match self.chosen().and_then(Item::variable).filter(|_| stopped) {
            Some(expression) => {
                self.value = Some((expression.clone(), None));
                Pressed::Read(expression)
            }
            None => Pressed::Going,
        }
    }

    /// A value that was asked for came.
    pub fn value_came(&mut self, expression: &str, text: String) {
        if let Some((own, value)) = &mut self.value
            && own == expression
        {
            *value = Some(text);
        }
    }

    /// Puts pasted text in.
    pub fn paste(&mut self, text: &str, sources: Sources<'_>) {
        self.line.insert(text);
        self.list.act(Action::Home);
        self.refill(sources, false);
    }

    /// A new view came: symbols may have come with it.
    pub fn view_came(&mut self, sources: Sources<'_>) {
        let loaded = |view: &View| {
            let modules = view.modules.iter().filter(|module| module.symbols == "loaded").count();
            modules + usize::from(view.symbols == SymbolsView::Ready)
        };
        let searched = sources.view.map_or(0, loaded);
        if std::mem::replace(&mut self.searched, searched) != searched {
            self.answered = None;
            self.outdated = self.asked.is_some();
        }
        // Who has moved the cursor looks at what is there.
        let moved = self.list.cursor > 0;
        self.refill(sources, moved);
    }

    /// Makes the rows anew; the cursor stays on its item when that is to be
    /// kept.
    pub fn refill(&mut self, sources: Sources<'_>, keep: bool) {
        let was = self.chosen().cloned().filter(|_| keep);
        let (kind, text) = self.query();
        let mut first = 0;
        let rows = match &self.fixed {
            Some((_, items)) => fitting(items.iter().cloned(), text),
            None => {
                let local = local::items(kind, &sources);
                let fits = |item: &&Item| kind == Kind::Everything || item.kind() == kind;
                if text.is_empty() {
                    // Of a task or breakpoint it is known now whether it still is.
                    let known = |item: &&Item| match &item.what {
                        What::Code(_) => true,
                        _ => local.iter().any(|own| own.is(item)),
                    };
                    let recent: Vec<Item> =
                        sources.recent.iter().filter(fits).filter(known).cloned().collect();
                    first = recent.len();
                    let new = |item: &Item| !recent.iter().any(|other| other.is(item));
                    let others: Vec<Item> = local.iter().filter(|i| new(i)).cloned().collect();
                    fitting(recent.into_iter().chain(others), "")
                } else {
                    let code = self.code.iter().filter(fits).cloned();
                    fitting(local.into_iter().chain(code), text)
                }
            }
        };
        (self.rows, self.recent) = (rows, first);
        self.list.fit(self.rows.len(), self.list.height);
        let kept = was.and_then(|was| self.rows.iter().position(|row| row.item.is(&was)));
        if let Some(at) = kept {
            self.list.show(at);
        }
    }

    /// What is to be looked for now, when nothing is being looked for.
    fn question(&self) -> Option<String> {
        let (kind, text) = self.query();
        let asks = self.fixed.is_none() && (kind == Kind::Everything || kind.is_code());
        if !asks || text.is_empty() || self.asked.is_some() {
            return None;
        }
        let question = format!("{}{text}", kind.prefix());
        (self.answered.as_ref() != Some(&question)).then_some(question)
    }

    /// What is to be asked on another thread.
    fn look_ups(&mut self) -> Vec<LookUp> {
        let mut asks = Vec::new();
        if let Some(text) = self.question() {
            self.asked = Some(text.clone());
            asks.push(LookUp::Names(text));
        }
        if let Some(What::Code(name)) = self.chosen().map(|item| &item.what)
            && self.preview_asked.is_none()
            && self.preview.as_ref().is_none_or(|(of, _)| of != &**name)
        {
            let name = name.clone();
            self.preview_asked = Some((*name).clone());
            asks.push(LookUp::Preview(name));
        }
        asks
    }

    /// Takes an answer in; one to another palette's question is none.
    pub fn answered(&mut self, answer: LookedUp, sources: Sources<'_>) {
        match answer {
            LookedUp::Names(text, found) if self.asked.as_ref() == Some(&text) => {
                self.asked = None;
                self.answered = (!std::mem::take(&mut self.outdated)).then_some(text);
                self.code = worth_a_row(found).map(Item::code).collect();
                // Who has moved the cursor looks at what is there.
                let moved = self.list.cursor > 0;
                self.refill(sources, moved);
            }
            LookedUp::Preview(name, preview) if self.preview_asked.as_ref() == Some(&*name) => {
                self.preview_asked = None;
                self.preview = Some((*name, preview));
            }
            LookedUp::Failed => {
                self.answered = self.asked.take().or(self.answered.take());
                if let Some(name) = self.preview_asked.take() {
                    let words = "this could not be looked up; the log file says more";
                    self.preview = Some((name, Preview::Words(vec![words.to_owned()])));
                }
            }
            _ => {}
        }
    }

    /// Whether what is shown may be less than there is.
    fn is_cut(&self) -> bool {
        self.code.len() >= MOST
    }

    /// The tasks that are to be read: all their names, and the rest of the one
    /// the cursor is on.
    pub fn tasks(&self, view: Option<&View>) -> Option<TaskWant> {
        let (Kind::Tasks, None) = (self.query().0, &self.fixed) else { return None };
        let rows = &view?.stop.as_ref()?.supplied.tasks;
        let rows = rows.as_ref().map_or(&[][..], |tasks| &tasks.rows);
        let at = match self.chosen().map(|item| &item.what) {
            Some(What::Task(pid)) => rows.iter().position(|row| row.pid == *pid),
            _ => None,
        };
        let (first, rows) = at.map_or((0, 0), |at| (at, 1));
        let sure = self.sure;
        Some(TaskWant { filter: String::new(), sort: TaskSort::Pid, first, rows, sure })
    }
}

/// Without names that have the letters by chance, far apart, and without types
/// that a module has as the kernel has them.
fn worth_a_row(found: Vec<MatchAnswer>) -> impl Iterator<Item = MatchAnswer> {
    let good = found.first().map_or(0, |best| best.score / 2);
    let own: Vec<(&'static str, String, Option<u32>)> = (found.iter())
        .filter(|one| one.module.is_none())
        .map(|one| (one.kind, one.name.clone(), one.line))
        .collect();
    let is_code = |one: &MatchAnswer| matches!(one.kind, "function" | "variable" | "file");
    let again = move |one: &MatchAnswer| {
        let same = |own: &(&str, String, Option<u32>)| {
            own.0 == one.kind && own.1 == one.name && own.2 == one.line
        };
        one.module.is_some() && !is_code(one) && own.iter().any(same)
    };
    found.into_iter().filter(move |one| one.score >= good && !again(one))
}

/// What the palette wants to know now, if it is open.
pub fn asks(app: &mut App) -> Vec<Effect> {
    match &mut app.popup {
        Popup::Palette(palette) => palette.look_ups().into_iter().map(Effect::LookUp).collect(),
        _ => Vec::new(),
    }
}

/// Runs `change` on the open palette, with where its items come from.
pub fn with(app: &mut App, change: impl FnOnce(&mut Palette, Sources<'_>)) {
    let (view, scopes) = (app.view.clone(), app.scopes());
    if let Popup::Palette(palette) = &mut app.popup {
        let sources = Sources {
            view: view.as_deref(),
            keymap: &app.keymap,
            scopes: &scopes,
            recent: &app.chosen,
        };
        change(palette, sources);
    }
}
