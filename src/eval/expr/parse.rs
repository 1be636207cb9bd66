//! Text to an expression: recursive descent, operators by their strength.

use crate::eval::expr::{
    ast::{At, Binary, Expr, History, Kind, MOST_NESTED, Name, Scope, Step, Unary},
    error::ExprError,
    lex::{Token, Word, words},
};

/// Longer texts are no expressions people type.
const MOST_TEXT: usize = 4096;

pub(super) type Result<T> = std::result::Result<T, ExprError>;

/// An expression being read.
pub(super) struct Parser<'a> {
    words: Vec<Word>,
    next: usize,
    depth: usize,
    /// Whether a name is a type's here: C can't be read without knowing that.
    pub is_type: &'a dyn Fn(&str) -> bool,
}

/// Reads a whole text as an expression.
pub(super) fn expression(text: &str, is_type: &dyn Fn(&str) -> bool) -> Result<Expr> {
    let mut parser = Parser::new(text, is_type)?;
    let expr = parser.comma()?;
    parser.end()?;
    Ok(expr)
}

/// The same, where a type by itself may stand as well.
pub(super) fn expression_or_type(text: &str, is_type: &dyn Fn(&str) -> bool) -> Result<Expr> {
    let mut parser = Parser::new(text, is_type)?;
    if parser.at_type() {
        let ty = parser.type_name()?;
        let at = ty.at.clone();
        parser.end()?;
        return Expr::new(Kind::Type(Box::new(ty)), at);
    }
    let expr = parser.comma()?;
    parser.end()?;
    Ok(expr)
}

impl Expr {
    pub fn new(kind: Kind, at: At) -> Result<Expr> {
        let below = match &kind {
            Kind::Integer(_) | Kind::Float(..) | Kind::Char(_) | Kind::Text(_) => 0,
            Kind::Name(_) | Kind::Dollar(_) | Kind::History(_) => 0,
            Kind::Unary(_, of) | Kind::Step { target: of, .. } | Kind::SizeOf(of) => of.depth,
            Kind::Member { of, .. } => of.depth,
            Kind::Binary(_, a, b) | Kind::Assign(_, a, b) | Kind::Index(a, b) => {
                a.depth.max(b.depth)
            }
            Kind::Conditional(a, b, c) => a.depth.max(b.depth).max(c.depth),
            Kind::Cast(ty, of) | Kind::TypedAt(ty, of) | Kind::ContainerOf(of, ty, _) => {
                ty.depth.max(of.depth)
            }
            Kind::SizeOfType(ty) | Kind::AlignOfType(ty) => ty.depth,
            Kind::OffsetOf(ty, _) | Kind::Type(ty) => ty.depth,
            Kind::PerCpu { of, cpu, .. } => {
                cpu.as_ref().map_or(of.depth, |cpu| of.depth.max(cpu.depth))
            }
        };
        if below >= MOST_NESTED {
            return Err(ExprError::new(at, "this expression is nested too deeply"));
        }
        Ok(Expr { kind, at, depth: below + 1 })
    }
}

