//! What a person can choose: keys, colours, and all that the files of settings
//! say. Nothing here draws, or knows the debugger.

pub mod actions;
pub mod files;
pub mod key;
pub mod keymap;
pub mod parse;
pub mod presets;
pub mod settings;
pub mod theme;
