//! What the kernel keeps in lists and trees that are threaded through its
//! structs: walked by the members that DWARF describes, with everything that
//! is wrong on the way found and said.
//!
//! Walks are bounded, and end at what is not read yet; both sides of a tree
//! are asked for at once.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, PAGE},
    },
    eval::{
        ctype::{Basic, CType, Shape},
        location::{Absent, Context},
        typed::Typed,
    },
    symbols::placed::Symbols,
};
use std::collections::BTreeSet;

/// An element no longer than this is read together with its node.
const READ_WITH_NODE: u64 = 256;

/// Levels of a tree at most: a red-black tree of 2^64 nodes has 128.
const MAX_LEVELS: usize = 130;

/// A kind of collection, by the tag of its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `struct list_head`: a ring (include/linux/list.h).
    List,
    /// `struct hlist_head`: a list with a short head.
    HList,
    /// `struct rb_root`: a red-black tree (include/linux/rbtree.h).
    Tree,
    /// `struct rb_root_cached`: the same with its leftmost node.
    CachedTree,
    /// `struct xarray`: pointers by index (include/linux/xarray.h).
    XArray,
    /// `struct idr`: an xarray of numbers given out.
    Idr,
}

/// What the elements are: a struct, and the member of it by which it is in the
/// collection (by dots: `d_u.d_alias`).
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// The struct.
    pub ty: CType,
    /// The member; of no meaning in an xarray, which points to the struct.
    pub member: String,
}

/// The elements as far as they are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Items {
    /// In the order of the collection.
    pub items: Vec<Item>,
    /// What is wrong with it: a loop, a poisoned pointer, memory that can't be
    /// read. The items before that are good.
    pub trouble: Option<String>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// One element.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its index, in an xarray.
    pub index: Option<u64>,
    /// The element; the node itself when the element's type is not known.
    pub value: Typed,
}

impl Kind {
    /// The kind a type is the head of.
    pub fn of(ty: &CType, symbols: &Symbols) -> Option<Kind> {
        let Shape::Struct { name: Some(name), union: false, .. } = ty.shape(symbols) else {
            return None;
        };
        Some(match name.as_str() {
            "list_head" => Kind::List,
            "hlist_head" => Kind::HList,
            "rb_root" => Kind::Tree,
            "rb_root_cached" => Kind::CachedTree,
            "xarray" => Kind::XArray,
            "idr" => Kind::Idr,
            _ => return None,
        })
    }
}

/// Heads that everybody who debugs a kernel meets: the struct a head is in (or
/// no struct, for a variable), the head, and what is in it. One that this
/// kernel does not describe so is not used.
const KNOWN: [(&str, &str, &str, &str); 15] = [
    ("", "modules", "struct module", "list"),
    ("", "super_blocks", "struct super_block", "s_list"),
    ("", "net_namespace_list", "struct net", "list"),
    ("", "workqueues", "struct workqueue_struct", "list"),
    ("task_struct", "children", "struct task_struct", "sibling"),
    ("signal_struct", "thread_head", "struct task_struct", "thread_node"),
    ("super_block", "s_inodes", "struct inode", "i_sb_list"),
    ("inode", "i_dentry", "struct dentry", "d_u.d_alias"),
    ("dentry", "d_subdirs", "struct dentry", "d_child"),
    ("mnt_namespace", "list", "struct mount", "mnt_list"),
    ("mount", "mnt_mounts", "struct mount", "mnt_child"),
    ("kset", "list", "struct kobject", "entry"),
    ("wait_queue_head", "head", "struct wait_queue_entry", "entry"),
    ("workqueue_struct", "pwqs", "struct pool_workqueue", "pwqs_node"),
    ("address_space", "i_pages", "struct page", ""),
];

/// What is in a well-known head: `owner` is the tag of the struct it is a
/// member of, empty for a variable.
pub fn known_element(symbols: &Symbols, owner: &str, head: &str) -> Option<Element> {
    let of = |known: &&(&str, &str, &str, &str)| known.0 == owner && known.1 == head;
    let (_, _, ty, member) = KNOWN.iter().find(of)?;
    let ty = CType::Known(symbols.find_type(ty)?);
    let described = member.is_empty() || ty.member(symbols, member).is_some();
    described.then(|| Element { ty, member: (*member).to_owned() })
}

