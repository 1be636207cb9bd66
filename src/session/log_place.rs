//! Which place in code a line of the kernel's log names: of an oops, of a call
//! trace, of a warning.

/// The first place that a line names, as a location of the command language.
///
/// `RIP: 0010:vfs_read+0x12/0x340` is where it was. A line of a call trace
/// (` vfs_read+0x12/0x340`, before 4.9 ` [<ffffffff81123456>] …`) is where a
/// call comes back to, which may be the next line of the source: the byte
/// before belongs to the call.
pub fn place(text: &str) -> Option<String> {
    let exact = ["RIP", "IP:", " at ", "PC is", "pc :"].iter().any(|word| text.contains(word));
    let found = function(text).or_else(|| source_line(text)).or_else(|| address(text))?;
    let back = |offset: u64| if exact { offset } else { offset.saturating_sub(1) };
    Some(match found {
        Found::Function { name, offset, module } => {
            let module = module.map_or(String::new(), |module| format!("{module}!"));
            match back(offset) {
                0 => format!("{module}{name}"),
                offset => format!("*{module}{name}+{offset:#x}"),
            }
        }
        Found::Line(place) => place.to_string(),
        Found::Address(at) => format!("*{:#x}", back(at)),
    })
}

enum Found<'a> {
    Function { name: &'a str, offset: u64, module: Option<&'a str> },
    Line(&'a str),
    Address(u64),
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.$".contains(c)
}

/// `name+0x12/0x340`, and `[module]` behind it.
fn function(text: &str) -> Option<Found<'_>> {
    let (plus, _) = text.match_indices("+0x").next()?;
    let start = text[..plus].rfind(|c| !is_name(c)).map_or(0, |before| before + 1);
    let name = text.get(start..plus).filter(|name| !name.is_empty())?;
    let digits = &text[plus + 3..];
    let (offset, rest) = digits.split_at(digits.find(|c: char| !c.is_ascii_hexdigit())?);
    let size = rest.strip_prefix("/0x")?;
    let rest = size.trim_start_matches(|c: char| c.is_ascii_hexdigit()).trim_start();
    let module = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let module = module.map(|(name, _)| name.split_whitespace().next().unwrap_or(name));
    let module =
        module.filter(|name| !name.is_empty() && name.chars().all(|c| is_name(c) || c == '-'));
    let offset = u64::from_str_radix(offset, 16).ok()?;
    Some(Found::Function { name, offset, module })
}

/// `fs/read_write.c:451`, as WARN and BUG have it.
fn source_line(text: &str) -> Option<Found<'_>> {
    let is_file = |c: char| is_name(c) || "/-+".contains(c);
    [".c:", ".h:", ".S:", ".rs:"].iter().find_map(|end| {
        let at = text.find(end)?;
        let start = text[..at].rfind(|c| !is_file(c)).map_or(0, |before| before + 1);
        let digits = at + end.len();
        let rest = &text[digits..];
        let len = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        (len > 0 && start < at).then(|| Found::Line(&text[start..digits + len]))
    })
}

/// An address of the kernel: 16 digits, the upper half.
fn address(text: &str) -> Option<Found<'_>> {
    let mut words = text.split(|c: char| !c.is_ascii_hexdigit() && c != 'x');
    words.find_map(|word| {
        let digits = word.strip_prefix("0x").unwrap_or(word);
        let kernel = digits.len() == 16 && digits.starts_with("ffff");
        kernel.then(|| u64::from_str_radix(digits, 16).ok().map(Found::Address)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::place;
    use proptest::prelude::*;

    #[test]
    fn oopses_of_all_years() {
        let at = |text| place(text).unwrap_or_default();
        assert_eq!(at("RIP: 0010:HgfsSendRequest+0x12/0x340 [hgfs]"), "*hgfs!HgfsSendRequest+0x12");
        assert_eq!(
            at("RIP: 0010:[<ffffffff811ea0c1>]  [<ffffffff811ea0c1>] vfs_read+0x11/0x130"),
            "*vfs_read+0x11"
        );
        assert_eq!(at("IP: [<ffffffff811ea0c1>] vfs_read+0x11/0x130"), "*vfs_read+0x11");
        assert_eq!(at(" [<ffffffff811ea0c1>] ? vfs_read+0x11/0x130"), "*vfs_read+0x10");
        assert_eq!(at(" ksys_read+0x5f/0xe0"), "*ksys_read+0x5e");
        assert_eq!(at(" open_it+0x1/0x20 [my_mod 1234abcd]"), "my_mod!open_it");
        assert_eq!(at("WARNING: CPU: 0 PID: 7 at fs/open.c:42 do_it+0x8/0x10"), "*do_it+0x8");
        assert_eq!(at("kernel BUG at mm/slub.c:3900!"), "mm/slub.c:3900");
        assert_eq!(at("Code address ffffffff81000010"), "*0xffffffff8100000f");
        assert_eq!(place("BUG: kernel NULL pointer dereference, address: 0000000000000038"), None);
        assert_eq!(place("Linux version 6.1.0 (gcc 12)"), None);
    }

    proptest! {
        #[test]
        fn any_line_is_taken(text in "\\PC{0,60}", tail in "[a-z+0x/\\[\\]é:. ]{0,30}") {
            let _ = place(&format!("{text}{tail}"));
        }
    }
}
