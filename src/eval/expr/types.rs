//! Written types to types.

use crate::eval::{
    ctype::{Basic, CType, Field},
    expr::{
        ast::{At, Step, TypeExpr, TypeKind},
        error::ExprError,
        evaluate::{Evaluator, Result},
        names::{did_you_mean, similar},
    },
};

impl Evaluator<'_> {
    /// The type that is written.
    pub fn ctype(&self, ty: &TypeExpr) -> Result<CType> {
        let symbols = self.context.symbols;
        Ok(match &ty.kind {
            TypeKind::Basic(name) => CType::Basic(basic(name, &ty.at)?),
            TypeKind::Tagged(keyword, tag) => {
                let full = format!("{keyword} {tag}");
                let found = symbols.find_type(&full);
                CType::Known(found.ok_or_else(|| {
                    let like =
                        symbols.complete_type(&tag.chars().take(2).collect::<String>(), 5000);
                    let own = |tag: String| format!("{keyword} {tag}");
                    let like: Vec<_> =
                        similar(tag, like.into_iter()).into_iter().map(own).collect();
                    let like: Vec<_> =
                        like.into_iter().filter(|name| symbols.find_type(name).is_some()).collect();
                    let hint = did_you_mean(&like);
                    ExprError::new(ty.at.clone(), format!("no type {full}{hint}"))
                })?)
            }
            TypeKind::Named { module, name } => {
                let own = module.as_ref().and_then(|module| symbols.only(module));
                let found = own.as_ref().unwrap_or(symbols).find_typed(name);
                let found = found
                    .filter(|found| found.is_type)
                    .ok_or_else(|| ExprError::new(ty.at.clone(), format!("no type '{name}'")))?;
                CType::Known(found.ty)
            }
            TypeKind::Of(expr) => self.dry().value(expr)?.ty,
            TypeKind::Qualified(word, of) => CType::Qualified(word, Box::new(self.ctype(of)?)),
            TypeKind::Pointer(of) => self.ctype(of)?.pointer(),
            TypeKind::Array(of, count) => CType::Array(Box::new(self.ctype(of)?), *count),
            TypeKind::Function(result, parameters) => {
                let parameters = parameters.iter().map(|ty| self.ctype(ty));
                let parameters = parameters.collect::<Result<Vec<_>>>()?;
                let void = [CType::Basic(Basic::Void)];
                CType::Function {
                    result: Box::new(self.ctype(result)?),
                    parameters: if parameters == void { Vec::new() } else { parameters },
                    variadic: false,
                }
            }
        })
    }

    /// A member of a type, or an error that points at its name.
    pub fn field(&self, ty: &CType, name: &str, at: &At) -> Result<Field> {
        let symbols = self.context.symbols;
        if let Some(field) = ty.member(symbols, name) {
            return Ok(field);
        }
        let fields = ty.members(symbols);
        let own = ty.name(symbols);
        let message = match fields.is_empty() {
            true if ty.size(symbols).is_none() && own.contains(' ') => {
                format!("{own} is nowhere described whole")
            }
            true => format!("'{own}' is no struct or union"),
            false => {
                let names = self.member_names(ty, 0).into_iter();
                let hint = did_you_mean(&similar(name, names));
                format!("no member '{name}' in {own}{hint}")
            }
        };
        Err(ExprError::new(at.clone(), message))
    }

    /// Names of members, those inside anonymous structs and unions too.
    fn member_names(&self, ty: &CType, depth: usize) -> Vec<String> {
        let fields = ty.members(self.context.symbols).into_iter();
        let names = fields.flat_map(|field| match field.name.is_empty() {
            true if depth < 8 => self.member_names(&field.ty, depth + 1),
            _ => vec![field.name],
        });
        names.collect()
    }

    /// Bytes from the start of a type to what a path leads to, and its type.
    pub fn offset(&self, ty: &CType, path: &[Step]) -> Result<(u64, CType)> {
        let symbols = self.context.symbols;
        let (mut ty, mut offset) = (ty.clone(), 0u64);
        for step in path {
            match step {
                Step::Member(name, at) => {
                    let field = self.field(&ty, name, at)?;
                    if field.bits.is_some() {
                        return Err(ExprError::new(
                            at.clone(),
                            "a bit field has no offset in bytes",
                        ));
                    }
                    offset = offset.wrapping_add(field.offset);
                    ty = field.ty;
                }
                Step::Index(index, at) => {
                    let crate::eval::ctype::Shape::Array { element, .. } = ty.shape(symbols) else {
                        let message = format!("'{}' is no array", ty.name(symbols));
                        return Err(ExprError::new(at.clone(), message));
                    };
                    let size = element.size(symbols).unwrap_or(0);
                    offset = offset.wrapping_add(index.wrapping_mul(size));
                    ty = element;
                }
            }
        }
        Ok((offset, ty))
    }

    /// Bytes of a value of a type.
    pub fn size(&self, ty: &CType, at: &At) -> Result<u64> {
        let symbols = self.context.symbols;
        if let Some(size) = ty.size(symbols) {
            return Ok(size);
        }
        // As GNU C has it.
        match ty.shape(symbols) {
            crate::eval::ctype::Shape::Void | crate::eval::ctype::Shape::Function => Ok(1),
            _ => {
                let message = format!("'{}' is nowhere described whole", ty.name(symbols));
                Err(ExprError::new(at.clone(), message))
            }
        }
    }
}

/// A type of the language by the name that compilers give it.
fn basic(name: &str, at: &At) -> Result<Basic> {
    Ok(match name {
        "void" => Basic::Void,
        "_Bool" => Basic::Bool,
        "char" => Basic::Char,
        "signed char" => Basic::SignedChar,
        "unsigned char" => Basic::UnsignedChar,
        "short int" => Basic::Short,
        "short unsigned int" => Basic::UnsignedShort,
        "int" => Basic::Int,
        "unsigned int" => Basic::UnsignedInt,
        "long int" => Basic::Long,
        "long unsigned int" => Basic::UnsignedLong,
        "long long int" => Basic::LongLong,
        "long long unsigned int" => Basic::UnsignedLongLong,
        "__int128" => Basic::Int128,
        "__int128 unsigned" => Basic::UnsignedInt128,
        "float" => Basic::Float,
        "double" => Basic::Double,
        other => {
            return Err(ExprError::new(at.clone(), format!("a kernel has no values of '{other}'")));
        }
    })
}
