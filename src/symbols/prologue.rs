//! prologue
