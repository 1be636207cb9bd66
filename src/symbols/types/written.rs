//! Types as text, the way gdb prints them (`c_print_type_1` and what it calls,
//! gdb/c-typeprint.c): so that what people know from gdb, paste and search for
//! is the same here. A declaration is the base type, then a prefix, the name,
//! and a suffix: `int (*` `fn` `)(void)`.
//!
//! `show` says how much of a struct is printed: above zero its members, at
//! zero its tag, but the members of one without a tag; below zero `{...}`.
//! Each member is printed with one less.

use crate::symbols::{
    answer::TypeRef,
    types::{
        node::{Field, Node, Types},
        offsets::Offsets,
    },
};
use std::rc::Rc;

/// Bytes of a type with its members at most; the longest struct of a kernel
/// with everything in it has some 100,000. Only a hostile file has types that
/// branch without end.
const MOST_TEXT: usize = 4 << 20;
/// Bytes of a type's name at most; the longest of a kernel has some 300.
const MOST_NAME: usize = 4096;
/// Types inside types at most.
const MAX_DEPTH: usize = 100;

/// A type after its qualifiers have been taken off.
#[derive(Clone)]
struct Bare {
    at: TypeRef,
    node: Rc<Node>,
    words: Words,
}

/// Qualifiers in the order in which they are printed.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Words {
    constant: bool,
    volatile: bool,
    restrict: bool,
    atomic: bool,
}

impl Words {
    fn add(&mut self, word: &str) {
        match word {
            "const" => self.constant = true,
            "volatile" => self.volatile = true,
            "restrict" => self.restrict = true,
            "_Atomic" => self.atomic = true,
            _ => {}
        }
    }

    fn and(self, other: Words) -> Words {
        Words {
            constant: self.constant || other.constant,
            volatile: self.volatile || other.volatile,
            restrict: self.restrict || other.restrict,
            atomic: self.atomic || other.atomic,
        }
    }

    fn list(self) -> impl Iterator<Item = &'static str> {
        let words = [
            (self.constant, "const"),
            (self.volatile, "volatile"),
            (self.restrict, "restrict"),
            (self.atomic, "_Atomic"),
        ];
        words.into_iter().filter(|(has, _)| *has).map(|(_, word)| word)
    }
}

/// Writes one type.
pub(in crate::symbols) struct Writer<'t, 'a> {
    types: &'t Types<'a>,
    out: String,
    depth: usize,
    /// Bytes of text at which it ends.
    most: usize,
    /// With offsets and sizes, as `ptype /o`.
    offsets: bool,
}

/// A declaration of `name` (empty for none) with a type, in one line unless
/// members are shown.
pub(in crate::symbols) fn declared(
    types: &Types<'_>,
    ty: TypeRef,
    name: &str,
    show: i32,
) -> String {
    let mut writer =
        Writer { types, out: String::new(), depth: 0, most: MOST_NAME, offsets: false };
    writer.declare(ty, name, show, 0, &mut Offsets::default());
    writer.out
}

/// A type with its members, and with their offsets if asked for.
pub(in crate::symbols) fn described(types: &Types<'_>, ty: TypeRef, offsets: bool) -> String {
    let mut writer = Writer { types, out: String::new(), depth: 0, most: MOST_TEXT, offsets };
    writer.declare(ty, "", 1, 0, &mut Offsets::default());
    writer.out
}

impl Writer<'_, '_> {
    fn full(&self) -> bool {
        self.depth > MAX_DEPTH || self.out.len() > self.most
    }

    fn bare(&self, ty: TypeRef) -> Bare {
        let mut words = Words::default();
        let mut at = ty;
        for _ in 0..MAX_DEPTH {
            let node = self.types.node(at);
            let Node::Qualified { word, target } = &*node else {
                return Bare { at, node, words };
            };
            words.add(word);
            at = *target;
        }
        Bare { at, node: Rc::new(Node::Unknown), words }
    }

    /// Through typedefs, keeping qualifiers, to where it is described whole
    /// (`check_typedef`).
    fn through(&self, bare: &Bare) -> Bare {
        let mut bare = bare.clone();
        for _ in 0..MAX_DEPTH {
            let Node::Typedef { target, .. } = &*bare.node else { break };
            let next = self.bare(*target);
            bare = Bare { words: bare.words.and(next.words), ..next };
        }
        let (at, node) = self.types.whole(bare.at);
        Bare { at, node, words: bare.words }
    }

    /// What an array is of; its qualifiers are the elements' (C99 6.7.3).
    fn element(&self, array: &Bare, element: TypeRef) -> Bare {
        let bare = self.bare(element);
        Bare { words: bare.words.and(array.words), ..bare }
    }

