//! What every layer shares: addresses that do not mix, and guest memory as
//! something that may answer, miss or fault. Depends on nothing.

pub mod addr;
pub mod memory;
pub mod text;
