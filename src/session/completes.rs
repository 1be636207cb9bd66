//! What the arguments of commands are, for completion.

/// What can be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completes {
    /// A function name.
    Function,
    /// A source file.
    File,
    /// Either: what `break` takes.
    Location,
    /// A type's name, a tag without its keyword.
    Type,
    /// The name of a setting.
    Setting,
    /// The name of a module.
    Module,
}