/// The first `limit` elements of the collection whose head is `head`, or what
/// `head` points to. `Err` when it is no head of one, or is not read yet.
pub fn items(
    context: &Context<'_>,
    head: &Typed,
    element: Option<&Element>,
    limit: usize,
) -> Result<Items, Absent> {
    let head = match head.ty.shape(context.symbols) {
        Shape::Pointer { .. } => context.deref(head)?,
        _ => head.clone(),
    };
    let kind = Kind::of(&head.ty, context.symbols).ok_or_else(|| {
        let name = head.ty.name(context.symbols);
        Absent::because(format!(
            "{name} is no list_head, hlist_head, rb_root, rb_root_cached, xarray or idr"
        ))
    })?;
    let offset = match (element, kind) {
        (None, _) | (_, Kind::XArray | Kind::Idr) => 0,
        (Some(element), _) => {
            let field = element.ty.member(context.symbols, &element.member).ok_or_else(|| {
                let name = element.ty.name(context.symbols);
                Absent::because(format!("{name} has no member named {}", element.member))
            })?;
            node_fits(context.symbols, kind, &field.ty, &element.member)?;
            field.offset
        }
    };
    let mut walk =
        Walk { context, element, offset, limit, seen: BTreeSet::new(), out: Items::default() };
    match kind {
        Kind::List => walk.list(&head)?,
        Kind::HList => walk.hlist(&head)?,
        Kind::Tree => walk.tree(&head)?,
        Kind::CachedTree => walk.tree(&context.member(&head, "rb_root")?)?,
        Kind::XArray => walk.xarray(&head)?,
        Kind::Idr => walk.xarray(&context.member(&head, "idr_rt")?)?,
    }
    Ok(walk.out)
}

/// Whether a member is a node of such a collection.
fn node_fits(symbols: &Symbols, kind: Kind, ty: &CType, member: &str) -> Result<(), Absent> {
    let wanted = match kind {
        Kind::List => "list_head",
        Kind::HList => "hlist_node",
        _ => "rb_node",
    };
    match ty.shape(symbols) {
        Shape::Struct { name: Some(name), .. } if name == wanted => Ok(()),
        _ => Err(Absent::because(format!(
            "{member} is a {}, and nodes of it are a struct {wanted}",
            ty.name(symbols)
        ))),
    }
}

struct Walk<'w, 'a> {
    context: &'w Context<'a>,
    element: Option<&'w Element>,
    /// Bytes from an element to its node.
    offset: u64,
    limit: usize,
    seen: BTreeSet<Addr>,
    out: Items,
}

/// A walk that can't go on: it has said why, or it waits for memory.
struct Ended;

impl Walk<'_, '_> {
    fn list(&mut self, head: &Typed) -> Result<(), Absent> {
        let start = self.context.address(head)?;
        let node_type = head.ty.clone();
        let mut from = start;
        let mut at = self.context.scalar(&self.context.member(head, "next")?)?.addr();
        while at != start {
            let Ok(node) = self.node(at, from, &node_type) else { return Ok(()) };
            let next = match self.pointer(&node, "next") {
                Ok(next) => next,
                Err(absent) => return self.stuck(at, &absent),
            };
            // Where `next` leads nowhere, that says more than `prev`.
            if let Ok(prev) = self.pointer(&node, "prev")
                && prev != from
                && no_node(next).is_none()
            {
                self.trouble(format!("the list is torn: prev of {at} is {prev}, not {from}"));
            }
            if !self.push(node) {
                return Ok(());
            }
            (from, at) = (at, next);
        }
        Ok(())
    }

    fn hlist(&mut self, head: &Typed) -> Result<(), Absent> {
        let first = self.context.member(head, "first")?;
        let mut link = self.context.address(&first)?;
        let Shape::Pointer { target, .. } = first.ty.shape(self.context.symbols) else {
            return Err(Absent::because("first is no pointer"));
        };
        let mut at = self.context.scalar(&first)?.addr();
        while at.0 != 0 {
            let Ok(node) = self.node(at, link, &target) else { return Ok(()) };
            if let Ok(back) = self.pointer(&node, "pprev")
                && back != link
            {
                self.trouble(format!("the list is torn: pprev of {at} is {back}, not {link}"));
            }
            let next = self.context.member(&node, "next")?;
            if !self.push(node) {
                return Ok(());
            }
            link = self.context.address(&next)?;
            match self.context.scalar(&next) {
                Ok(next) => at = next.addr(),
                Err(absent) => return self.stuck(at, &absent),
            }
        }
        Ok(())
    }

