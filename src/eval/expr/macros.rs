//! Macros of the kernel and of the compiler that need no calls: per-CPU
//! copies, alignment.

use crate::eval::{
    ctype::{CType, Shape},
    expr::{
        ast::{At, Expr, Kind, Unary},
        error::ExprError,
        evaluate::{Evaluator, Operand, Result, pointer_value},
    },
    location::{Absent, Context},
    typed::Typed,
};

impl Evaluator<'_> {
    /// The copy of a per-CPU variable that a CPU has.
    pub fn per_cpu(&self, of: &Expr, cpu: Option<&Expr>, pointer: bool) -> Result<Typed> {
        let number = match cpu {
            None => self.context.cpu,
            Some(cpu) => {
                let value = self.number(&self.value(cpu)?, &cpu.at)?.to_int(8, true).value;
                let number = u32::try_from(value).ok();
                let known = self.cpu_count(&cpu.at)?;
                match number {
                    Some(number) if self.dry || known.is_none_or(|count| number < count) => {
                        Some(number)
                    }
                    _ => {
                        let count = known.map_or(String::new(), |n| format!("; the guest has {n}"));
                        let message = format!("there is no CPU {value}{count}");
                        return Err(ExprError::new(cpu.at.clone(), message));
                    }
                }
            }
        };
        let there = Evaluator { context: Context { cpu: number, ..self.context }, ..*self };
        if !pointer {
            return there.value(of);
        }
        if let Kind::Unary(Unary::Address, variable) = &of.kind {
            return there.address_of(variable, &of.at);
        }
        let Operand::Pointer { addr, target } = self.operand(&self.value(of)?, &of.at)? else {
            return Err(ExprError::new(of.at.clone(), "a pointer to per-CPU data is wanted here"));
        };
        let offset = self.cpu_offset(number, &of.at)?;
        Ok(pointer_value(addr.wrapping_add(offset), target))
    }

    /// How many CPUs the kernel may have (`nr_cpu_ids`); `None` when it is
    /// built for one.
    fn cpu_count(&self, at: &At) -> Result<Option<u32>> {
        let Some(count) = self.context.symbols.symbol_addr("nr_cpu_ids") else { return Ok(None) };
        if self.dry {
            return Ok(None);
        }
        let read = self.context.memory.u32(count);
        read.map(Some).map_err(|gap| self.absent(at, Absent::Gap(gap)))
    }

    /// `__per_cpu_offset[cpu]` (include/asm-generic/percpu.h).
    fn cpu_offset(&self, cpu: Option<u32>, at: &At) -> Result<u64> {
        let Some(offsets) = self.context.symbols.symbol_addr("__per_cpu_offset") else {
            return Ok(0);
        };
        if self.dry {
            return Ok(0);
        }
        let cpu = cpu.ok_or_else(|| ExprError::new(at.clone(), "the CPU is not known"))?;
        let read = self.context.memory.u64(offsets.offset(u64::from(cpu) * 8));
        read.map_err(|gap| self.absent(at, Absent::Gap(gap)))
    }

    /// The alignment that the ABI gives a type: that of its widest part.
    pub fn alignment(&self, ty: &CType, at: &At, depth: usize) -> Result<u64> {
        let symbols = self.context.symbols;
        match ty.shape(symbols) {
            _ if depth > 32 => Ok(1),
            Shape::Array { element, .. } => self.alignment(&element, at, depth + 1),
            Shape::Struct { .. } => {
                let fields = ty.members(symbols);
                let mut each = fields.iter().map(|field| self.alignment(&field.ty, at, depth + 1));
                each.try_fold(1, |most, one| Ok(most.max(one?)))
            }
            _ => self.size(ty, at),
        }
    }
}
