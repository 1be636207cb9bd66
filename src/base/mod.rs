//! What every layer shares: addresses that do not mix, guest memory as something
//! that may answer, miss or fault, and what ends a program. Depends on nothing.

pub mod addr;
pub mod memory;
pub mod orders;
pub mod text;
