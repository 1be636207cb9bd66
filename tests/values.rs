//! The text of values against gdb, which prints the variables of a file
//! without running it; ours reads the same bytes.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod linked;
    pub mod tools;
}

use kgdb_tui::{
    base::memory::Memory,
    eval::{
        collections::{self, Element, Items, items},
        ctype::CType,
        expr::{
            evaluate::{Scene, evaluate},
            kept::Kept,
        },
        format::{Format, Limits},
        location::{Absent, Context},
        tree::{self, Root, Row},
        typed::Typed,
        value::Value,
    },
    symbols::placed::Symbols,
};
use std::{collections::BTreeSet, fmt::Write as _};
use support::linked::{FileMemory, Linked};

/// A compiled file of tests/fixtures/values, and questions about it.
struct Fixture {
    linked: Linked,
}

impl std::ops::Deref for Fixture {
    type Target = Linked;

    fn deref(&self) -> &Linked {
        &self.linked
    }
}

impl Fixture {
    fn compile(name: &str, flags: &[&str]) -> Fixture {
        Fixture { linked: Linked::compile(&format!("values/{name}"), flags) }
    }

    /// Names of the variables in the source that begin with `v_`.
    fn variables(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .symbols
            .list_variables(&|name: &[u8]| name.starts_with(b"v_"), 1000)
            .listed
            .into_iter()
            .map(|listed| listed.name)
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Does `work` on a context without a frame.
    fn with<T>(&self, work: impl FnOnce(&Context<'_>) -> T) -> T {
        let memory = FileMemory(self.symbols.clone());
        work(&Context { symbols: &self.symbols, memory: &memory, frames: &[], cpu: None })
    }

    /// The value of an expression.
    fn value(&self, text: &str) -> Typed {
        let none = |_: &Symbols, _: &dyn Memory| Err(Absent::because("no guest"));
        let scene = Scene { depth: 0, current: &none, kept: &Kept::default() };
        self.with(|context| evaluate(context, &scene, text)).unwrap()
    }

    fn print(&self, name: &str, format: Option<char>) -> String {
        let memory = FileMemory(self.symbols.clone());
        let context = Context { symbols: &self.symbols, memory: &memory, frames: &[], cpu: None };
        let variable = self.symbols.find_variable(name).unwrap();
        let value = context.of(&variable).unwrap();
        let format = format.map(|letter| Format::of(letter).unwrap());
        match context.printed(&value, format, &Limits::default()) {
            Ok(text) => text,
            Err(absent) => format!("error: {absent}"),
        }
    }

    /// What gdb prints for `print` commands.
    fn gdb(&self, prints: &[String]) -> Vec<String> {
        let mut script = String::new();
        for print in prints {
            writeln!(script, "try:\n  t = gdb.execute({print:?}, to_string=True)").unwrap();
            writeln!(script, "  print('@', t.split(' = ', 1)[1].rstrip('\\n'))").unwrap();
            writeln!(script, "except gdb.error as e:\n  print('@ error:', e)").unwrap();
        }
        let out = oracle::gdb_python(&self.program, &script);
        assert_eq!(out.len(), prints.len());
        out
    }
}

/// Where we want to differ.
fn explained(name: &str, format: Option<char>, ours: &str, gdbs: &str) -> bool {
    match name {
        // gdb has no such formats for 16 bytes; the lowest 8 are shown.
        "v_int128" | "v_uint128" => matches!(format, Some('a' | 'c' | 'f')),
        // What `u8 *` points to is not read: it may be a device.
        "v_raw" => gdbs.strip_prefix(ours).is_some_and(|more| more.starts_with(" \"")),
        _ => false,
    }
}

#[test]
fn every_kind_of_value_is_printed_as_in_gdb() {
    for flags in [&["-gdwarf-5"][..], &["-gdwarf-4"]] {
        let fixture = Fixture::compile("values.c", flags);
        let names = fixture.variables();
        assert!(names.len() > 90, "{names:?}");
        let formats = [None, Some('x'), Some('d'), Some('u'), Some('o'), Some('t'), Some('z')];
        let formats = formats.into_iter().chain(['a', 'c', 's', 'f'].map(Some));
        let mut asked = Vec::new();
        for format in formats {
            asked.extend(names.iter().map(|name| (name.clone(), format)));
        }
        let command = |(name, format): &(String, Option<char>)| match format {
            Some(letter) => format!("print/{letter} {name}"),
            None => format!("print {name}"),
        };
        let prints: Vec<String> = asked.iter().map(command).collect();
        let mut different = 0;
        for (((name, format), print), gdbs) in asked.iter().zip(&prints).zip(fixture.gdb(&prints)) {
            let ours = fixture.print(name, *format);
            if ours != gdbs && !explained(name, *format, &ours, &gdbs) {
                different += 1;
                println!("{print}\n  gdb:  {gdbs}\n  ours: {ours}");
            }
        }
        println!("{} of {} equal", prints.len() - different, prints.len());
        assert_eq!(different, 0);
    }
}

/// The elements of a collection of requests, by their ids, and what is wrong.
fn requests(fixture: &Fixture, head: &str, member: &str) -> (Vec<i128>, Option<String>) {
    let request = CType::Known(fixture.symbols.find_type("struct request").unwrap());
    let element = Element { ty: request, member: member.to_owned() };
    let head = fixture.value(head);
    let found = fixture.with(|context| items(context, &head, Some(&element), 100)).unwrap();
    let id = |value: &Typed| {
        fixture.with(|context| {
            let id = context.member(value, "id").unwrap_or_else(|_| value.clone());
            context.scalar(&id).unwrap().value()
        })
    };
    (found.items.iter().map(|item| id(&item.value)).collect(), found.trouble)
}

#[test]
fn lists_and_trees_are_walked_in_order() {
    let fixture = Fixture::compile("lists.c", &["-gdwarf-5"]);
    let good = |head: &str, member: &str| {
        let (ids, trouble) = requests(&fixture, head, member);
        assert_eq!(trouble, None, "{head}");
        ids
    };
    assert_eq!(good("queue.pending", "list"), [1, 2, 3]);
    assert_eq!(good("&v_queue->pending", "list"), [1, 2, 3]);
    assert_eq!(good("queue.hash", "hash"), [1, 2, 3]);
    assert_eq!(good("queue.tree", "in.node"), [1, 2, 3]);
    assert_eq!(good("v_cached", "in.node"), [1, 2, 3]);
    assert!(good("v_empty", "list").is_empty());
    assert_eq!(good("v_array", ""), [1, 77, 3]);
    assert_eq!(good("v_idr", ""), [1, 77]);
    assert_eq!(good("v_single", ""), [2]);
    assert!(good("v_no_entry", "").is_empty());
    let array = fixture.value("v_array");
    let found = fixture.with(|context| items(context, &array, None, 100)).unwrap();
    let indices: Vec<_> = found.items.iter().map(|item| item.index.unwrap()).collect();
    assert_eq!(indices, [5, 6, 18]);
    let few = fixture.with(|context| items(context, &array, None, 2)).unwrap();
    assert!((few.items.len(), few.more) == (2, true));
}

#[test]
fn what_is_wrong_in_a_list_is_said() {
    let fixture = Fixture::compile("lists.c", &["-gdwarf-5"]);
    for (head, ids, why) in [
        ("v_loop", &[7, 8][..], "which was there before"),
        ("v_poison", &[9], "LIST_POISON1"),
        ("v_null", &[], "never initialized"),
        ("v_torn", &[], "torn: prev of"),
    ] {
        let (found, trouble) = requests(&fixture, head, "list");
        assert_eq!(found, ids, "{head}");
        assert!(trouble.as_ref().is_some_and(|told| told.contains(why)), "{head}: {trouble:?}");
    }
    let request = CType::Known(fixture.symbols.find_type("struct request").unwrap());
    let wrong = |head: &str, member: &str| -> Result<Items, Absent> {
        let element = Element { ty: request.clone(), member: member.to_owned() };
        let head = fixture.value(head);
        fixture.with(|context| items(context, &head, Some(&element), 9))
    };
    for (head, member, why) in [
        ("queue.len", "list", "int is no list_head"),
        ("queue.pending", "lost", "no member named lost"),
        ("queue.pending", "hash", "nodes of it are a struct list_head"),
    ] {
        let told = wrong(head, member).unwrap_err().to_string();
        assert!(told.contains(why), "{told}");
    }
}

/// Rows as text: indented, with a mark for what can be opened, and the value.
fn drawn(rows: &[Row]) -> Vec<String> {
    let row = |row: &Row| {
        let mark = match (row.can_open, row.open) {
            (false, _) => ' ',
            (true, false) => '+',
            (true, true) => '-',
        };
        let value = row.value.as_ref().map_or(String::new(), Value::to_string);
        format!("{}{mark}{} = {value}", "  ".repeat(row.depth), row.name)
    };
    rows.iter().map(row).collect()
}

fn root(fixture: &Fixture, text: &str) -> Root {
    let value = fixture.value(text);
    Root {
        id: text.to_owned(),
        name: text.to_owned(),
        expression: Some(text.to_owned()),
        type_name: value.ty.name(&fixture.symbols),
        value: Ok(value),
        element: collections::known_element(&fixture.symbols, "", text),
        lost: None,
        argument: false,
    }
}

fn rows(fixture: &Fixture, text: &str, open: &[&str]) -> Vec<Row> {
    let open: BTreeSet<String> = open.iter().map(|id| (*id).to_owned()).collect();
    let root = root(fixture, text);
    fixture.with(|context| tree::rows(context, &[root], &open, 80))
}

#[test]
fn a_tree_shows_what_is_open() {
    let fixture = Fixture::compile("lists.c", &["-gdwarf-5"]);
    let closed = rows(&fixture, "v_queue", &[]);
    assert_eq!(closed.len(), 1);
    assert!(closed[0].can_open && !closed[0].open);
    let open = rows(&fixture, "v_queue", &["v_queue", "v_queue->pending", "v_queue->pending.next"]);
    let text = drawn(&open);
    assert!(text[0].starts_with("-v_queue = 0xffffffff"), "{text:?}");
    assert_eq!(text[1], "   len = 3");
    assert!(text[2].starts_with("  -pending = {next = 0xffffffff"), "{text:?}");
    assert!(text[3].starts_with("    -next = 0xffffffff"), "{text:?}");
    assert!(text[4].starts_with("      +next = "), "{text:?}");
    assert_eq!(open[4].expression.as_deref(), Some("v_queue->pending.next->next"));
    assert_eq!(
        fixture.value("v_queue->pending.next->next").ty.name(&fixture.symbols),
        "struct list_head *"
    );
    // A list of which everybody knows what is in it.
    let modules = rows(&fixture, "modules", &["modules"]);
    let text = drawn(&modules);
    assert_eq!(text.len(), 3, "{text:?}");
    assert!(text[1].starts_with("  +[0] = {name = \"hgfs\", list = {"), "{text:?}");
    let by_expression = fixture.value(modules[2].expression.as_ref().unwrap());
    let name = fixture.with(|context| context.member(&by_expression, "name"));
    let name = fixture.with(|context| context.text(&name.unwrap(), None, &Limits::default()));
    assert_eq!(name.unwrap(), "\"fuse\\000\\000\\000\"");
}

#[test]
fn arrays_have_pages_and_members_of_no_name_their_place() {
    let fixture = Fixture::compile("values.c", &["-gdwarf-5"]);
    let pages = rows(&fixture, "v_many", &["v_many", "v_many[300…399]"]);
    let text = drawn(&pages);
    assert_eq!(text.len(), 1 + 4 + 100, "{text:?}");
    assert_eq!(text[1], "  +[0 … 99] = ");
    assert_eq!(text[4], "  -[300 … 399] = ");
    assert_eq!(text[104], "     [399] = 3");
    assert_eq!(pages[104].expression.as_deref(), Some("v_many[399]"));
    let text = drawn(&rows(&fixture, "v_anonymous", &["v_anonymous"]));
    let names: Vec<&str> = text.iter().map(|row| row.trim().split(" = ").next().unwrap()).collect();
    assert_eq!(names[1..], ["before", "one", "low", "high", "+named", "tail"]);
    let bits = rows(&fixture, "v_bits", &["v_bits"]);
    assert_eq!(drawn(&bits)[1], "   a : 3 = 5");
    assert_eq!(bits[2].expression.as_deref(), Some("v_bits.b"));
    let pointer = rows(&fixture, "v_inside", &["v_inside", "*v_inside"]);
    assert_eq!(drawn(&pointer)[1], "   *v_inside = 3");
    let grid = drawn(&rows(&fixture, "v_grid", &["v_grid", "v_grid[1]"]));
    assert_eq!(grid[2..], ["  -[1] = {4, 5, 6}", "     [0] = 4", "     [1] = 5", "     [2] = 6"]);
}
