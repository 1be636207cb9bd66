//! Which items fit what is typed, best first, and which of their letters do.

use super::item::Item;
use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};

/// An item that fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The item.
    pub item: Item,
    /// The letters of its name that were typed, by their place in it.
    pub marks: Vec<u32>,
}

/// The items that fit `text`, best first; all in their order when it is empty.
/// The letters are those of `search`: words in any order, as fzf reads them.
pub fn fitting(items: impl Iterator<Item = Item>, text: &str) -> Vec<Row> {
    if text.trim().is_empty() {
        return items.map(|item| Row { item, marks: Vec::new() }).collect();
    }
    let pattern = Pattern::parse(text, CaseMatching::Smart, Normalization::Never);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut buffer = Vec::new();
    let mut rows: Vec<(u32, Row)> = items
        .filter_map(|item| {
            let mut marks = Vec::new();
            let name = Utf32Str::new(&item.name, &mut buffer);
            let score = match pattern.indices(name, &mut matcher, &mut marks) {
                Some(score) => score + whole(&item.name, text),
                // What it does may be what was meant; its name comes first.
                None => {
                    marks.clear();
                    let about = item.details.join(" ");
                    let whole = text.split(' ').all(|word| has_word(&about, word));
                    whole.then_some(1)?
                }
            };
            marks.sort_unstable();
            marks.dedup();
            Some((score, Row { item, marks }))
        })
        .collect();
    rows.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.item.name.len().cmp(&y.item.name.len())));
    rows.into_iter().map(|(_, row)| row).collect()
}

/// What a name gets on top that has the text in one piece: names that begin many
/// words have any letters at the beginnings of some.
fn whole(name: &str, text: &str) -> u32 {
    const OF_A_LETTER: u32 = 8;
    let has = name.to_lowercase().contains(&text.trim().to_lowercase());
    u32::from(has) * OF_A_LETTER * text.trim().len() as u32
}

/// Whether a word of the text begins so.
fn has_word(text: &str, word: &str) -> bool {
    let word = word.to_lowercase();
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    word.len() > 2 && words.any(|own| own.to_lowercase().starts_with(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::palette::item::What;

    fn item(name: &str, help: &str) -> Item {
        let details = vec![help.to_owned()];
        Item { what: What::Module, name: name.into(), about: String::new(), details }
    }

    #[test]
    fn names_come_before_what_they_do() {
        let items = [item("watch", "Stop at a change"), item("change", "Another"), item("x", "")];
        let names = |text: &str| -> Vec<String> {
            fitting(items.iter().cloned(), text).into_iter().map(|row| row.item.name).collect()
        };
        assert_eq!(names("chan"), ["change", "watch"]);
        let far = [item("security_kernel_module_request", ""), item("HgfsSendRequest", "")];
        let best = fitting(far.iter().cloned(), "sendrequest").swap_remove(0).item.name;
        assert_eq!(best, "HgfsSendRequest");
        assert_eq!(names(""), ["watch", "change", "x"]);
        assert_eq!(names("zz"), [""; 0]);
        assert_eq!(fitting(items.iter().cloned(), "wch")[0].marks, [0, 3, 4]);
    }
}
