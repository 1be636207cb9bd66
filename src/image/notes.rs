//! ELF notes: a list of (name, type, contents), each padded to four bytes.
//!
//! ```text
//! | namesz u32 | descsz u32 | type u32 | name, NUL, padding | desc, padding |
//! ```
//! Source: gABI "Note Section"; NT_GNU_BUILD_ID is 3 with the name "GNU".

const NT_GNU_BUILD_ID: u32 = 3;

/// The build-id in raw note bytes, from a file or from guest memory
/// (`.notes` of the kernel, `/sys/module/M/notes`).
pub fn build_id_of(notes: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| -> Option<u32> {
        let bytes = notes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let mut at = 0;
    while at < notes.len() {
        let (name_len, desc_len) = (word(at)? as usize, word(at + 4)? as usize);
        let kind = word(at + 8)?;
        let name_at = at + 12;
        let desc_at = name_at.checked_add(name_len.checked_next_multiple_of(4)?)?;
        let name = notes.get(name_at..name_at.checked_add(name_len)?)?;
        let desc = notes.get(desc_at..desc_at.checked_add(desc_len)?)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" && !desc.is_empty() {
            return Some(desc);
        }
        at = desc_at.checked_add(desc_len.checked_next_multiple_of(4)?)?;
    }
    None
}

/// A build-id as people write it.
pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note(kind: u32, name: &[u8], desc: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [name.len() as u32, desc.len() as u32, kind] {
            out.extend(word.to_le_bytes());
        }
        for part in [name, desc] {
            out.extend(part);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn the_build_id_is_found_behind_other_notes() {
        let mut notes = note(0x100, b"Linux\0", &[1]);
        notes.extend(note(3, b"Xen\0", &[9; 20]));
        notes.extend(note(3, b"GNU\0", &[0xab, 0xcd, 0xef]));
        let id = build_id_of(&notes).unwrap();
        assert_eq!(hex(id), "abcdef");
        assert_eq!(build_id_of(&notes[..notes.len() - 4]), None, "cut off");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = build_id_of(&bytes);
        }
    }
}
