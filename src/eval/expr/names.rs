//! What a name means: the variable of the innermost block that has it, then
//! of the file, of the module, of the kernel; an enumerator; a function.

use crate::{
    base::addr::Addr,
    eval::{
        ctype::{Basic, CType},
        expr::{
            ast::{At, Name, Scope},
            error::ExprError,
            evaluate::{Evaluator, Result},
        },
        location::Context,
        typed::Typed,
    },
    symbols::{
        answer::{CodeFrame, ValuePlace, VariableDef},
        lookup::{globals::Global, places::ends_in},
    },
};

/// Names offered in place of one that is not found.
const SIMILAR: usize = 3;

/// Places in a function that are tried to find a static variable of a block.
const MOST_PLACES: usize = 500;

impl Evaluator<'_> {
    /// Whether a name is a type's where the expression stands: a variable in
    /// scope hides it.
    pub fn is_type(&self, name: &str) -> bool {
        let symbols = self.context.symbols;
        self.local(name).is_none()
            && match name.split_once('!') {
                Some((module, name)) => {
                    let only = symbols.only(module);
                    only.is_some_and(|only| {
                        only.find_typed(name).is_some_and(|found| found.is_type)
                    })
                }
                None => symbols.find_typed(name).is_some_and(|found| found.is_type),
            }
    }

    /// The value of a name.
    pub fn named(&self, name: &Name, at: &At) -> Result<Typed> {
        match &name.scope {
            Some(Scope::Function(function)) => return self.of_function(name, function, at),
            Some(Scope::File(file)) => return self.of_file(name, file, at),
            None => {}
        }
        if name.module.is_none() {
            if let Some(local) = self.local(&name.name) {
                return self.variable(&self.context, &local, at);
            }
            if name.name == "current" && self.global(name).is_none() {
                return self.current(at);
            }
        }
        if let Some(global) = self.global(name) {
            return self.variable(&self.context, &global.variable, at);
        }
        if let Some(found) = self.enumerator(name).or_else(|| self.function(name, None)) {
            return Ok(found);
        }
        Err(self.unknown(name, at))
    }

    /// A variable or argument of the selected frame.
    fn local(&self, name: &str) -> Option<VariableDef> {
        let frame = self.context.frames.first()?;
        self.local_at(frame.lookup, self.scene.depth, name)
    }

    fn local_at(&self, pc: Addr, depth: usize, name: &str) -> Option<VariableDef> {
        let symbols = self.context.symbols;
        let mut all = symbols.locals_at(pc, depth).into_iter();
        let found = all.find(|variable| variable.name == name);
        found.or_else(|| symbols.arguments_at(pc, depth).into_iter().find(|v| v.name == name))
    }

    /// A variable of file scope: of the file the frame is in, then of its
    /// module, then the first that others see.
    fn global(&self, name: &Name) -> Option<Global> {
        let full = match &name.module {
            Some(module) => format!("{module}!{}", name.name),
            None => name.name.clone(),
        };
        let found = self.context.symbols.variables_named(&full);
        let own = self.own_frames();
        let file = |global: &Global| {
            let file = global.file.as_ref();
            file.is_some_and(|file| own.iter().any(|frame| frame.file.as_ref() == Some(file)))
        };
        let module = own.first().and_then(|frame| frame.module.clone());
        let rank = |global: &Global| (!file(global), global.module != module, !global.external);
        found.into_iter().min_by_key(rank)
    }

    /// The functions at the selected frame, with their files.
    fn own_frames(&self) -> Vec<CodeFrame> {
        let frame = self.context.frames.first();
        frame.map_or(Vec::new(), |frame| self.context.symbols.frames_at(frame.lookup))
    }

    fn of_file(&self, name: &Name, file: &str, at: &At) -> Result<Typed> {
        let symbols = match &name.module {
            Some(module) => self.context.symbols.only(module).unwrap_or_default(),
            None => self.context.symbols.clone(),
        };
        let full = format!("'{file}'::{}", name.name);
        if let Some(global) = symbols.variables_named(&full).into_iter().next() {
            return self.variable(&self.context, &global.variable, at);
        }
        if let Some(found) = self.function(name, Some(file)) {
            return Ok(found);
        }
        Err(ExprError::new(at.clone(), format!("no '{}' in a file {file}", name.name)))
    }

    /// `function::local`: of its innermost frame on the stack, or a static
    /// variable, which needs none.
    fn of_function(&self, name: &Name, function: &str, at: &At) -> Result<Typed> {
        let symbols = self.context.symbols;
        for (place, frame) in self.context.frames.iter().enumerate() {
            let mut there = symbols.frames_at(frame.lookup).into_iter();
            let Some(depth) = there.position(|code| code.function == function) else { continue };
            if let Some(found) = self.local_at(frame.lookup, depth, &name.name) {
                let frames = &self.context.frames[place..];
                return self.variable(&Context { frames, ..self.context }, &found, at);
            }
        }
        let full = match &name.module {
            Some(module) => format!("{module}!{function}"),
            None => function.to_owned(),
        };
        let functions = symbols.find_functions(&full);
        let Some(entry) = functions.iter().find(|found| !found.inlined).map(|found| found.entry)
        else {
            return Err(ExprError::new(at.clone(), format!("no function '{function}'")));
        };
        let mut places = vec![entry];
        if let Some(whole) = symbols.function_at(entry) {
            let rows = whole.ranges.iter().flat_map(|(start, end)| symbols.rows_of(*start, *end));
            places.extend(rows.map(|row| row.start).take(MOST_PLACES));
        }
        let mut is_local = false;
        for pc in places {
            let depth = symbols.frames_at(pc).iter().position(|code| code.function == function);
            let Some(found) = depth.and_then(|depth| self.local_at(pc, depth, &name.name)) else {
                continue;
            };
            if is_static(&found) {
                return self.variable(&self.context, &found, at);
            }
            is_local = true;
        }
        let message = match is_local {
            true => format!("no frame of '{function}' is selected or calls the selected one"),
            false => format!("no variable '{}' in function '{function}'", name.name),
        };
        Err(ExprError::new(at.clone(), message))
    }

    fn variable(&self, context: &Context<'_>, found: &VariableDef, at: &At) -> Result<Typed> {
        if self.dry {
            return Ok(Typed::at(found.ty.into(), Addr(0)));
        }
        context.of(found).map_err(|absent| {
            let mut error = self.absent(at, absent);
            error.message = format!("'{}': {}", found.name, error.message);
            error
        })
    }

    fn enumerator(&self, name: &Name) -> Option<Typed> {
        let symbols = self.context.symbols;
        let own = name.module.as_ref().map(|module| symbols.only(module).unwrap_or_default());
        let (ty, value) = own.as_ref().unwrap_or(symbols).enumerator_of(&name.name)?;
        let size = symbols.size_of(ty).unwrap_or(4).clamp(1, 8) as usize;
        Some(Typed::of_bytes(ty.into(), &value.to_le_bytes()[..size]))
    }

    /// A function, or a symbol of code that nothing more is known of.
    fn function(&self, name: &Name, file: Option<&str>) -> Option<Typed> {
        let symbols = self.context.symbols;
        let full = match &name.module {
            Some(module) => format!("{module}!{}", name.name),
            None => name.name.clone(),
        };
        let own = self.own_frames().first().and_then(|frame| frame.module.clone());
        let mut found: Vec<_> =
            symbols.find_functions(&full).into_iter().filter(|found| !found.inlined).collect();
        if let Some(file) = file {
            let of = |file: &crate::symbols::answer::SourceFile, end| ends_in(&file.name, end);
            found.retain(|found| found.file.as_ref().is_some_and(|own| of(own, file)));
        }
        // Of a weak function that another replaced, the code may still be
        // there; the symbol table has the one that is called.
        let linked = symbols.symbol_addr(&name.name);
        found.sort_by_key(|found| (found.module != own, Some(found.entry) != linked));
        let untyped = CType::Function {
            result: Box::new(CType::Basic(Basic::Int)),
            parameters: Vec::new(),
            variadic: false,
        };
        if let Some(first) = found.first() {
            let full = match &first.module {
                Some(module) => format!("{module}!{}", first.name),
                None => first.name.clone(),
            };
            let ty = symbols.function_type(&full).map_or(untyped, CType::Known);
            return Some(Typed::at(ty, first.entry));
        }
        let at = linked.filter(|_| file.is_none() && name.module.is_none())?;
        Some(Typed::at(untyped, at))
    }

    fn current(&self, at: &At) -> Result<Typed> {
        let ty = self.context.symbols.find_type("struct task_struct");
        let ty = ty.ok_or_else(|| {
            ExprError::new(at.clone(), "'current' needs the type struct task_struct")
        })?;
        let ty = CType::Known(ty).pointer();
        if self.dry {
            return Ok(Typed::of_bytes(ty, &[0; 8]));
        }
        let task = (self.scene.current)(self.context.symbols, self.context.memory);
        let task = task.map_err(|absent| self.absent(at, absent))?;
        Ok(Typed::of_bytes(ty, &task.0.to_le_bytes()))
    }

    fn unknown(&self, name: &Name, at: &At) -> ExprError {
        let symbols = self.context.symbols;
        let place = match &name.module {
            Some(module) if symbols.only(module).is_none() => {
                let known: Vec<_> = symbols.images().map(|placed| placed.name.as_str()).collect();
                let message = format!(
                    "no symbols of a module '{module}'; there are those of {}",
                    known.join(", ")
                );
                return ExprError::new(at.clone(), message);
            }
            Some(module) => format!(" in {module}"),
            None => String::new(),
        };
        let mut similar = self.similar_locals(&name.name);
        if similar.is_empty() {
            similar = symbols.similar_names(&name.name, SIMILAR);
        }
        let hint = did_you_mean(&similar);
        ExprError::new(at.clone(), format!("no symbol '{}'{place}{hint}", name.name))
    }

    fn similar_locals(&self, name: &str) -> Vec<String> {
        let Some(frame) = self.context.frames.first() else { return Vec::new() };
        let (symbols, depth) = (self.context.symbols, self.scene.depth);
        let all = symbols.locals_at(frame.lookup, depth).into_iter();
        let all = all.chain(symbols.arguments_at(frame.lookup, depth));
        similar(name, all.map(|variable| variable.name))
    }
}

/// Whether a variable is at a fixed place, or constant: it needs no frame.
fn is_static(variable: &VariableDef) -> bool {
    match &variable.location {
        ValuePlace::Expression { bytes, .. } => bytes.first() == Some(&gimli::DW_OP_addr.0),
        ValuePlace::Constant(_) => true,
        ValuePlace::None => false,
    }
}

/// Those of some names that `name` may be a slip of, the nearest first.
pub(super) fn similar(name: &str, all: impl Iterator<Item = String>) -> Vec<String> {
    let most = if name.chars().count() < 6 { 1 } else { 2 };
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    let mut near: Vec<(usize, String)> = all
        .filter(|own| !own.is_empty())
        .filter_map(|own| Some((crate::symbols::lookup::search::slips(&wanted, &own, most)?, own)))
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().map(|(_, own)| own).take(SIMILAR).collect()
}

/// `; did you mean 'a' or 'b'?`, or nothing.
pub(super) fn did_you_mean(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; did you mean '{}'?", names.join("' or '")),
    }
}
