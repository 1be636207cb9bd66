//! Values as a tree that is read as it is opened: members of structs, what
//! pointers point to, elements of arrays by pages. Nothing below a closed node
//! is read, and all that is on screen is asked for in one run.

use crate::{
    base::addr::Addr,
    eval::{
        collections::{self, Element, Item},
        ctype::{CType, Field, Shape},
        location::{Absent, Context, Place},
        lost::Notes,
        typed::Typed,
        value::Value,
    },
    symbols::answer::VariableDef,
};
use std::collections::BTreeSet;

/// Elements of an array in one page.
pub const PAGE: u64 = 100;

/// More variables than any function has on screen.
const MAX_ROOTS: usize = 512;

/// Rows of a tree at most.
const MAX_ROWS: usize = 10_000;

/// Nodes inside nodes at most.
const MAX_DEPTH: usize = 100;

/// A value at the top of a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    /// What names it among the roots, at every stop.
    pub id: String,
    /// Its name, or the expression it is the value of.
    pub name: String,
    /// A C expression for it, where there is one.
    pub expression: Option<String>,
    /// Its type as C writes it.
    pub type_name: String,
    /// Its value.
    pub value: Result<Typed, Absent>,
    /// What is in it, when it is the head of a collection and that is known.
    pub element: Option<Element>,
    /// What to say when there is none and the compiler is the reason.
    pub lost: Option<String>,
    /// Whether it is an argument.
    pub argument: bool,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What names the node, at this stop and at the next.
    pub id: String,
    /// How deep it is; 0 for a root.
    pub depth: usize,
    /// The member's name, or the element's index.
    pub name: String,
    /// A C expression for it, where there is one.
    pub expression: Option<String>,
    /// Its type as C writes it.
    pub type_name: String,
    /// Its value in one line; `None` for a page of an array.
    pub value: Option<Value>,
    /// What to say of a value that is optimized out.
    pub lost: Option<String>,
    /// Whether there is something below it.
    pub can_open: bool,
    /// Whether that is shown.
    pub open: bool,
    /// Where it is in memory.
    pub address: Option<Addr>,
    /// Whether it is an argument.
    pub argument: bool,
}

/// The arguments and locals of the function at place `depth` among those
/// inlined into each other at the frame. A local that one of an inner block
/// hides has no expression.
pub fn variables(context: &Context<'_>, depth: usize) -> Vec<Root> {
    let (symbols, notes) = (context.symbols, Notes::new(context, depth));
    let Some(frame) = context.frames.first() else { return Vec::new() };
    let arguments = symbols.arguments_at(frame.lookup, depth).into_iter().map(|v| (v, true));
    let locals = symbols.locals_at(frame.lookup, depth).into_iter().map(|v| (v, false));
    let all: Vec<(VariableDef, bool)> = arguments.chain(locals).take(MAX_ROOTS).collect();
    let root = |(index, (definition, argument)): (usize, &(VariableDef, bool))| {
        let name = definition.name.clone();
        let same = |other: &&(VariableDef, bool)| other.0.name == name;
        let hidden_by = all[..index].iter().filter(same).count();
        // A local of any block hides an argument of its name.
        let hidden = match argument {
            true => all[index + 1..].iter().any(|other| same(&other) && !other.1),
            false => all[..index].iter().any(|other| same(&other) && !other.1),
        };
        let value = context.of(definition);
        let gone = match &value {
            Ok(Typed { place: Place::Memory(_), .. }) => false,
            Ok(value) => context.raw(value) == Err(Absent::OptimizedOut),
            Err(absent) => *absent == Absent::OptimizedOut,
        };
        let lost = gone.then(|| notes.on(definition)).flatten();
        Root {
            id: if hidden_by > 0 { format!("{name}#{hidden_by}") } else { name.clone() },
            expression: (!hidden).then(|| name.clone()),
            type_name: symbols.type_name(definition.ty),
            name,
            value,
            element: None,
            lost,
            argument: *argument,
        }
    };
    all.iter().enumerate().map(root).collect()
}

/// The rows of a tree of which the nodes of `open` are open; values in about
/// `width` columns.
pub fn rows(
    context: &Context<'_>,
    roots: &[Root],
    open: &BTreeSet<String>,
    width: usize,
) -> Vec<Row> {
    let mut tree = Tree { context, open, width, rows: Vec::new() };
    for root in roots {
        let node = Node {
            id: root.id.clone(),
            depth: 0,
            name: root.name.clone(),
            expression: root.expression.clone(),
            element: root.element.clone(),
        };
        let from = tree.rows.len();
        match &root.value {
            Ok(value) => tree.value(node, value, Some(&root.type_name)),
            Err(absent) => {
                let row = node.row(root.type_name.clone(), Some(absent.clone().into()));
                tree.rows.push(row);
            }
        }
        if let Some(row) = tree.rows.get_mut(from) {
            row.argument = root.argument;
            row.lost.clone_from(&root.lost);
        }
    }
    tree.rows
}

