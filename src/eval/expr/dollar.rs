//! What begins with `$`: registers, convenience variables, values that were
//! printed before.

use crate::eval::{
    ctype::{Basic, CType},
    expr::{
        assign::Effect,
        ast::{At, History},
        error::ExprError,
        evaluate::{Evaluator, Result},
        kept::KeptValue,
    },
    location::{Absent, Place},
    typed::Typed,
};

impl<'a> Evaluator<'a> {
    /// A register of the frame as a value; `None` when none has that name.
    pub fn register(&self, name: &str, at: &At) -> Result<Option<Typed>> {
        let known = self.context.frames.first().map(|frame| frame.registers);
        let arch = known.map_or(&crate::arch::x86_64::X86_64, |registers| registers.arch);
        let Some(reg) = arch.reg(name) else { return Ok(None) };
        let def = arch.def(reg);
        let void = CType::Basic(Basic::Void);
        let ty = match reg {
            reg if reg == arch.pc => {
                let (parameters, variadic) = (Vec::new(), false);
                CType::Function { result: Box::new(void), parameters, variadic }.pointer()
            }
            reg if reg == arch.sp || reg == arch.fp => void.pointer(),
            _ if def.size == 4 => CType::Basic(Basic::Int),
            _ => CType::Basic(Basic::Long),
        };
        if self.dry {
            return Ok(Some(Typed::of_bytes(ty, &[0; 8][..def.size])));
        }
        let Some(registers) = known else {
            return Err(ExprError::new(at.clone(), "registers are known only at a stop"));
        };
        if registers.get(reg).is_none() {
            let message = format!("${name} is not known in this frame");
            return Err(ExprError {
                absent: Some(Absent::OptimizedOut),
                ..ExprError::new(at.clone(), message)
            });
        }
        let place = match def.dwarf {
            Some(dwarf) => Place::Register { dwarf, offset: 0 },
            None => return Err(ExprError::new(at.clone(), "this register has no number")),
        };
        Ok(Some(Typed { ty, place, bits: None }))
    }

    /// A convenience variable, also one that this expression has set.
    pub fn kept(&self, name: &str) -> Option<Typed> {
        let set = self.effects.borrow().iter().rev().find_map(|effect| match effect {
            Effect::SetVariable { name: own, value } if own == name => Some(value.clone()),
            _ => None,
        });
        set.or_else(|| self.scene.kept.variable(name).cloned())
    }

    pub fn history(&self, which: History, at: &At) -> Result<Option<&'a KeptValue>> {
        let kept = self.scene.kept;
        let found = match which {
            History::Number(number) => kept.number(number as usize),
            History::Back(back) => kept.back(back as usize),
        };
        match (found, which) {
            (Some(found), _) => Ok(Some(found)),
            // As in gdb: before anything was printed, and `$$` of one value.
            (None, History::Back(0 | 1)) => Ok(None),
            (None, _) => {
                let message = format!("{} values were printed so far", kept.len());
                Err(ExprError::new(at.clone(), message))
            }
        }
    }
}
