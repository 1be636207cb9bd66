//! What lies over the panes and takes the keys while it is open.

pub mod command;
pub mod help;
pub mod leave;
pub mod output;
pub mod prompt;

/// The one popup that is open.
#[derive(Debug)]
pub enum Popup {
    /// None.
    None,
    /// The `:` line.
    Command(command::CommandLine),
    /// A question for a text.
    Prompt(prompt::Prompt),
    /// Text of several lines, to be read.
    Output(output::Output),
    /// The keys.
    Help(output::Output),
    /// How to leave.
    Leave(leave::Leaving),
}
