//! C expressions against gdb, which computes them over the variables of a
//! file without running it; ours reads the same bytes.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod linked;
    pub mod tools;
}

use kgdb_tui::{
    base::{addr::Addr, memory::Memory},
    eval::{
        expr::{
            assign::{Effect, changes},
            error::ExprError,
            evaluate::{self, Outcome, Scene},
            kept::Kept,
        },
        format::Limits,
        location::{Absent, Context},
    },
    symbols::placed::Symbols,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use std::fmt::Write as _;
use support::linked::{FileMemory, Linked};

/// Operands of every size and sign.
const INTEGERS: [&str; 22] = [
    "v_int",
    "v_unsigned",
    "v_short",
    "v_ushort",
    "v_long",
    "v_ulong",
    "v_char",
    "v_schar",
    "v_u8",
    "v_true",
    "v_false",
    "v_state",
    "v_flags",
    "v_broken",
    "v_wide",
    "0",
    "5",
    "7u",
    "3ul",
    "0xffffffff",
    "'a'",
    "v_everything.numbers[1]",
];

const OPERATORS: [&str; 18] = [
    "+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "==", "!=", "<", ">", "<=", ">=", "&&",
    "||",
];

/// What people type, one by one.
const PLAIN: &str = "
    1
    -1
    +5
    ~0
    !3
    !0
    ~v_u8
    -v_unsigned
    -v_short
    -v_char
    !v_null
    !v_pointer
    - -1
    1 + 2 * 3
    (1 + 2) * 3
    10 - 3 - 2
    100 / 7 % 5
    -7 / 2
    -7 % 3
    7 & 3 | 8 ^ 1
    1 << 3 + 1
    1 + 1 << 3
    5 > 3 == 1
    1 ? 2 : 3
    0 ? 1 / 0 : 4
    1 ? 2 : 0 ? 3 : 4
    0 && 1 / 0
    1 || 1 / 0
    1, 2, 3
    0x10
    010
    0b101
    4294967295
    4294967296
    2147483648
    0x7fffffff
    0x80000000
    0xffffffffffffffff
    18446744073709551615
    1u
    1l
    1ul
    1ull
    1.5
    2.5e3
    1.5 + 1
    3 / 2.0
    v_float
    v_float * 2
    v_double * 3
    v_float + v_double
    v_double > 0
    v_double == v_double
    -v_double
    (int)v_double
    (int)2.9
    (float)1
    (double)v_int
    1.0f
    'a'
    '\\n'
    '\\0'
    '\\101'
    '\\x41'
    '\\''
    'a' + 1
    'a' == 97
    \"abc\"
    \"a\\n\"
    \"\"
    sizeof(\"abc\")
    sizeof(int)
    sizeof(char)
    sizeof(long)
    sizeof(unsigned short)
    sizeof(struct everything)
    sizeof(union either)
    sizeof(enum state)
    sizeof(enum narrow)
    sizeof(u8)
    sizeof(struct list *)
    sizeof(int[3])
    sizeof(int (*)[3])
    sizeof v_int
    sizeof v_text
    sizeof(v_everything.grid)
    sizeof(v_everything.grid[0])
    sizeof(v_bits)
    sizeof v_list.next
    sizeof *v_list.next
    sizeof(v_int + 1l)
    sizeof(void (*)(int))
    v_everything.numbers
    v_everything.numbers[0]
    v_everything.numbers[2] + v_everything.numbers[1]
    2[v_everything.numbers]
    v_everything.grid[1]
    v_everything.grid[1][0]
    v_everything.pairs[1].b
    v_everything.pairs[0]
    v_everything.list
    v_everything.list.next
    v_everything.list.next->prev
    *v_everything.list.next
    v_everything.self
    v_everything.self->self->state
    v_everything.self->numbers[1]
    v_everything.self.state
    (*v_everything.self).mac
    v_everything.comm
    v_everything.comm[0]
    &v_everything.comm[1]
    &v_everything.comm
    &v_everything
    &v_everything.list
    &v_everything.list.prev
    &v_everything.self->list
    *&v_int
    &*v_pointer
    &v_numbers
    &v_numbers[2]
    *v_numbers
    *(v_numbers + 2)
    v_numbers + 1
    *v_pointer
    v_pointer[0]
    v_pointer + 1
    v_pointer - 1
    1 + v_pointer
    &v_numbers[3] - &v_numbers[1]
    &v_numbers[1] - v_numbers
    v_inside - v_numbers
    v_inside > v_numbers
    v_inside == &v_numbers[2]
    v_pointer != 0
    v_null == 0
    v_null
    v_void
    *v_void
    v_void + 1
    v_list_pointer
    v_list_pointer->next
    v_list_pointer->next == v_list_pointer
    *v_list_pointer
    v_list_t
    *v_list_t
    v_opaque
    (long)v_opaque
    (long)v_pointer == (long)&v_int
    (char)300
    (unsigned char)300
    (short)-70000
    (unsigned)-1
    (unsigned long)-1
    (unsigned long)v_int
    (long)v_unsigned
    (u8)v_int
    (u32)v_int
    (enum state)1
    (enum state)3
    (enum flags)6
    (struct list *)0
    (struct list *)v_void
    (struct pair *)v_numbers
    *(struct pair *)v_numbers
    ((struct pair *)v_numbers)->b
    ((struct pair *)v_numbers)[1]
    *(int *)v_text
    *(short *)(v_text + 1)
    *(char **)&v_string
    (char *)v_string
    (void *)v_string
    (char)v_text[1]
    (long)&((struct everything *)0)->list
    &((struct everything *)0)->list
    &((struct everything *)8)->numbers[2]
    (int)&((struct everything *)0)->flags
    {int}&v_int
    {int} v_pointer
    {struct pair} v_numbers
    {unsigned char} v_numbers
    v_numbers[0]@2
    *v_numbers@3
    v_int@1
    v_string[0]@3
    *v_string@5
    v_pairs[1]@2
    &v_numbers[0]@2
    v_state
    v_state + 0
    v_state == GOING
    GOING
    GOING + 1
    LIVE
    F_READ | F_EXEC
    F_RW
    W_HIGH
    N_BIG
    BROKEN
    BROKEN < LIVE
    (int)GOING
    v_flags & F_EXEC
    v_flags == (F_READ | F_EXEC)
    v_bits.a
    v_bits.b
    v_bits.c
    v_bits.d
    v_bits.e
    v_bits.f
    v_bits.a + 1
    v_bits.a * v_bits.b
    v_bits.e >> 4
    v_tight.a
    v_tight.b
    v_tight.c
    v_tight.d
    v_anonymous.one
    v_anonymous.low
    v_anonymous.high + 1
    v_anonymous.tail
    v_anonymous.named.x
    v_either.i
    v_either.bytes[1]
    v_either.pair.b
    v_flexible.count
    v_flexible.name
    v_flexible.name[1]
    v_ops.open
    v_ops.name
    *v_ops.open
    v_function
    *v_function
    v_handlers[0]
    v_handlers[0] == handle
    open_it
    *open_it
    &open_it
    &*open_it
    open_it == v_function
    (long)open_it
    open_it + 1
    main
    v_rows
    *v_rows
    v_rows[1]
    v_rows[1][2]
    (*v_rows)[1]
    v_words[1]
    v_words[1][2]
    v_strings[1]
    v_strings[1][0]
    *v_strings[0]
    v_volatile
    v_volatile + 1
    v_const
    v_const_pointer
    *v_const_pointer
    v_int128
    v_int128 + 1
    v_uint128 - 1
    v_int128 >> 60
    v_uint128 > v_int
    (long)v_int128
    v_everything.fixed
    v_everything.real * 2
    v_everything.yes
    !v_everything.yes
    v_everything.yes + 1
    v_everything.handlers
    v_everything.names[1]
    v_everything.long_array[3]
    v_symbol
    (void *)v_symbol
    (int *)v_symbol
    *(int *)v_symbol
    v_u8 << 4
    (u8)(v_u8 << 4)
    v_list_pointer && v_list_pointer->next
    v_null && *v_pointer
    v_int == -5 ? v_text : v_two
    (v_int, v_short)
    v_true == 1
    v_true + v_true
    v_char == 'a'
    v_text == 0
    &v_bits
    v_text[0] == 'h' && v_text[1] == 'e'
    'values.c'::v_int
    'values.c'::v_everything.state
    sizeof(int) * 2
    -sizeof(int)
    (unsigned long int)5
    (long unsigned)5
    (long long int)-5
    (int unsigned)-5
    (short int)5
    (const int)5
    (int const *)0
    (volatile struct list *)0
    (struct list *const)0
    (int (*)[3])0
    (int (*)(const char *, int))0
    (char **)0
    (unsigned char *)v_text
    (struct list **)0
    (int *)0 + 3
    (struct everything *)0 + 1
    (char *)0 - 1
    *(struct everything **)&v_everything.self
    v_empty
    v_equal_pairs[3]
    v_nosuch
    v_int.x
    v_pair.c
    v_int[0]
    &v_bits.a
    &1
    *v_double
    v_pair + 1
    v_pair == v_pair
    1 / 0
    1 % 0
    (struct nosuch *)0
    sizeof(struct never)
    v_pointer + v_pointer
    v_pointer * 2
    1.5 % 2
    ~1.5
    5 @ 2
    v_int@0
    v_int@-1
    (struct pair)v_int128
    v_pair.a + v_pair.b
    *5
    1 +
    (1
    )
    ''
";

/// Types of these are compared as well, by `whatis`.
const TYPES: &str = "
    1
    1u
    1l
    1ul
    4294967295
    0xffffffff
    0x100000000
    1.5
    1.5f
    'a'
    \"abc\"
    v_int
    v_int + 1
    v_short + v_short
    v_u8 + v_u8
    v_unsigned + v_int
    v_int + v_long
    v_unsigned + v_long
    v_long + v_ulong
    v_int < v_long
    v_int && v_int
    !v_long
    v_float + 1
    v_float + v_double
    v_pointer
    &v_int
    *v_pointer
    v_pointer + 1
    v_inside - v_numbers
    v_numbers
    v_numbers[0]
    &v_numbers
    &v_numbers[0]
    *v_numbers@3
    v_everything
    v_everything.list
    &v_everything.list
    v_everything.self
    *v_everything.self
    v_everything.self->ops.open
    v_everything.comm
    v_everything.grid
    v_everything.grid[0]
    &v_everything.grid[0]
    v_bits.a
    v_bits.c
    v_list_t
    *v_list_t
    v_named_string
    v_const_pointer
    v_const
    v_volatile
    v_strings
    v_rows
    *v_rows
    open_it
    &open_it
    *open_it
    v_function
    v_state
    GOING
    (char)1
    (u8)1
    (struct list *)0
    (struct list *const)0
    (int (*)[3])0
    sizeof(int)
    v_int128
    v_int128 + 1
    v_true
    v_true + 1
    v_int << 3l
    v_char << 1
    1 ? 2 : 3l
    int
    unsigned
    long unsigned
    struct list
    struct list *
    u8
    u8 *
    list_t
    enum state
    char (*)[4]
";

struct Fixture {
    linked: Linked,
    memory: FileMemory,
}

impl Fixture {
    fn new() -> Fixture {
        let linked = Linked::compile("values/values.c", &["-gdwarf-5"]);
        Fixture { memory: FileMemory(linked.symbols.clone()), linked }
    }

    fn with<T>(&self, kept: &Kept, work: impl FnOnce(&Context<'_>, &Scene<'_>) -> T) -> T {
        let context =
            Context { symbols: &self.linked.symbols, memory: &self.memory, frames: &[], cpu: None };
        let current = |_: &Symbols, _: &dyn Memory| Err(Absent::because("nothing runs"));
        work(&context, &Scene { depth: 0, current: &current, kept })
    }

    fn perform(&self, text: &str) -> Result<Outcome, ExprError> {
        self.with(&Kept::default(), |context, scene| evaluate::perform(context, scene, text))
    }

    fn print(&self, text: &str) -> String {
        self.with(&Kept::default(), |context, scene| {
            let value = match evaluate::evaluate(context, scene, text) {
                Ok(value) => value,
                Err(error) => return format!("error: {error}"),
            };
            match context.printed(&value, None, &Limits::default()) {
                Ok(text) => text,
                Err(absent) => format!("error: {absent}"),
            }
        })
    }

    fn whatis(&self, text: &str) -> String {
        self.with(&Kept::default(), |context, scene| {
            match evaluate::type_of(context, scene, text) {
                // As gdb, `whatis` looks through one name of a type.
                Ok((ty, true)) if ty.known().is_some() => {
                    let named = context.symbols.find_typed(text).unwrap();
                    context.symbols.whatis(named)
                }
                Ok((ty, _)) => ty.name(context.symbols),
                Err(error) => format!("error: {error}"),
            }
        })
    }

    /// What gdb says to commands, after the `=`.
    fn gdb(&self, commands: &[String]) -> Vec<String> {
        let mut script = String::from("gdb.execute('set language c')\n");
        for command in commands {
            writeln!(script, "try:\n  t = gdb.execute({command:?}, to_string=True)").unwrap();
            writeln!(script, "  print('@', t.split(' = ', 1)[1].rstrip('\\n'))").unwrap();
            writeln!(script, "except gdb.error as e:\n  print('@ error:', e)").unwrap();
        }
        let out = oracle::gdb_python(&self.linked.program, &script);
        assert_eq!(out.len(), commands.len());
        out
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Whether two answers say the same; errors have words of their own.
fn same(ours: &str, gdbs: &str) -> bool {
    let plain = |text: &str| text.replace("(void)", "()");
    ours == gdbs
        || plain(ours) == plain(gdbs)
        || ours.starts_with("error: ") && gdbs.starts_with("error: ")
}

/// Compares all answers; what differs without a reason is listed.
fn compare(
    what: &str,
    expressions: &[String],
    gdbs: &[String],
    ours: impl Fn(&str) -> String,
    explained: impl Fn(&str, &str, &str) -> bool,
) {
    let (mut equal, mut explained_ones, mut different) = (0, 0, Vec::new());
    for (text, gdbs) in expressions.iter().zip(gdbs) {
        let ours = ours(text);
        match () {
            () if same(&ours, gdbs) => equal += 1,
            () if explained(text, &ours, gdbs) => explained_ones += 1,
            () => different.push(format!("{text}\n  gdb:  {gdbs}\n  ours: {ours}")),
        }
    }
    eprintln!("{what}: {equal} of {} as gdb, {explained_ones} explained", expressions.len());
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    assert!(equal * 10 >= expressions.len() * 9, "only {equal} are equal");
}

#[test]
fn expressions_have_gdbs_values() {
    let fixture = Fixture::new();
    let expressions = lines(PLAIN);
    assert!(expressions.len() > 300);
    let commands: Vec<String> = expressions.iter().map(|text| format!("print {text}")).collect();
    let gdbs = fixture.gdb(&commands);
    compare(
        "print",
        &expressions,
        &gdbs,
        |text| fixture.print(text),
        |text, ours, gdbs| match text {
            // A bit field that an int can hold is one in C (6.3.1.1); gdb
            // keeps the declared type.
            "v_bits.a * v_bits.b" => true,
            // gdb does not know this of C: it is *(2 + array).
            "2[v_everything.numbers]" => true,
            // gdb 13 has no arithmetic with more than 8 bytes, and none with
            // two booleans.
            _ if text.contains("int128") || text == "v_true + v_true" => true,
            // It takes the size of a type for an int.
            "-sizeof(int)" => true,
            "(int unsigned)-5" => gdbs.starts_with("error: A syntax error"),
            // What `u8 *` and its like point to is not read as text.
            "(unsigned char *)v_text" => gdbs.strip_prefix(ours) == Some(" \"hello\""),
            // A bit field has no address: this would be that of others.
            "&v_bits.a" => true,
            _ => false,
        },
    );
}

#[test]
fn every_operator_gives_what_gdbs_gives() {
    let fixture = Fixture::new();
    let mut expressions = Vec::new();
    for left in INTEGERS {
        for right in INTEGERS {
            expressions.extend(OPERATORS.iter().map(|op| format!("{left} {op} {right}")));
        }
    }
    let commands: Vec<String> = expressions.iter().map(|text| format!("print {text}")).collect();
    let gdbs = fixture.gdb(&commands);
    compare(
        "operators",
        &expressions,
        &gdbs,
        |text| fixture.print(text),
        |text, _, _| {
            let is_shift = text.contains(" << ") || text.contains(" >> ");
            let first = text.split(' ').next().unwrap_or_default();
            let is_enum = ["v_state", "v_flags", "v_broken", "v_wide"].contains(&first);
            // gdb does not shift by or of booleans, and keeps the enumeration; C
            // promotes both sides (6.5.7).
            let booleans = text.split(' ').filter(|word| ["v_true", "v_false"].contains(word));
            let booleans = booleans.count();
            // Nor does it calculate with two of them, or it gives one.
            is_shift && (is_enum || booleans > 0) || booleans == 2
        },
    );
}

#[test]
fn expressions_have_gdbs_types() {
    let fixture = Fixture::new();
    let expressions = lines(TYPES);
    let commands: Vec<String> =
        expressions.iter().map(|text| format!("python print('x = ' + gdb.execute('whatis {}', to_string=True).split(' = ', 1)[1].strip())", text.replace('\'', "\\'"))).collect();
    let gdbs = fixture.gdb(&commands);
    compare(
        "whatis",
        &expressions,
        &gdbs,
        |text| fixture.whatis(text),
        |text, _, gdbs| {
            // Those of gdb are said above.
            text == "sizeof(int)" || gdbs.starts_with("error: ")
        },
    );
}

#[test]
fn an_assignment_says_what_it_would_write() {
    let fixture = Fixture::new();
    let written = |text: &str| {
        let outcome = fixture.perform(text).unwrap_or_else(|error| panic!("{}", error.shown(text)));
        fixture.with(&Kept::default(), |context, _| {
            let all = changes(context, &outcome.effects);
            let words: Vec<String> = all
                .iter()
                .map(|change| {
                    let text = change.to_string();
                    // Not where, which the linker decides.
                    let (count, rest) = text.split_once(" at ").unwrap();
                    format!("{count} {}", rest.split_once(' ').unwrap().1)
                })
                .collect();
            words.join("; ")
        })
    };
    assert_eq!(written("v_int = 7"), "4 bytes (v_int): -5 -> 7");
    assert_eq!(written("v_int += 2"), "4 bytes (v_int): -5 -> -3");
    assert_eq!(written("v_short = 70000"), "2 bytes (v_short): -2 -> 4464");
    assert_eq!(written("v_everything.numbers[1] = 9"), "4 bytes (v_everything.numbers[1]): 1 -> 9");
    assert_eq!(written("v_bits.a = 2"), "1 byte (v_bits.a): 5 -> 2");
    assert_eq!(written("v_bits.a = 0xff"), "1 byte (v_bits.a): 5 -> 7");
    assert_eq!(written("v_bits.e = 1"), "6 bytes (v_bits.e): 554642532233 -> 1");
    assert_eq!(
        written("v_tight.c = -1"),
        "8 bytes (v_tight.c): 1311768465173141112 -> 2305843009213693951"
    );
    assert_eq!(written("v_state = COMING"), "4 bytes (v_state): GOING -> COMING");
    assert_eq!(
        written("v_pair = v_pairs[2]"),
        "8 bytes (v_pair): {a = 1, b = -2} -> {a = 3, b = 4}"
    );
    assert_eq!(
        written("v_two = \"xy\""),
        "6 bytes (v_two): \"ab\\000c\\000\" -> \"xy\\000\\000\\000\""
    );
    assert_eq!(written("v_int++"), "4 bytes (v_int): -5 -> -4");
    assert_eq!(written("--v_int"), "4 bytes (v_int): -5 -> -6");
    assert_eq!(written("v_pointer = &v_numbers[1]").split(" -> ").count(), 2);
    assert_eq!(written("v_true = 5"), "1 byte (v_true): true -> true");
    assert_eq!(written("v_double = 1"), "8 bytes (v_double): 0.33333333333333331 -> 1");
    let both = written("v_int = 1, v_short = v_int + 1");
    assert_eq!(both, "4 bytes (v_int): -5 -> 1; 2 bytes (v_short): -2 -> 2");
    assert_eq!(
        written("v_int = v_short = 3"),
        "2 bytes (v_short): -2 -> 3; 4 bytes (v_int): -5 -> 3"
    );
    for bad in [
        "1 = 2",
        "v_pair = 1",
        "open_it = 0",
        "&v_int = 0",
        "v_two = \"too long\"",
        "v_int + 1 = 2",
    ] {
        assert!(fixture.perform(bad).is_err(), "{bad}");
    }
    let only_there = fixture.perform("0 && (v_int = 1)").unwrap();
    assert!(only_there.effects.is_empty());
    let error = fixture.with(&Kept::default(), |context, scene| {
        evaluate::evaluate(context, scene, "v_int = 1").unwrap_err()
    });
    assert_eq!(error.message, "this would change something");
}

#[test]
fn variables_and_values_are_kept() {
    let fixture = Fixture::new();
    let mut kept = Kept::default();
    let value = |kept: &Kept, text: &str| {
        fixture.with(kept, |context, scene| {
            let outcome = evaluate::perform(context, scene, text).map_err(|e| e.to_string())?;
            let text = context.printed(&outcome.value, None, &Limits::default());
            Ok::<_, String>((text.map_err(|e| e.to_string())?, outcome.effects))
        })
    };
    assert_eq!(value(&kept, "$x").unwrap().0, "void");
    let (text, effects) = value(&kept, "$x = v_int * 2").unwrap();
    assert_eq!(text, "-10");
    let [Effect::SetVariable { name, value: set }] = &effects[..] else { panic!("{effects:?}") };
    kept.set(name.clone(), set.clone());
    assert_eq!(value(&kept, "$x + 1").unwrap().0, "-9");
    assert_eq!(value(&kept, "$x += 5").unwrap().0, "-5");
    assert_eq!(value(&kept, "$y = 3, $y + $y").unwrap().0, "6");
    // The value before and after, in the guest too.
    assert_eq!(value(&kept, "v_int++").unwrap().0, "-5");
    assert_eq!(value(&kept, "++v_int").unwrap().0, "-4");
    assert_eq!(value(&kept, "v_int++, v_int + 0").unwrap().0, "-4");
    assert_eq!(value(&kept, "v_bits.a--").unwrap().0, "5");
    assert_eq!(value(&kept, "v_bits.a--, v_bits.a + 0").unwrap().0, "4");
    // A bit field of three bits without a sign is promoted to an int, where it
    // was assigned to as well.
    assert_eq!(value(&kept, "v_bits.a - 6").unwrap().0, "-1");
    assert_eq!(value(&kept, "(v_bits.a = 13) - 6").unwrap().0, "-1");
    assert_eq!(value(&kept, "v_bits.a++ - 6").unwrap().0, "-1");
    assert_eq!(value(&kept, "++v_bits.a - 7").unwrap().0, "-1");
    assert_eq!(value(&kept, "($z = v_bits.a) - 6").unwrap().0, "-1");
    assert!(value(&kept, "$7").is_err());
    assert!(value(&kept, "$x.a").is_err());
}

#[test]
fn only_what_is_wanted_is_read() {
    use kgdb_tui::base::memory::{Recorder, Sparse};
    let fixture = Fixture::new();
    let (nothing, kept) = (Sparse::new(), Kept::default());
    let missed = |text: &str| {
        let recorder = Recorder::new(&nothing);
        let symbols = &fixture.linked.symbols;
        let context = Context { symbols, memory: &recorder, frames: &[], cpu: None };
        let current = |_: &Symbols, _: &dyn Memory| Ok(Addr(0));
        let scene = Scene { depth: 0, current: &current, kept: &kept };
        let result = evaluate::perform(&context, &scene, text);
        if let Err(error) = &result {
            assert!(error.is_missing(), "{text}: {error}");
        }
        recorder.into_misses().iter().map(|span| span.len).collect::<Vec<_>>()
    };
    assert_eq!(missed("v_everything.state + 1"), [4]);
    assert_eq!(missed("v_everything.self->state"), [8]);
    assert_eq!(missed("&v_everything.self->state"), [8]);
    assert_eq!(missed("&v_everything.numbers[3]"), [0u64; 0]);
    assert_eq!(missed("0 && v_int"), [0u64; 0]);
    assert_eq!(missed("sizeof(v_everything.self->self->list)"), [0u64; 0]);
    assert_eq!(missed("v_everything"), [0u64; 0], "a struct is not read to be named");
    assert_eq!(missed("v_bits.a + 0"), [1]);
}

#[test]
fn errors_name_the_place_and_what_was_meant() {
    let fixture = Fixture::new();
    let error = |text: &str| {
        let error = fixture.perform(text).unwrap_err();
        (error.message, error.at)
    };
    assert_eq!(
        error("v_everything.stat + 1"),
        ("no member 'stat' in struct everything; did you mean 'state'?".into(), 13..17)
    );
    assert_eq!(
        error("v_anonymous.lew").0,
        "no member 'lew' in struct anonymous; did you mean 'low'?"
    );
    assert_eq!(error("v_everythin").0, "no symbol 'v_everythin'; did you mean 'v_everything'?");
    assert_eq!(
        error("(struct pai *)0"),
        ("no type struct pai; did you mean 'struct pair'?".into(), 1..11)
    );
    assert_eq!(error("v_int.x").0, "'int' is no struct or union");
    assert_eq!(error("1 + 4 / (2 - 2)"), ("division by zero".into(), 4..15));
    assert_eq!(error("*v_void").0, "a pointer to void does not say what is there; cast it");
    assert_eq!(error("main(1)").1, 0..5);
    assert_eq!(error("x::y").0, "no function 'x'");
    assert_eq!(
        error("struct list").0,
        "a value is wanted here, and this is a type; ptype shows types"
    );
}

/// Expressions over the fixture's variables, most of them of no sense.
fn texts() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "v_int",
        "v_ulong",
        "v_pointer",
        "v_everything",
        "v_numbers",
        "v_bits",
        "v_tight.b",
        "v_list",
        "v_list_pointer",
        "v_int128",
        "v_double",
        "v_string",
        "v_text",
        "v_flexible",
        "v_void",
        "open_it",
        "GOING",
        "0",
        "1",
        "-1",
        "0x7fffffffffffffff",
        "0xffffffffffffffff",
        "1.5",
        "'a'",
        "\"abc\"",
        "$x",
        "$",
        "v_empty",
        "v_opaque",
        "main",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(5, 24, 3, |inner| {
        let ops = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "<<", ">>", "<", "==", "&", "|", "&&", "@", ",", "=", "+=",
            "<<=",
        ]);
        let before = prop::sample::select(vec![
            "-",
            "!",
            "~",
            "*",
            "& ",
            "(char)",
            "(struct everything *)",
            "(struct list)",
            "{int}",
            "sizeof ",
            "++",
            "--",
            "(int [3])",
            "(void)",
            "(_Bool)",
            "(unsigned __int128)",
            "(enum state)",
        ]);
        let behind = prop::sample::select(vec![
            "->self", ".numbers", "[0]", "[-1]", "++", "->next", ".next", ".a", ".c", ".name",
        ]);
        prop_oneof![
            (inner.clone(), ops, inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            (before, inner.clone()).prop_map(|(op, a)| format!("{op}({a})")),
            (inner.clone(), behind).prop_map(|(a, op)| format!("({a}){op}")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("{a} ? {b} : {c}")),
        ]
    })
}

/// Whether the type is a matter of values: which side of `?:` is taken, the
/// count of `@` when it is assigned to before, and `$x` behind its assignment,
/// which has no type of its own.
fn type_needs_values(text: &str, outcome: &Outcome) -> bool {
    let changes = !outcome.effects.is_empty();
    text.contains('?') || changes && (text.contains('@') || text.matches("$x").count() > 1)
}

#[test]
fn any_expression_has_an_answer_and_a_type() {
    let fixture = Fixture::new();
    let mut runner =
        TestRunner::new(Config { cases: 2000, failure_persistence: None, ..Config::default() });
    runner
        .run(&texts(), |text| {
            let limits = Limits::default();
            fixture.with(&Kept::default(), |context, scene| {
                match evaluate::perform(context, scene, &text) {
                    Ok(outcome) => {
                        let _ = context.printed(&outcome.value, None, &limits);
                        let _ = changes(context, &outcome.effects);
                        // What has a value has the same type without being read.
                        let ty = match evaluate::type_of(context, scene, &text) {
                            _ if type_needs_values(&text, &outcome) => return Ok(()),
                            Ok((ty, _)) => ty.name(context.symbols),
                            Err(error) => error.to_string(),
                        };
                        prop_assert_eq!(ty, outcome.value.ty.name(context.symbols));
                    }
                    Err(error) => prop_assert!(error.at.end <= text.len()),
                }
                Ok(())
            })
        })
        .unwrap();
}