/// What a row is called.
struct Node {
    id: String,
    depth: usize,
    name: String,
    expression: Option<String>,
    /// What is in it, when it is the head of a collection and that is known.
    element: Option<Element>,
}

impl Node {
    fn row(self, type_name: String, value: Option<Value>) -> Row {
        Row {
            id: self.id,
            depth: self.depth,
            name: self.name,
            expression: self.expression,
            type_name,
            value,
            lost: None,
            can_open: false,
            open: false,
            address: None,
            argument: false,
        }
    }

    /// One below it, called by what comes after its expression.
    fn below(&self, step: &str, name: String) -> Node {
        Node {
            id: format!("{}{step}", self.id),
            depth: self.depth + 1,
            name,
            expression: self.expression.as_deref().map(|e| format!("{}{step}", operand(e))),
            element: None,
        }
    }
}

struct Tree<'t, 'a> {
    context: &'t Context<'a>,
    open: &'t BTreeSet<String>,
    width: usize,
    rows: Vec<Row>,
}

impl Tree<'_, '_> {
    /// A value's row, and the rows below it when it is open.
    fn value(&mut self, node: Node, value: &Typed, type_name: Option<&str>) {
        if self.rows.len() >= MAX_ROWS {
            return;
        }
        let context = self.context;
        let shape = value.ty.shape(context.symbols);
        let text = context.brief(value, self.width);
        let can_open = node.depth < MAX_DEPTH && self.can_open(value, &shape);
        let open = can_open && self.open.contains(&node.id);
        let type_name = type_name.map_or_else(|| value.ty.name(context.symbols), ToOwned::to_owned);
        let below = Node {
            id: node.id.clone(),
            depth: node.depth,
            name: String::new(),
            expression: node.expression.clone(),
            element: node.element.clone(),
        };
        let row = node.row(type_name, Some(text.into()));
        self.rows.push(Row { can_open, open, address: value.address(), ..row });
        if open {
            self.children(&below, value, &shape);
        }
    }

    fn can_open(&self, value: &Typed, shape: &Shape) -> bool {
        let symbols = self.context.symbols;
        match shape {
            Shape::Struct { size, .. } => size.is_some_and(|size| size > 0),
            Shape::Array { element, count } => {
                count.is_some_and(|count| count > 0) && element.size(symbols).is_some()
            }
            Shape::Pointer { target, .. } => {
                let inside = match target.shape(symbols) {
                    Shape::Void | Shape::Function | Shape::Unknown => false,
                    Shape::Struct { size, .. } => size.is_some_and(|size| size > 0),
                    // The row has the text already.
                    _ => !target.is_char(symbols),
                };
                inside
                    && match self.context.scalar(value) {
                        // kgdb can't read user space (arch/x86/mm/maccess.c).
                        Ok(pointer) => pointer.addr().0 >> 63 == 1,
                        Err(absent) => absent == Absent::Synthetic,
                    }
            }
            _ => false,
        }
    }

    fn children(&mut self, node: &Node, value: &Typed, shape: &Shape) {
        if let Some(element) = &node.element {
            return self.items(node, value, element);
        }
        match shape {
            Shape::Struct { .. } => self.members(node, value, "."),
            Shape::Array { element, count } => {
                self.elements(node, value, element, 0, count.unwrap_or(0));
            }
            Shape::Pointer { .. } => match self.context.deref(value) {
                Ok(target) if is_struct(&target, self.context) => {
                    self.members(node, &target, "->");
                }
                Ok(target) => {
                    let below = Node {
                        id: format!("*{}", node.id),
                        depth: node.depth + 1,
                        name: match &node.expression {
                            Some(expression) => format!("*{}", operand(expression)),
                            None => "*".to_owned(),
                        },
                        expression: node.expression.as_deref().map(|e| format!("*{}", operand(e))),
                        element: None,
                    };
                    self.value(below, &target, None);
                }
                Err(absent) => {
                    let below = node.below("->", "*".to_owned());
                    self.rows.push(below.row(String::new(), Some(absent.into())));
                }
            },
            _ => {}
        }
    }

    /// Members, those of anonymous structs and unions in their place.
    fn members(&mut self, node: &Node, value: &Typed, step: &str) {
        let symbols = self.context.symbols;
        let owner = match value.ty.shape(symbols) {
            Shape::Struct { name, .. } => name.unwrap_or_default(),
            _ => String::new(),
        };
        for field in value.ty.members(symbols) {
            let member = value.field(&field);
            match field.name.is_empty() {
                true => self.members(node, &member, step),
                false => {
                    let below = node.below(&format!("{step}{}", field.name), label(&field));
                    let element = collections::known_element(symbols, &owner, &field.name);
                    self.value(Node { element, ..below }, &member, None);
                }
            }
        }
    }