    fn tree(&mut self, root: &Typed) -> Result<(), Absent> {
        let top = self.context.member(root, "rb_node")?;
        let Shape::Pointer { target, .. } = top.ty.shape(self.context.symbols) else {
            return Err(Absent::because("rb_node is no pointer"));
        };
        let at = self.context.scalar(&top)?.addr();
        // A walk that ended has said why.
        let _ = self.subtree(at, Addr(0), &target, 0);
        Ok(())
    }

    /// In order of the keys: what is on the left, the node, what is on the
    /// right. A side that is not read yet does not keep from asking for the
    /// other one.
    fn subtree(&mut self, at: Addr, parent: Addr, ty: &CType, level: usize) -> Result<(), Ended> {
        if at.0 == 0 {
            return Ok(());
        }
        if level > MAX_LEVELS {
            self.trouble(format!("the tree is deeper than any: at {at}"));
            return Err(Ended);
        }
        let node = self.node(at, parent, ty)?;
        // The lowest bits are the colour (`rb_parent`).
        if let Ok(colour) = self.pointer(&node, "__rb_parent_color")
            && colour.0 & !3 != parent.0
        {
            let is = Addr(colour.0 & !3);
            self.trouble(format!("the tree is torn: the parent of {at} is {is}, not {parent}"));
        }
        let sides = ["rb_left", "rb_right"].map(|side| self.pointer(&node, side));
        let [Ok(left), Ok(right)] = sides else { return Err(Ended) };
        let on_the_left = self.subtree(left, at, ty, level + 1);
        if on_the_left.is_ok() && !self.push(node) {
            return Err(Ended);
        }
        let on_the_right = self.subtree(right, at, ty, level + 1);
        on_the_left.and(on_the_right)
    }

    /// An entry whose lowest bits are 2 is the array's own: a node when it is
    /// over 4096, else a mark (include/linux/xarray.h, `xa_is_node`); one whose
    /// lowest bit is 1 is a number (`xa_is_value`).
    fn xarray(&mut self, array: &Typed) -> Result<(), Absent> {
        let head = self.context.scalar(&self.context.member(array, "xa_head")?)?.addr();
        let node = self.context.symbols.find_type("struct xa_node");
        let node = CType::Known(node.ok_or(Absent::because("no type struct xa_node"))?);
        let _ = self.entry(head, 0, &node, 0);
        Ok(())
    }

    fn entry(&mut self, entry: Addr, index: u64, node: &CType, level: usize) -> Result<(), Ended> {
        match entry.0 {
            0 => return Ok(()),
            mark if mark & 3 == 2 && mark <= 4096 => return Ok(()),
            inside if inside & 3 == 2 => {}
            _ => {
                let value = self.pointed(entry);
                return if self.add(Some(index), value) { Ok(()) } else { Err(Ended) };
            }
        }
        let at = Addr(entry.0 - 2);
        if level > MAX_LEVELS || !self.seen.insert(at) {
            self.trouble(format!("the array comes back to its node {at}"));
            return Err(Ended);
        }
        let node_at = Typed::at(node.clone(), at);
        if let Err(absent) = self.context.raw(&node_at) {
            return self.end(at, &absent);
        }
        let shift = self.pointer(&node_at, "shift").map_or(64, |shift| shift.0);
        let Ok(slots) = self.context.member(&node_at, "slots") else { return Err(Ended) };
        let Shape::Array { count: Some(count), .. } = slots.ty.shape(self.context.symbols) else {
            return Err(Ended);
        };
        let mut whole = Ok(());
        for slot in 0..count.min(1024) {
            let Ok(entry) = self.context.index(&slots, slot as i64) else { return Err(Ended) };
            let Ok(entry) = self.context.scalar(&entry) else { return Err(Ended) };
            let below = slot.checked_shl(shift as u32).filter(|_| shift < 64).unwrap_or(0);
            let inner = self.entry(entry.addr(), index.wrapping_add(below), node, level + 1);
            whole = whole.and(inner);
            if self.out.more || self.out.trouble.is_some() {
                return Err(Ended);
            }
        }
        whole
    }

