//! gdb's `add-symbol-file FILE [ADDRESS] [-s SECTION ADDRESS]… [-o OFFSET]`,
//! taken apart: as a command, and as a line of the scripts that people make of
//! `/sys/module/M/sections`.

use crate::base::text::at_home;
use std::path::PathBuf;
use thiserror::Error;

/// What is in the command. Addresses are as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddSymbolFile {
    /// The file.
    pub file: PathBuf,
    /// Where its `.text` is.
    pub text: Option<String>,
    /// Where other sections are.
    pub sections: Vec<(String, String)>,
    /// What is added to the address of every section that is not given one.
    pub offset: Option<String>,
}

/// What is wrong with the command.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WordsError {
    /// A quote that is not closed.
    #[error("a quote is not closed")]
    Quote,
    /// No file.
    #[error("the file is missing")]
    NoFile,
    /// An option without its value.
    #[error("{0} wants {1} after it")]
    Incomplete(&'static str, &'static str),
    /// An option that is none.
    #[error("there is no option {0}")]
    Option(String),
    /// A word too many.
    #[error("'{0}' is too much")]
    TooMuch(String),
}

impl AddSymbolFile {
    /// Takes the text after the command's name apart.
    pub fn parse(text: &str) -> Result<AddSymbolFile, WordsError> {
        let mut found = AddSymbolFile::default();
        let mut file = None;
        let mut words = words(text)?.into_iter();
        let mut options = true;
        while let Some(word) = words.next() {
            let mut value = |option, what| words.next().ok_or(WordsError::Incomplete(option, what));
            match word.as_str() {
                "-s" if options => {
                    let name = value("-s", "a section and an address")?;
                    found.sections.push((name, value("-s", "a section and an address")?));
                }
                "-o" if options => found.offset = Some(value("-o", "an offset")?),
                // How much gdb reads at once: no matter here.
                "-readnow" | "-readnever" if options => {}
                "--" if options => options = false,
                _ if options && word.starts_with('-') => return Err(WordsError::Option(word)),
                _ if file.is_none() => file = Some(at_home(&word)),
                _ if found.text.is_none() => found.text = Some(word),
                _ => return Err(WordsError::TooMuch(word)),
            }
        }
        Ok(AddSymbolFile { file: file.ok_or(WordsError::NoFile)?, ..found })
    }
}

/// Words as gdb takes them: apart by spaces, but not in quotes or after a
/// backslash (`gdb_buildargv`).
pub fn words(text: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('\\', open) if open != Some('\'') => {
                word.get_or_insert_default().extend(letters.next());
            }
            (_, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (_, None) if c.is_whitespace() => words.extend(word.take()),
            (_, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { Err(WordsError::Quote) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> AddSymbolFile {
        AddSymbolFile::parse(text).unwrap()
    }

    #[test]
    fn as_gdb_has_it() {
        let own = |text: &str| text.to_owned();
        let found = parsed("/tmp/hgfs.ko 0x1000 -s .data 0x2000 -s .bss 0x3000 -readnow");
        assert_eq!(found.file, PathBuf::from("/tmp/hgfs.ko"));
        assert_eq!(found.text, Some(own("0x1000")));
        let sections = [(own(".data"), own("0x2000")), (own(".bss"), own("0x3000"))];
        assert_eq!(found.sections, sections);
        let found = parsed("-s .text 1 -o 0x10 'my dir/a b.ko'");
        assert_eq!(found.file, PathBuf::from("my dir/a b.ko"));
        assert_eq!((found.text, found.offset), (None, Some(own("0x10"))));
        assert_eq!(parsed(r"a\ b.ko -- -5").text, Some(own("-5")));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let why = |text: &str| AddSymbolFile::parse(text).unwrap_err().to_string();
        assert_eq!(why(""), "the file is missing");
        assert_eq!(why("x.ko -s .data"), "-s wants a section and an address after it");
        assert_eq!(why("x.ko -z 1"), "there is no option -z");
        assert_eq!(why("x.ko 1 2"), "'2' is too much");
        assert_eq!(why("'x.ko 1"), "a quote is not closed");
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,40}") {
            let _ = AddSymbolFile::parse(&text);
        }

        #[test]
        fn quoted_words_come_back(text in "[a-z '\"\\\\]{0,20}") {
            let quoted: String = text.chars().flat_map(|c| ['\\', c]).collect();
            let want: Vec<String> = (!text.is_empty()).then_some(text).into_iter().collect();
            prop_assert_eq!(words(&quoted), Ok(want));
        }
    }
}
