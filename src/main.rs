//! The program: arguments, logging, and the face that was asked for.

mod cli;

use anyhow::Context;
use cli::Cli;
use kgdb_tui::{batch, session};
use std::{fs, process::ExitCode, sync::Mutex};

fn main() -> ExitCode {
    let cli = Cli::from_process();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kgdb-tui: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    log_to(cli)?;
    let commands = commands(cli)?;
    let started = session::run::start(cli.options()).context("starting the session")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let batch = batch::Batch {
        commands,
        json: cli.json,
        timeout: cli.timeout,
        leave_stopped: cli.leave_stopped,
    };
    let status = runtime.block_on(batch::run(&batch, started, &mut std::io::stdout()))?;
    Ok(ExitCode::from(status as u8))
}

/// Commands of `-x` and `-ex`, in that order.
fn commands(cli: &Cli) -> anyhow::Result<Vec<String>> {
    let mut commands = Vec::new();
    if let Some(path) = &cli.command_file {
        let text = fs::read_to_string(path)
            .with_context(|| format!("reading commands from {}", path.display()))?;
        commands.extend(text.lines().map(str::to_string));
    }
    commands.extend(cli.ex.iter().cloned());
    Ok(commands)
}

fn log_to(cli: &Cli) -> anyhow::Result<()> {
    let Some(path) = &cli.log else { return Ok(()) };
    let file = fs::File::create(path).with_context(|| format!("--log {}", path.display()))?;
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(Mutex::new(file))
        .with_ansi(false)
        .init();
    Ok(())
}
