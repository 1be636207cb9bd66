//! `add-symbol-file` and `remove-symbol-file`, as gdb has them.

use super::given::Given;
use crate::base::{
    addr::{Addr, parse_number},
    text::at_home,
};
use crate::image::file::Kind;
use crate::kernel::{
    add_symbol_file::{self, AddSymbolFile},
    module_sections::Section,
    sections_file,
};
use crate::session::{
    answer::{Answer, Failure},
    request::Level,
    run::Session,
};
use crate::symbols::placed::VMLINUX;

impl Session {
    /// `add-symbol-file FILE [ADDRESS] [-s SECTION ADDRESS]… [-o OFFSET]`.
    pub(in crate::session) async fn add_symbol_file(
        &mut self,
        text: &str,
    ) -> Result<Answer, Failure> {
        let asked =
            AddSymbolFile::parse(text).map_err(|error| Failure::Other(error.to_string()))?;
        let fail = |why: &str| Failure::Other(format!("{}: {why}", asked.file.display()));
        let image = self.open_given(&asked.file).await.map_err(Failure::Other)?;
        let stem = asked.file.file_name().and_then(|name| name.to_str()?.split('.').next());
        let name = stem.and_then(sections_file::module_name).ok_or_else(|| fail("no name"))?;
        if name == VMLINUX {
            return Err(fail(
                "the kernel's own file is given with --vmlinux; where KASLR put it is found out",
            ));
        }
        let mut sections = Vec::new();
        let text = asked.text.iter().map(|text| (".text", text));
        let others = asked.sections.iter().map(|(name, text)| (name.as_str(), text));
        for (name, text) in text.chain(others) {
            let addr = self.given_address(text)?;
            if addr.0 == 0 {
                return Err(fail(&sections_file::SectionsError::Hidden(name.into()).to_string()));
            }
            sections.push(Section { name: name.to_owned(), addr });
        }
        let offset = match &asked.offset {
            Some(text) => Some(self.given_address(text)?.0),
            None => None,
        };
        if image.image().kind() == Kind::Relocatable {
            if sections.is_empty() || offset.is_some() {
                return Err(fail("it is not linked: give the address of each section (-s)"));
            }
        } else {
            // Linked: what is not given is where it was linked, or beside that.
            for section in image.image().sections() {
                let is_given = sections.iter().any(|given| given.name == section.name);
                if section.alloc && section.addr.0 != 0 && !is_given {
                    let addr = Addr(section.addr.0.wrapping_add(offset.unwrap_or(0)));
                    sections.push(Section { name: section.name.clone(), addr });
                }
            }
        }
        for given in &sections {
            if image.image().section(&given.name).is_none() {
                let file = asked.file.display();
                self.say(Level::Warning, format!("{file} has no section {}", given.name));
            }
        }
        let given = Given::new(name, Some(asked.file), sections, "add-symbol-file".into());
        Ok(Answer::Text { text: self.give(given).await? })
    }

    /// A number, or an expression as a location has it after `*`.
    fn given_address(&self, text: &str) -> Result<Addr, Failure> {
        match parse_number(text) {
            Some(number) => Ok(Addr(number)),
            None => self.address(&format!("*{text}")),
        }
    }

    /// `remove-symbol-file FILE` or `-a ADDRESS`.
    pub(in crate::session) async fn remove_symbol_file(
        &mut self,
        text: &str,
    ) -> Result<Answer, Failure> {
        let none = |what: String| Failure::Other(format!("no symbol file was added {what}"));
        let name = match text.strip_prefix("-a") {
            Some(rest) => {
                let addr = self.given_address(rest.trim())?;
                let symbols = self.code.symbols();
                let placed = symbols.images().find(|placed| placed.file_addr(addr).is_some());
                placed
                    .map(|placed| placed.name.clone())
                    .ok_or_else(|| none(format!("at {addr}")))?
            }
            None => {
                let file = add_symbol_file::words(text)
                    .ok()
                    .and_then(|words| words.into_iter().next())
                    .map(|word| at_home(&word));
                let is_it = |given: &&Given| given.file.is_some() && given.file == file;
                let given = self.given.iter().find(is_it);
                given.map(|given| given.name.clone()).ok_or_else(|| none(format!("as {text}")))?
            }
        };
        if !self.given.iter().any(|given| given.name == name) {
            return Err(none(format!("for {name}: it was found in the guest")));
        }
        self.given.retain(|given| given.name != name);
        if self.by_hand(&name).is_some() {
            self.forget_module(&name);
        }
        self.resolve_given().await?;
        Ok(Answer::Text { text: format!("{name}: what was given is forgotten") })
    }
}
