//! `info list`: the elements of a list, tree or array of the kernel.

use super::{
    answer::{Answer, Failure},
    request::Elements,
    run::Session,
};
use crate::base::addr::Addr;
use crate::eval::{
    collections::{self, Element, Item},
    ctype::{CType, Shape},
    expr::{
        error::ExprError,
        evaluate::{self, Scene},
    },
    location::{Absent, Context},
    value::Value,
};
use serde::Serialize;

/// Elements that are listed unless a count is given.
const MOST_ELEMENTS: usize = 200;

/// Columns of an element's value.
const WIDTH: usize = 160;

/// What is in a collection.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ElementsAnswer {
    /// What the elements are.
    #[serde(rename = "type")]
    pub type_name: String,
    /// In the order of the collection.
    pub elements: Vec<ElementView>,
    /// What is wrong with it: a loop, a poisoned pointer. The elements before
    /// that are good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// An element of a collection.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ElementView {
    /// Its number, or in an xarray its index.
    pub index: u64,
    /// Where it is.
    pub address: Option<Addr>,
    /// The first of its members, in one line.
    pub value: String,
}

impl Session {
    /// `info list`.
    pub(super) async fn elements(&mut self, asked: &Elements) -> Result<Answer, Failure> {
        let text = asked.expression.as_str();
        let found = self.see_value(text, |context, scene| listed(context, scene, asked)).await?;
        Ok(Answer::Elements(Box::new(found)))
    }
}

fn listed(
    context: &Context<'_>,
    scene: &Scene<'_>,
    asked: &Elements,
) -> Result<ElementsAnswer, ExprError> {
    let text = &asked.expression;
    let other = |absent: Absent| ExprError {
        message: absent.to_string(),
        at: 0..text.len(),
        absent: Some(absent),
    };
    let head = evaluate::evaluate(context, scene, text)?;
    let element = match &asked.element {
        Some((ty, member)) => {
            let found = context.symbols.find_type(ty);
            let found = found.ok_or_else(|| other(Absent::because(format!("no type {ty}"))))?;
            Some(Element { ty: CType::Known(found), member: member.clone() })
        }
        None => known(context, scene, text),
    };
    let limit = asked.limit.unwrap_or(MOST_ELEMENTS);
    let found = collections::items(context, &head, element.as_ref(), limit).map_err(other)?;
    let type_name = match (&element, found.items.first()) {
        (Some(element), _) => element.ty.name(context.symbols),
        (None, Some(item)) => item.value.ty.name(context.symbols),
        (None, None) => String::new(),
    };
    let view = |(number, item): (usize, &Item)| ElementView {
        index: item.index.unwrap_or(number as u64),
        address: item.value.address(),
        value: Value::from(context.brief(&item.value, WIDTH)).to_string(),
    };
    Ok(ElementsAnswer {
        type_name,
        elements: found.items.iter().enumerate().map(view).collect(),
        trouble: found.trouble,
        more: found.more,
    })
}

/// What is in a head that everybody knows: a variable, or a member of a struct.
pub(super) fn known(context: &Context<'_>, scene: &Scene<'_>, text: &str) -> Option<Element> {
    let text = text.trim().trim_start_matches('&').trim();
    let dot = text.rfind(['.', '>']);
    let Some(at) = dot else { return collections::known_element(context.symbols, "", text) };
    let owner = text[..at].trim_end_matches('-');
    let (ty, _) = evaluate::type_of(context, scene, owner).ok()?;
    let ty = match ty.shape(context.symbols) {
        Shape::Pointer { target, .. } => target,
        _ => ty,
    };
    let Shape::Struct { name: Some(name), .. } = ty.shape(context.symbols) else { return None };
    collections::known_element(context.symbols, &name, text[at + 1..].trim())
}