impl<'a> Parser<'a> {
    fn new(text: &str, is_type: &'a dyn Fn(&str) -> bool) -> Result<Parser<'a>> {
        if text.len() > MOST_TEXT {
            return Err(ExprError::new(0..0, "this text is too long for an expression"));
        }
        Ok(Parser { words: words(text)?, next: 0, depth: 0, is_type })
    }

    /// The word that is read next; the last stays where it is.
    pub fn word(&self) -> &Word {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> &Word {
        &self.words[(self.next + by).min(self.words.len() - 1)]
    }

    pub fn token(&self) -> &Token {
        &self.word().token
    }

    pub fn is_mark(&self, by: usize, mark: &str) -> bool {
        matches!(self.ahead(by).token, Token::Mark(own) if own == mark)
    }

    pub fn skip(&mut self) {
        self.next = (self.next + 1).min(self.words.len() - 1);
    }

    pub fn eat(&mut self, mark: &str) -> bool {
        let found = self.is_mark(0, mark);
        if found {
            self.skip();
        }
        found
    }

    pub fn expect(&mut self, mark: &str) -> Result<()> {
        match self.eat(mark) {
            true => Ok(()),
            false => Err(self.wanted(&format!("'{mark}'"))),
        }
    }

    /// Where the last word that was read ends.
    pub fn end_of_last(&self) -> usize {
        self.next.checked_sub(1).map_or(0, |last| self.words[last].at.end)
    }

    /// The name after a `!` at the word so far ahead, all without a space:
    /// `module!name`.
    pub fn adjacent_name(&self, by: usize) -> Option<String> {
        let (mark, name) = (self.ahead(by), self.ahead(by + 1));
        let before = self.next.checked_add(by)?.checked_sub(1)?;
        let touching = self.words.get(before)?.at.end == mark.at.start;
        match &name.token {
            Token::Name(own) | Token::Quoted(own)
                if self.is_mark(by, "!") && touching && mark.at.end == name.at.start =>
            {
                Some(own.clone())
            }
            _ => None,
        }
    }

    /// An error that says what is missing here.
    pub fn wanted(&self, what: &str) -> ExprError {
        let word = self.word();
        let message = match &word.token {
            Token::End => format!("{what} is missing at the end"),
            _ => format!("{what} is wanted here"),
        };
        ExprError::new(word.at.clone(), message)
    }

    pub fn deep(&self) -> ExprError {
        ExprError::new(self.word().at.clone(), "this expression is nested too deeply")
    }

    pub fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MOST_NESTED { Err(self.deep()) } else { Ok(()) }
    }

    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    fn end(&self) -> Result<()> {
        match self.token() {
            Token::End => Ok(()),
            Token::Mark(")") => Err(ExprError::new(self.word().at.clone(), "')' closes nothing")),
            Token::Mark("!") => Err(self.wanted("an operator (a module's name touches its '!')")),
            _ => Err(self.wanted("an operator")),
        }
    }

    /// A plain name.
    pub fn name(&mut self, what: &str) -> Result<String> {
        let Token::Name(name) = self.token().clone() else { return Err(self.wanted(what)) };
        self.skip();
        Ok(name)
    }

    pub fn comma(&mut self) -> Result<Expr> {
        let mut left = self.assignment()?;
        while self.eat(",") {
            let right = self.assignment()?;
            left = binary(Binary::Comma, left, right)?;
        }
        Ok(left)
    }

    fn assignment(&mut self) -> Result<Expr> {
        self.enter()?;
        let target = self.conditional()?;
        let expr = match *self.token() {
            Token::Mark(mark) if mark == "=" || Binary::of_assignment(mark).is_some() => {
                self.skip();
                let value = self.assignment()?;
                let at = target.at.start..value.at.end;
                let op = Binary::of_assignment(mark);
                Expr::new(Kind::Assign(op, Box::new(target), Box::new(value)), at)?
            }
            _ => target,
        };
        self.leave();
        Ok(expr)
    }

    fn conditional(&mut self) -> Result<Expr> {
        let test = self.operators(2)?;
        if !self.eat("?") {
            return Ok(test);
        }
        let yes = self.comma()?;
        self.expect(":")?;
        self.enter()?;
        let no = self.conditional()?;
        self.leave();
        let at = test.at.start..no.at.end;
        Expr::new(Kind::Conditional(Box::new(test), Box::new(yes), Box::new(no)), at)
    }

    /// Binary operators at least this strong; all of them go from left to right.
    fn operators(&mut self, least: u8) -> Result<Expr> {
        let mut left = self.unary()?;
        loop {
            let Token::Mark(mark) = *self.token() else { return Ok(left) };
            let Some((op, strength)) = Binary::of_mark(mark) else { return Ok(left) };
            if strength < least {
                return Ok(left);
            }
            self.skip();
            let right = self.operators(strength + 1)?;
            left = binary(op, left, right)?;
        }
    }

    fn unary(&mut self) -> Result<Expr> {
        self.enter()?;
        let expr = self.unary_here()?;
        self.leave();
        Ok(expr)
    }

    fn unary_here(&mut self) -> Result<Expr> {
        let start = self.word().at.start;
        if let Token::Mark(mark) = *self.token() {
            let ops = [
                Unary::Plus,
                Unary::Minus,
                Unary::Not,
                Unary::BitNot,
                Unary::Deref,
                Unary::Address,
            ];
            if let Some(op) = ops.into_iter().find(|op| op.mark() == mark) {
                self.skip();
                let of = self.unary()?;
                let at = start..of.at.end;
                return Expr::new(Kind::Unary(op, Box::new(of)), at);
            }
            match mark {
                "++" | "--" => {
                    self.skip();
                    let target = Box::new(self.unary()?);
                    let at = start..target.at.end;
                    return Expr::new(Kind::Step { target, up: mark == "++", before: true }, at);
                }
                "{" => {
                    self.skip();
                    let ty = self.type_name()?;
                    self.expect("}")?;
                    let address = self.unary()?;
                    let at = start..address.at.end;
                    return Expr::new(Kind::TypedAt(Box::new(ty), Box::new(address)), at);
                }
                "(" => {
                    if let Some(cast) = self.cast(start)? {
                        return Ok(cast);
                    }
                }
                _ => {}
            }
        }
        match self.token() {
            Token::Name(name) if name == "sizeof" => self.size_of(start),
            _ => {
                let primary = self.primary()?;
                self.postfix(primary)
            }
        }
    }

    /// `(T) x`, when a type stands in the parentheses.
    fn cast(&mut self, start: usize) -> Result<Option<Expr>> {
        let back = self.next;
        self.skip();
        if !self.at_type() {
            self.next = back;
            return Ok(None);
        }
        let ty = self.type_name()?;
        self.expect(")")?;
        let of = self.unary()?;
        let at = start..of.at.end;
        Expr::new(Kind::Cast(Box::new(ty), Box::new(of)), at).map(Some)
    }

    fn size_of(&mut self, start: usize) -> Result<Expr> {
        self.skip();
        if self.is_mark(0, "(") {
            let back = self.next;
            self.skip();
            if self.at_type() {
                let ty = Box::new(self.type_name()?);
                self.expect(")")?;
                return Expr::new(Kind::SizeOfType(ty), start..self.end_of_last());
            }
            self.next = back;
        }
        let of = self.unary()?;
        let at = start..of.at.end;
        Expr::new(Kind::SizeOf(Box::new(of)), at)
    }

    fn postfix(&mut self, mut expr: Expr) -> Result<Expr> {
        let start = expr.at.start;
        loop {
            let kind = match *self.token() {
                Token::Mark(mark @ ("." | "->")) => {
                    self.skip();
                    let name_at = self.word().at.clone();
                    let name = self.name("a member's name")?;
                    Kind::Member { of: Box::new(expr), arrow: mark == "->", name, name_at }
                }
                Token::Mark("[") => {
                    self.skip();
                    let index = self.comma()?;
                    self.expect("]")?;
                    Kind::Index(Box::new(expr), Box::new(index))
                }
                Token::Mark(mark @ ("++" | "--")) => {
                    self.skip();
                    Kind::Step { target: Box::new(expr), up: mark == "++", before: false }
                }
                Token::Mark("(") => {
                    let message = "functions of the guest are not called: it is stopped, and \
                                   running a part of it could hang it";
                    return Err(ExprError::new(start..self.word().at.end, message));
                }
                _ => return Ok(expr),
            };
            expr = Expr::new(kind, start..self.end_of_last())?;
        }
    }

    fn primary(&mut self) -> Result<Expr> {
        let word = self.word().clone();
        let kind = match word.token {
            Token::Integer(integer) => Kind::Integer(integer),
            Token::Float(value, single) => Kind::Float(value, single),
            Token::Char(byte) => Kind::Char(byte),
            Token::Text(mut bytes) => {
                // C puts strings in a row together.
                while let Token::Text(more) = &self.ahead(1).token {
                    bytes.extend(more);
                    self.skip();
                }
                Kind::Text(bytes)
            }
            Token::Dollar(name) => dollar(&name),
            Token::Quoted(_) | Token::Name(_) => return self.named(),
            Token::Mark("(") => {
                self.skip();
                let mut inner = self.comma()?;
                self.expect(")")?;
                inner.at = word.at.start..self.end_of_last();
                return Ok(inner);
            }
            _ => return Err(self.wanted("a value")),
        };
        self.skip();
        Expr::new(kind, word.at.start..self.end_of_last())
    }

    /// A name with what may stand before it, or one of the kernel's macros.
    fn named(&mut self) -> Result<Expr> {
        let start = self.word().at.start;
        let word = self.word().clone();
        if self.at_type() {
            let message = "a value is wanted here, and this is a type; ptype shows types";
            return Err(ExprError::new(word.at, message));
        }
        self.skip();
        if let Token::Name(name) = &word.token
            && self.is_mark(0, "(")
            && let Some(kind) = self.macro_of(name)?
        {
            return Expr::new(kind, start..self.end_of_last());
        }
        let mut first = match word.token {
            Token::Name(name) => (name, false),
            Token::Quoted(name) => (name, true),
            _ => return Err(self.wanted("a name")),
        };
        let mut module = None;
        if self.adjacent_name(0).is_some() {
            self.skip();
            module = Some(std::mem::replace(&mut first, self.plain_or_quoted("a name")?).0);
        }
        let scope = match self.eat("::") {
            false => None,
            true => {
                let (outer, quoted) =
                    std::mem::replace(&mut first, self.plain_or_quoted("a name")?);
                Some(match quoted && (outer.contains(['.', '/'])) {
                    true => Scope::File(outer),
                    false => Scope::Function(outer),
                })
            }
        };
        let name = Name { module, scope, name: first.0 };
        Expr::new(Kind::Name(name), start..self.end_of_last())
    }

    fn plain_or_quoted(&mut self, what: &str) -> Result<(String, bool)> {
        let found = match self.token() {
            Token::Name(name) => (name.clone(), false),
            Token::Quoted(name) => (name.clone(), true),
            _ => return Err(self.wanted(what)),
        };
        self.skip();
        Ok(found)
    }

    /// Macros of the kernel whose arguments are understood here, because
    /// debug information seldom has macros.
    fn macro_of(&mut self, name: &str) -> Result<Option<Kind>> {
        let kind = match name {
            "container_of" | "list_entry" => {
                self.expect("(")?;
                let pointer = Box::new(self.assignment()?);
                self.expect(",")?;
                let ty = Box::new(self.type_name()?);
                self.expect(",")?;
                Kind::ContainerOf(pointer, ty, self.path()?)
            }
            "offsetof" => {
                self.expect("(")?;
                let ty = Box::new(self.type_name()?);
                self.expect(",")?;
                Kind::OffsetOf(ty, self.path()?)
            }
            "per_cpu" | "per_cpu_ptr" => {
                self.expect("(")?;
                let of = Box::new(self.assignment()?);
                self.expect(",")?;
                let cpu = Some(Box::new(self.assignment()?));
                Kind::PerCpu { of, cpu, pointer: name == "per_cpu_ptr" }
            }
            "this_cpu" | "this_cpu_ptr" | "this_cpu_read" => {
                self.expect("(")?;
                let of = Box::new(self.assignment()?);
                Kind::PerCpu { of, cpu: None, pointer: name == "this_cpu_ptr" }
            }
            "_Alignof" | "alignof" => {
                self.expect("(")?;
                Kind::AlignOfType(Box::new(self.type_name()?))
            }
            _ => return Ok(None),
        };
        self.expect(")")?;
        Ok(Some(kind))
    }

    /// `member.member[2]`.
    fn path(&mut self) -> Result<Vec<Step>> {
        let mut path = Vec::new();
        loop {
            let at = self.word().at.clone();
            path.push(Step::Member(self.name("a member's name")?, at));
            while self.eat("[") {
                let at = self.word().at.clone();
                let Token::Integer(index) = *self.token() else {
                    return Err(self.wanted("a number"));
                };
                self.skip();
                self.expect("]")?;
                path.push(Step::Index(index.value, at));
            }
            if path.len() > MOST_NESTED {
                return Err(self.deep());
            }
            if !self.eat(".") {
                return Ok(path);
            }
        }
    }
}

fn binary(op: Binary, left: Expr, right: Expr) -> Result<Expr> {
    let at = left.at.start..right.at.end;
    Expr::new(Kind::Binary(op, Box::new(left), Box::new(right)), at)
}

/// `$1`, `$`, `$$`, `$$3` are values printed before; else it is a name.
fn dollar(name: &str) -> Kind {
    match (name, name.parse(), name.strip_prefix('$').map(str::parse)) {
        ("", ..) => Kind::History(History::Back(0)),
        ("$", ..) => Kind::History(History::Back(1)),
        (_, Ok(number), _) => Kind::History(History::Number(number)),
        (_, _, Some(Ok(back))) => Kind::History(History::Back(back)),
        _ => Kind::Dollar(name.to_owned()),
    }
}
