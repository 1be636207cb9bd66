//! Types.
use crate::symbols::{
    answer::{TypeRef, TypeShape},
    placed::Symbols,
};
impl Symbols {
    /// A type by name: `struct list_head`, `union x`, `enum y`, `u32`, or a
    /// tag without its keyword.
    pub fn find_type(&self, _name: &str) -> Option<TypeRef> {
        None
    }
    /// A type as C writes it: `struct hgfs_req *`.
    pub fn type_name(&self, _ty: TypeRef) -> String {
        "?".to_owned()
    }
    /// What a type is, without typedefs and qualifiers.
    pub fn type_shape(&self, _ty: TypeRef) -> TypeShape {
        TypeShape::Unknown
    }
    /// Bytes of a value of the type.
    pub fn size_of(&self, _ty: TypeRef) -> Option<u64> {
        None
    }
    /// Bytes of the type of this name.
    pub fn type_size(&self, _name: &str) -> Option<u64> {
        None
    }
    /// The value of an enumerator, such as `MODULE_STATE_LIVE`.
    pub fn enumerator(&self, _name: &str) -> Option<i64> {
        None
    }
}