    /// Elements `first..first + count` of an array; of a long one, pages.
    fn elements(&mut self, node: &Node, value: &Typed, element: &CType, first: u64, count: u64) {
        if count > PAGE {
            let mut page = PAGE;
            while count.div_ceil(page) > PAGE {
                page = page.saturating_mul(PAGE);
            }
            let end = first.saturating_add(count);
            let mut at = first;
            while at < end && self.rows.len() < MAX_ROWS {
                let len = page.min(end - at);
                self.page(node, value, element, at, len);
                at += len;
            }
            return;
        }
        let size = element.size(self.context.symbols).unwrap_or(0);
        for index in first..first.saturating_add(count) {
            let place = value.place.further(index.saturating_mul(size));
            let item = Typed { ty: element.clone(), place, bits: None };
            let step = format!("[{index}]");
            self.value(node.below(&step, step.clone()), &item, None);
        }
    }

    /// Elements of a collection, more of them for each page that is open.
    fn items(&mut self, node: &Node, head: &Typed, element: &Element) {
        let more = |shown: usize| format!("{}[{shown}…]", node.id);
        let mut limit = PAGE as usize;
        while limit < MAX_ROWS && self.open.contains(&more(limit)) {
            limit += PAGE as usize;
        }
        let below = |id: String, name: String| Node {
            id,
            depth: node.depth + 1,
            name,
            expression: None,
            element: None,
        };
        let found = match collections::items(self.context, head, Some(element), limit) {
            Ok(found) => found,
            Err(absent) => {
                let row = below(format!("{}!", node.id), String::new());
                return self.rows.push(row.row(String::new(), Some(absent.into())));
            }
        };
        for (number, item) in found.items.iter().enumerate() {
            let name = format!("[{}]", item.index.unwrap_or(number as u64));
            // The same element at the next stop, wherever it stands then.
            let id = match item.value.address() {
                Some(addr) => format!("{}@{addr}", node.id),
                None => format!("{}{name}", node.id),
            };
            let expression = item_expression(item, self.context);
            self.value(Node { expression, ..below(id, name) }, &item.value, None);
        }
        if found.more {
            let row = below(more(limit), format!("[{limit} …]")).row(String::new(), None);
            self.rows.push(Row { can_open: true, ..row });
        }
        if let Some(trouble) = found.trouble {
            let row = below(format!("{}!", node.id), String::new());
            self.rows.push(row.row(String::new(), Some(Value::Unavailable(trouble))));
        }
    }

    fn page(&mut self, node: &Node, value: &Typed, element: &CType, first: u64, count: u64) {
        let last = first + count - 1;
        let id = format!("{}[{first}…{last}]", node.id);
        let open = self.open.contains(&id);
        let name = format!("[{first} … {last}]");
        let row = Node { id, depth: node.depth + 1, name, expression: None, element: None };
        let address = match &value.place {
            Place::Memory(addr) => {
                let size = element.size(self.context.symbols).unwrap_or(0);
                Some(addr.offset(first.saturating_mul(size)))
            }
            _ => None,
        };
        let row = row.row(String::new(), None);
        self.rows.push(Row { can_open: true, open, address, ..row });
        if open {
            // Its elements are the array's, so their ids do not have the page.
            let array = Node {
                id: node.id.clone(),
                depth: node.depth + 1,
                name: String::new(),
                expression: node.expression.clone(),
                element: None,
            };
            self.elements(&array, value, element, first, count);
        }
    }
}

/// An element by its address.
fn item_expression(item: &Item, context: &Context<'_>) -> Option<String> {
    let addr = item.value.address()?;
    let pointer = item.value.ty.clone().pointer().name(context.symbols);
    Some(format!("*({pointer}) {addr}"))
}

fn is_struct(value: &Typed, context: &Context<'_>) -> bool {
    matches!(value.ty.shape(context.symbols), Shape::Struct { .. })
}

/// A member's name, with its bits if it is a bit field.
fn label(field: &Field) -> String {
    match field.bits {
        Some((_, bits)) => format!("{} : {bits}", field.name),
        None => field.name.clone(),
    }
}

/// An expression as the operand of a member access, an index or a star.
fn operand(expression: &str) -> String {
    let postfix = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '[' | ']' | '$');
    match expression.replace("->", ".").chars().all(postfix) {
        true => expression.to_owned(),
        false => format!("({expression})"),
    }
}

#[cfg(test)]
mod tests {
    use super::operand;

    #[test]
    fn what_binds_weaker_is_in_parentheses() {
        assert_eq!(operand("req->list.next"), "req->list.next");
        assert_eq!(operand("a[3]"), "a[3]");
        assert_eq!(operand("*p"), "(*p)");
        assert_eq!(operand("(struct x *) y"), "((struct x *) y)");
        assert_eq!(operand("a - b"), "(a - b)");
        assert_eq!(operand("$rip"), "$rip");
    }
}