    fn declare(&mut self, ty: TypeRef, name: &str, show: i32, level: usize, at: &mut Offsets) {
        let mut bare = self.bare(ty);
        if show > 0 {
            bare = self.through(&bare);
        }
        self.base(&bare, show, level, at);
        let built = match &*bare.node {
            Node::Pointer { .. } | Node::Function(_) => true,
            Node::Array { vector, .. } => !vector,
            _ => false,
        };
        if !name.is_empty() || built {
            self.out.push(' ');
        }
        self.prefix(&bare, show, false, !name.is_empty());
        self.out.push_str(name);
        self.suffix(&bare, show, false);
    }

    fn qualify(&mut self, words: Words, before: bool, after: bool) {
        let text = words.list().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            return;
        }
        self.out.push_str(if before { " " } else { "" });
        self.out.push_str(&text);
        self.out.push_str(if after { " " } else { "" });
    }

    /// The type that everything else is built on: `c_type_print_base_1`.
    fn base(&mut self, bare: &Bare, show: i32, level: usize, at: &mut Offsets) {
        if self.full() {
            self.out.push('?');
            return;
        }
        if show <= 0
            && let Some(name) = self.tagged(&bare.node)
        {
            self.qualify(bare.words, false, true);
            self.out.push_str(&name);
            return;
        }
        let bare = self.through(bare);
        self.depth += 1;
        match &*bare.node {
            Node::Function(function) => {
                let result = self.bare(function.result);
                self.base(&result, show, level, at);
            }
            Node::Array { element, .. } => {
                let element = self.element(&bare, *element);
                self.base(&element, show, level, at);
            }
            Node::Pointer { target, .. } => {
                let target = self.bare(*target);
                self.base(&target, show, level, at);
            }
            Node::Composite { .. } => self.composite(&bare, show, level, at),
            Node::Enum { .. } => self.enumeration(&bare, show),
            node => {
                self.qualify(bare.words, false, true);
                let name = self.tagged(node);
                self.out.push_str(name.as_deref().unwrap_or("?"));
            }
        }
        self.depth -= 1;
    }

    /// The name of a type that has one: with its keyword where C wants it.
    fn tagged(&self, node: &Node) -> Option<String> {
        match node {
            Node::Void => Some("void".to_owned()),
            Node::Unknown => Some("?".to_owned()),
            Node::Base { name, .. } => Some(in_c(name).unwrap_or(name).to_owned()),
            Node::Typedef { name, .. } => Some(name.clone()),
            Node::Composite { name, .. } | Node::Enum { name, .. } => {
                name.as_ref().map(|name| format!("{} {name}", keyword(node)))
            }
            _ => None,
        }
    }

    fn prefix(&mut self, bare: &Bare, show: i32, pointed: bool, name_follows: bool) {
        if self.is_named(bare, show) {
            return;
        }
        self.depth += 1;
        match &*bare.node {
            Node::Pointer { target, .. } => {
                let target = self.bare(*target);
                self.prefix(&target, show, true, true);
                self.out.push('*');
                self.qualify(bare.words, true, name_follows);
            }
            Node::Function(function) => {
                let result = self.bare(function.result);
                self.prefix(&result, show, false, false);
                self.out.push_str(if pointed { "(" } else { "" });
            }
            Node::Array { element, .. } => {
                let element = self.element(bare, *element);
                self.prefix(&element, show, false, name_follows);
                self.out.push_str(if pointed { "(" } else { "" });
            }
            Node::Typedef { target, .. } => {
                let target = self.bare(*target);
                self.prefix(&target, show, pointed, false);
            }
            _ => {}
        }
        self.depth -= 1;
    }

    fn suffix(&mut self, bare: &Bare, show: i32, pointed: bool) {
        if self.is_named(bare, show) {
            return;
        }
        self.depth += 1;
        match &*bare.node {
            Node::Pointer { target, .. } => {
                let target = self.bare(*target);
                self.suffix(&target, show, true);
            }
            Node::Function(function) => {
                self.out.push_str(if pointed { ")" } else { "" });
                self.parameters(function);
                let result = self.bare(function.result);
                self.suffix(&result, show, false);
            }
            Node::Array { element, counts, vector } => {
                self.out.push_str(if pointed { ")" } else { "" });
                for count in counts {
                    let count = count.map_or(String::new(), |count| count.to_string());
                    match vector {
                        true => {
                            self.out.push_str(&format!(" __attribute__ ((vector_size({count})))"))
                        }
                        false => self.out.push_str(&format!("[{count}]")),
                    }
                }
                let element = self.element(bare, *element);
                self.suffix(&element, show, false);
            }
            Node::Typedef { target, .. } => {
                let target = self.bare(*target);
                self.suffix(&target, show, pointed);
            }
            _ => {}
        }
        self.depth -= 1;
    }

    /// A type that is printed by its name alone, or one that goes on too long.
    fn is_named(&self, bare: &Bare, show: i32) -> bool {
        let typedef = matches!(&*bare.node, Node::Typedef { .. });
        typedef && show <= 0 || self.full()
    }

    fn parameters(&mut self, function: &crate::symbols::types::node::Function) {
        self.out.push('(');
        for (i, &parameter) in function.parameters.iter().enumerate() {
            if self.full() {
                break;
            }
            self.out.push_str(if i > 0 { ", " } else { "" });
            self.declare(parameter, "", -1, 0, &mut Offsets::default());
        }
        match (function.parameters.is_empty(), function.variadic) {
            (false, true) => self.out.push_str(", ..."),
            // Compilers call `f()` variadic too.
            (true, true) if function.prototyped => self.out.push_str("..."),
            (true, false) if function.prototyped => self.out.push_str("void"),
            _ => {}
        }
        self.out.push(')');
    }

    fn enumeration(&mut self, bare: &Bare, show: i32) {
        self.qualify(bare.words, false, true);
        let Node::Enum { name, size } = &*bare.node else { return };
        self.head("enum", name.as_deref(), show);
        if show <= 0 && name.is_some() {
            return;
        }
        if show < 0 {
            self.out.push_str("{...}");
            return;
        }
        if size.is_none() {
            self.out.push_str("{<incomplete type>}");
            return;
        }
        let mut next = 0;
        let mut text = Vec::new();
        for (name, value) in self.types.enumerators(bare.at) {
            text.push(match value == next {
                true => name,
                false => format!("{name} = {value}"),
            });
            next = value.wrapping_add(1);
        }
        self.out.push_str(&format!("{{{}}}", text.join(", ")));
    }

    fn head(&mut self, keyword: &str, name: Option<&str>, show: i32) {
        self.out.push_str(keyword);
        self.out.push(' ');
        if let Some(name) = name {
            self.out.push_str(name);
            self.out.push_str(if show > 0 { " " } else { "" });
        }
    }

    fn composite(&mut self, bare: &Bare, show: i32, level: usize, at: &mut Offsets) {
        self.qualify(bare.words, false, true);
        let Node::Composite { union, name, size } = &*bare.node else { return };
        self.head(keyword(&bare.node), name.as_deref(), show);
        if show < 0 || show == 0 && name.is_some() {
            self.out.push_str(if name.is_none() { "{...}" } else { "" });
            return;
        }
        self.out.push_str("{\n");
        let fields = self.types.members(bare.at);
        if fields.is_empty() {
            let margin = if self.offsets { Offsets::WIDTH } else { 0 };
            let what = if size.is_none() { "<incomplete type>" } else { "<no data fields>" };
            self.out.push_str(&format!("{:1$}{what}\n", "", margin + level + 4));
        }
        for field in &fields {
            if self.full() {
                self.out.push_str("…\n");
                break;
            }
            self.field(*union, field, show, level, at);
        }
        if self.offsets {
            if show > 0 {
                at.finish(&mut self.out, size.unwrap_or(0), level);
            }
            let more = if level == 0 { 2 } else { 0 };
            self.out.push_str(&" ".repeat(Offsets::WIDTH + more));
        }
        self.out.push_str(&" ".repeat(level));
        self.out.push('}');
    }

    fn field(&mut self, union: bool, field: &Field, show: i32, level: usize, at: &mut Offsets) {
        let mut inner = Offsets::default();
        let mut newshow = show - 1;
        if self.offsets {
            let size = self.types.size(field.ty).unwrap_or(0);
            match union {
                true => at.union_member(&mut self.out, size),
                false => at.member(&mut self.out, field, size),
            }
            // A struct written in place, or of a tag; not behind a typedef.
            if matches!(&*self.bare(field.ty).node, Node::Composite { .. }) {
                newshow = show;
                inner = at.inside(field);
            }
        }
        self.out.push_str(&" ".repeat(level + 4));
        self.declare(field.ty, &field.name, newshow, level + 4, &mut inner);
        if let Some(bits) = field.bits {
            self.out.push_str(&format!(" : {bits}"));
        }
        self.out.push_str(";\n");
    }
}

fn keyword(node: &Node) -> &'static str {
    match node {
        Node::Composite { union: true, .. } => "union",
        Node::Composite { .. } => "struct",
        _ => "enum",
    }
}

/// How people write an integer type that GCC names by its words in the order
/// of the grammar.
fn in_c(name: &str) -> Option<&'static str> {
    Some(match name {
        "long int" => "long",
        "long unsigned int" => "unsigned long",
        "long long int" => "long long",
        "long long unsigned int" => "unsigned long long",
        "short int" => "short",
        "short unsigned int" => "unsigned short",
        _ => return None,
    })
}
