//! What the parser reads, where it says that it can't, and that what an
//! expression is printed as is read as the same expression.

use crate::eval::expr::{
    ast::{Expr, Kind},
    error::ExprError,
    parse,
};
use proptest::prelude::*;

fn is_type(name: &str) -> bool {
    matches!(name, "u32" | "size_t" | "page_t" | "hgfs!state_t")
}

fn parsed(text: &str) -> Result<Expr, ExprError> {
    parse::expression(text, &is_type)
}

#[track_caller]
fn shown(text: &str) -> String {
    parsed(text).unwrap_or_else(|error| panic!("{}", error.shown(text))).to_string()
}

fn type_name(text: &str) -> Result<String, ExprError> {
    let expr = parse::expression_or_type(text, &is_type)?;
    match expr.kind {
        Kind::Type(ty) => Ok(ty.to_string()),
        _ => Err(ExprError::new(expr.at, "no type")),
    }
}

fn ty(text: &str) -> String {
    type_name(text).unwrap_or_else(|error| panic!("{}", error.shown(text)))
}

#[test]
fn operators_bind_as_in_c() {
    for (text, wanted) in [
        ("1+2*3", "(1 + (2 * 3))"),
        ("1-2-3", "((1 - 2) - 3)"),
        ("a=b=c", "(a = (b = c))"),
        ("a += b ? c : d", "(a += (b ? c : d))"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("a?b,c:d", "(a ? (b , c) : d)"),
        (
            "a||b&&c|d^e&f==g<h<<i+j*k",
            "(a || (b && (c | (d ^ (e & (f == (g < (h << (i + (j * k))))))))))",
        ),
        ("*p@3+1", "((*p) @ (3 + 1))"),
        ("p[1]@2 << 1", "((p[1] @ 2) << 1)"),
        ("-x.y->z[3]", "(-x.y->z[3])"),
        ("*p++", "(*(p++))"),
        ("--*p", "(--(*p))"),
        ("!a & ~b", "((!a) & (~b))"),
        ("&a.b", "(&a.b)"),
        ("a, b", "(a , b)"),
        ("-1", "(-1)"),
        ("((a))", "a"),
    ] {
        assert_eq!(shown(text), wanted);
    }
}

#[test]
fn types_are_told_from_values() {
    for (text, wanted) in [
        ("(u32)-1", "((u32)(-1))"),
        ("(x)-1", "(x - 1)"),
        ("(struct page *)x->y", "((struct page *)x->y)"),
        ("sizeof(u32)", "sizeof(u32)"),
        ("sizeof (x) + 1", "(sizeof(x) + 1)"),
        ("sizeof x[1]", "sizeof(x[1])"),
        ("sizeof(unsigned long)*2", "(sizeof(long unsigned int) * 2)"),
        ("{u32} x + 1", "(({u32}x) + 1)"),
        ("(typeof(x) *)y", "((typeof(x) *)y)"),
        ("(hgfs!state_t)1", "((hgfs!state_t)1)"),
        (
            "container_of(p, struct hgfs_req, list)->id",
            "container_of(p, struct hgfs_req, list)->id",
        ),
        ("offsetof(struct page, a.b[2].c)", "offsetof(struct page, a.b[2].c)"),
        ("per_cpu(runqueues, 1).nr", "per_cpu(runqueues, 1).nr"),
        ("this_cpu(x)", "this_cpu(x)"),
        ("per_cpu_ptr(&x, 0)", "per_cpu_ptr((&x), 0)"),
        ("_Alignof(struct page)", "_Alignof(struct page)"),
    ] {
        assert_eq!(shown(text), wanted);
    }
}

#[test]
fn types_are_spelled_in_any_order() {
    for (text, wanted) in [
        ("unsigned long int *const", "long unsigned int *const "),
        ("long const unsigned", "const long unsigned int"),
        ("int long unsigned long", "long long unsigned int"),
        ("struct foo *(*)(int)", "struct foo *(*)(int)"),
        ("char (*[4])[16]", "char (*[4])[16]"),
        ("void (*)(struct page *, ...)", "void (*)(struct page *)"),
        ("void (*)(struct page *page, int order)", "void (*)(struct page *, int)"),
        ("u32 const volatile *", "const volatile u32 *"),
        ("int [3][4]", "int [3][4]"),
        ("_Bool", "_Bool"),
        ("unsigned __int128", "__int128 unsigned"),
        ("short", "short int"),
        ("signed char", "signed char"),
        ("char **", "char **"),
        ("typeof(int *)", "int *"),
        ("int (*(*)(void))[3]", "int (*(*)(void))[3]"),
        ("const char *const *", "const char *const *"),
    ] {
        assert_eq!(ty(text).trim_end(), wanted.trim_end());
    }
    for bad in ["long char", "unsigned signed", "short long", "struct", "u32 u32", "int *[", "x"] {
        assert!(type_name(bad).is_err(), "{bad}");
    }
}

#[test]
fn names_say_where_they_are() {
    for (text, wanted) in [
        ("'fs/namei.c'::state", "'fs/namei.c'::state"),
        ("hgfs!state + 1", "(hgfs!state + 1)"),
        ("hgfs!'main.c'::state", "hgfs!'main.c'::state"),
        ("vfs_read::count", "vfs_read::count"),
        ("'foo.isra.0'", "'foo.isra.0'"),
        ("'foo'::x", "foo::x"),
        ("$rip + $sp", "($rip + $sp)"),
        ("$ + $$ + $$2 + $7", "((($ + $$) + $$2) + $7)"),
        ("'a' + '\\n' + \"x\" \"y\\\"\"", "(('a' + '\\012') + \"xy\\\"\")"),
        ("a != b", "(a != b)"),
    ] {
        assert_eq!(shown(text), wanted);
    }
}

#[test]
fn errors_point_at_the_place() {
    for (text, at, message) in [
        ("1 +", 3..3, "a value is missing at the end"),
        ("(1", 2..2, "')' is missing at the end"),
        ("1)", 1..2, "')' closes nothing"),
        ("a b", 2..3, "an operator is wanted here"),
        ("a ! b", 2..3, "an operator (a module's name touches its '!') is wanted here"),
        ("a->1", 3..4, "a member's name is wanted here"),
        ("f(1)", 0..2, "functions of the guest are not called"),
        ("(struct)1", 7..8, "the tag of a struct is wanted here"),
        ("(long char)1", 1..10, "C has no type 'long char'"),
        ("a[1", 3..3, "']' is missing at the end"),
        ("a ? b", 5..5, "':' is missing at the end"),
        ("", 0..0, "a value is missing at the end"),
        ("&&x", 0..2, "a value is wanted here"),
    ] {
        let error = parsed(text).map(|expr| expr.to_string()).unwrap_err();
        assert!(error.message.starts_with(message), "{text}: {}", error.message);
        assert_eq!(error.at, at, "{text}");
    }
}

#[test]
fn depth_is_bounded() {
    for text in
        ["(".repeat(3000), "-".repeat(3000), "1+".repeat(2000) + "1", "*".repeat(2000) + "x"]
    {
        let error = parsed(&text).map(|expr| expr.to_string()).unwrap_err();
        assert!(error.message.contains("nested too deeply"), "{}", error.message);
    }
    for text in [format!("({}1", "int ".to_owned() + &"*".repeat(3000)), "a[".repeat(2000)] {
        assert!(parsed(&text).is_err());
    }
    assert!(parsed(&("sizeof(".to_owned() + &"typeof(".repeat(500))).is_err());
    assert!(parsed(&" ".repeat(5000)).is_err());
    assert!(parsed(&("1+".repeat(50) + "1")).is_ok());
}

/// Expressions as people may type them, in their full variety.
fn texts() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z]{1,3}".prop_filter("no word of C", |word| !["int", "if"].contains(&&**word)),
        any::<u32>().prop_map(|number| number.to_string()),
        Just("0x1full".to_owned()),
        Just("1.5".to_owned()),
        Just("'q'".to_owned()),
        Just("\"a\\n\"".to_owned()),
        Just("$rip".to_owned()),
        Just("$".to_owned()),
        Just("$$2".to_owned()),
        Just("hgfs!x".to_owned()),
        Just("'a.c'::x".to_owned()),
        Just("sizeof(struct page *(*[3])(int))".to_owned()),
        Just("offsetof(struct page, a.b[3])".to_owned()),
    ];
    leaf.prop_recursive(6, 40, 3, |inner| {
        let ops = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "<<", ">>", "<", ">", "<=", ">=", "==", "!=", "&", "|", "^",
            "&&", "||", "@", ",", "=", "+=", "<<=",
        ]);
        let prefixes = prop::sample::select(vec![
            "-",
            "+",
            "!",
            "~",
            "*",
            "& ",
            "- -",
            "(u32)",
            "(struct page *const *)",
            "{int}",
            "sizeof ",
            "++",
            "--",
        ]);
        let postfixes =
            prop::sample::select(vec!["->m", ".m", "[0]", "++", "--", "->a.b", "[x+1]"]);
        prop_oneof![
            (inner.clone(), ops, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            (prefixes, inner.clone()).prop_map(|(op, a)| format!("{op}{a}")),
            (inner.clone(), postfixes).prop_map(|(a, op)| format!("({a}){op}")),
            inner.clone().prop_map(|a| format!("({a})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("{a} ? {b} : {c}")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("per_cpu({a}, ({b}))")),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same(text in texts()) {
        if let Ok(expr) = parsed(&text) {
            let printed = expr.to_string();
            let again = parsed(&printed);
            prop_assert!(again.is_ok(), "{text} is printed as {printed}");
            prop_assert_eq!(again.unwrap().to_string(), printed);
        }
    }

    #[test]
    fn any_text_gets_an_answer_or_a_place(text in "\\PC{0,60}") {
        if let Err(error) = parsed(&text) {
            prop_assert!(error.at.end <= text.len() && error.at.start <= error.at.end);
            prop_assert!(text.is_char_boundary(error.at.start));
            let _ = error.shown(&text);
        }
    }

    #[test]
    fn any_words_get_an_answer_or_a_place(
        words in prop::collection::vec(prop::sample::select(vec![
            "a", "u32", "struct", "page", "(", ")", "[", "]", "*", "&", "->", ".", "1", "'x'",
            "sizeof", "typeof", "container_of", ",", "::", "!", "$", "{", "}", "?", ":", "=",
            "const", "unsigned", "long", "\"s\"", "@", "-",
        ]), 0..30)
    ) {
        let text = words.join(" ");
        if let Err(error) = parsed(&text) {
            prop_assert!(error.at.end <= text.len());
        }
        let _ = parse::expression_or_type(&text, &is_type);
    }
}
