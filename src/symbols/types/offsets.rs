//! The columns of `ptype /o`: where a member is, how long, and the holes
//! between members (`print_offset_data`, gdb/typeprint.c).
//!
//! ```text
//! /* offset      |    size */  type = struct bits {
//! /*      0: 0   |       4 */    unsigned int a : 3;
//! /* XXX  5-bit hole       */
//! /*      8      |       8 */    struct list_head *next;
//!
//!                                /* total size (bytes):   16 */
//!                              }
//! ```

use crate::symbols::types::node::Field;

/// What is known while the members of one struct are printed, in bits.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::symbols) struct Offsets {
    /// Where the struct is in the one that was asked about.
    start: u64,
    /// Where the member before ended, or in a union the longest; 0 before the
    /// first.
    end: u64,
}

impl Offsets {
    /// Columns that lines without an offset leave empty.
    pub const WIDTH: usize = 27;

    /// The columns of a member of a union, whose offset is the union's.
    pub fn union_member(&mut self, out: &mut String, size: u64) {
        self.end = self.end.max(size.saturating_mul(8));
        out.push_str(&format!("/*                {size:>6} */"));
    }

    /// The columns of a member of a struct, after the hole before it.
    pub fn member(&mut self, out: &mut String, field: &Field, size: u64) {
        self.hole(out, field.bit, "hole");
        let at = self.start.saturating_add(field.bit);
        let place = match field.bits {
            Some(_) => format!("{:>6}:{:>2}  ", at / 8, at % 8),
            None => format!("{:>6}     ", at / 8),
        };
        out.push_str(&format!("/* {place} |  {size:>6} */"));
        let bits = field.bits.map_or(size.saturating_mul(8), u64::from);
        self.end = field.bit.saturating_add(bits);
    }

    /// What is known before the members of a member that is a struct.
    pub fn inside(&self, field: &Field) -> Offsets {
        Offsets { start: self.start.saturating_add(field.bit), end: 0 }
    }

    /// What comes after the last member.
    pub fn finish(&self, out: &mut String, size: u64, level: usize) {
        self.hole(out, size.saturating_mul(8), "padding");
        let margin = Offsets::WIDTH + level + 4;
        out.push_str(&format!("\n{:margin$}/* total size (bytes): {size:>4} */\n", ""));
    }

    fn hole(&self, out: &mut String, next: u64, what: &str) {
        let hole = next.saturating_sub(self.end);
        if self.end == 0 || hole == 0 {
            return;
        }
        if !hole.is_multiple_of(8) {
            out.push_str(&format!("/* XXX {:>2}-bit {what:<7}    */\n", hole % 8));
        }
        if hole >= 8 {
            out.push_str(&format!("/* XXX {:>2}-byte {what:<7}   */\n", hole / 8));
        }
    }
}