    /// An entry of an xarray: a number, or a pointer to an element.
    fn pointed(&self, entry: Addr) -> Typed {
        let number = CType::basic(Basic::UnsignedLong);
        match self.element {
            _ if entry.0 & 1 == 1 => Typed::of_bytes(number, &(entry.0 >> 1).to_le_bytes()),
            Some(element) => Typed::at(element.ty.clone(), entry),
            None => {
                let void = CType::basic(Basic::Void).pointer();
                Typed::of_bytes(void, &entry.0.to_le_bytes())
            }
        }
    }

    /// The node at an address, read together with a small element.
    fn node(&mut self, at: Addr, from: Addr, ty: &CType) -> Result<Typed, Ended> {
        if let Some(why) = no_node(at) {
            self.trouble(format!("{from} leads to {at}: {why}"));
            return Err(Ended);
        }
        if !self.seen.insert(at) {
            self.trouble(format!("{from} leads back to {at}, which was there before"));
            return Err(Ended);
        }
        let node = Typed::at(ty.clone(), at);
        let size = self.element.and_then(|element| element.ty.size(self.context.symbols));
        let whole = size.filter(|size| *size <= READ_WITH_NODE).and_then(|size| {
            let start = at.back(self.offset);
            // Elements may be cut by a page that is not there.
            (start.0 / PAGE == start.offset(size).0 / PAGE).then_some((start, size))
        });
        let read = match whole {
            Some((start, size)) => {
                self.context.memory.bytes(start, size as usize).map(drop).map_err(Absent::from)
            }
            None => self.context.raw(&node).map(drop),
        };
        match read {
            Ok(()) => Ok(node),
            Err(absent) => self.end(at, &absent).map(|()| node),
        }
    }

    fn pointer(&self, node: &Typed, member: &str) -> Result<Addr, Absent> {
        Ok(self.context.scalar(&self.context.member(node, member)?)?.addr())
    }

    /// Adds the element of a node; whether to go on.
    fn push(&mut self, node: Typed) -> bool {
        let value = match (self.element, node.address()) {
            (Some(element), Some(at)) => Typed::at(element.ty.clone(), at.back(self.offset)),
            _ => node,
        };
        self.add(None, value)
    }

    fn add(&mut self, index: Option<u64>, value: Typed) -> bool {
        if self.out.trouble.is_some() {
            return false;
        }
        if self.out.items.len() >= self.limit {
            self.out.more = true;
            return false;
        }
        self.out.items.push(Item { index, value });
        true
    }

    fn trouble(&mut self, what: String) {
        self.out.trouble.get_or_insert(what);
    }

    fn stuck(&mut self, at: Addr, absent: &Absent) -> Result<(), Absent> {
        let _ = self.end(at, absent);
        Ok(())
    }

    /// Says why a walk ends, unless it waits for memory.
    fn end(&mut self, at: Addr, absent: &Absent) -> Result<(), Ended> {
        if !matches!(absent, Absent::Gap(Gap::Missing(_))) {
            self.trouble(format!("the node at {at}: {absent}"));
        }
        Err(Ended)
    }
}

/// Why an address can't be a node.
fn no_node(at: Addr) -> Option<&'static str> {
    // `LIST_POISON1` and `LIST_POISON2` over `POISON_POINTER_DELTA`
    // (include/linux/poison.h; before 4.2 they were 0x100100 and 0x200200).
    match (at.0 >> 48, at.0 & 0xffff_ffff_ffff) {
        (0, 0) => Some("it was never initialized"),
        (0xdead | 0, 0x100 | 0x10_0100) => Some("LIST_POISON1, so the node before was deleted"),
        (0xdead | 0, 0x122 | 0x200 | 0x20_0200) => {
            Some("LIST_POISON2, so the node before was deleted")
        }
        (0x6b6b, _) => Some("freed memory (POISON_FREE)"),
        (0..=0x7fff, _) => Some("no address of the kernel"),
        _ => None,
    }
}
