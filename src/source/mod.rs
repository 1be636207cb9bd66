//! placeholder until the source layer lands
/// Text
#[derive(Debug)]
pub struct Text;
