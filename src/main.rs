//! The program: arguments, logging, and the face that was asked for.

mod cli;
mod tour;

use anyhow::{Context, anyhow, bail};
use cli::{Cli, Command};
use kgdb_tui::{
    batch,
    command::{FaceCommand, Parsed, parse::parse, script, script::Step},
    config::theme::Theme,
    demo,
    kernel::sections_script,
    session::{self, options::Options, request::Leave},
    ui::{self, message::Exit},
};
use std::{
    fs,
    io::Write,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::Mutex,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long leaving the guest may take when nobody watches it any more.
const LEAVING: Duration = Duration::from_secs(15);

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
    if let Some(Command::Demo(options)) = &cli.command {
        return run_demo(cli, options);
    }
    if let Some(Command::SectionsScript(options)) = &cli.command {
        let script = sections_script::script(&options.modules)?;
        std::io::stdout().write_all(script.as_bytes()).context("printing the script")?;
        return Ok(ExitCode::SUCCESS);
    }
    let commands = commands(cli)?;
    if !cli.batch {
        return run_screen(cli.options(), checked(commands)?, Vec::new());
    }
    let started = session::run::start(cli.options()).context("starting the session")?;
    let batch = batch::Batch {
        commands,
        json: cli.json,
        timeout: cli.timeout,
        leave_stopped: cli.leave_stopped,
    };
    let status = runtime()?.block_on(batch::run(&batch, started, &mut std::io::stdout()))?;
    Ok(ExitCode::from(status as u8))
}

fn run_screen(
    options: Options,
    commands: Vec<Step>,
    tour: Vec<ui::tour::TourStep>,
) -> anyhow::Result<ExitCode> {
    let started = session::run::start(options).context("starting the session")?;
    let no_color = std::env::var("NO_COLOR").ok();
    let term = std::env::var("TERM").ok();
    let theme = Theme::for_terminal(no_color.as_deref(), term.as_deref());
    let screen = ui::Options { theme, tour, commands };
    let face = ui::run(started.handle, started.updates, started.book, screen);
    let runtime = runtime()?;
    let exit = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(face)));
    if !matches!(exit, Ok(Ok(Exit::Impatient))) {
        // The session is leaving the guest, or is about to because its face is
        // gone: the process must not end before that.
        wait_for(&started.thread);
    }
    let exit = exit.unwrap_or_else(|panic| panic::resume_unwind(panic))?;
    Ok(tell(&exit))
}

fn wait_for(thread: &JoinHandle<()>) {
    let deadline = Instant::now() + LEAVING;
    while !thread.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
}

/// Says something after the screen is gone. The terminal may be gone as well
/// (SIGHUP), and then there is nobody to say it to.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "kgdb-tui: {text}");
}

/// Says how the guest was left, and makes the exit status of it.
fn tell(exit: &Exit) -> ExitCode {
    let text = match exit {
        Exit::Left(Leave::Detach) => "detached; the guest runs on",
        Exit::Left(Leave::Stopped) => {
            "the guest is left stopped, without breakpoints; it waits for a debugger"
        }
        Exit::Left(Leave::AsIs) => "the guest is left as it is",
        Exit::NoGuest => return ExitCode::SUCCESS,
        Exit::Impatient => "left without waiting for the guest",
        Exit::Ended(None) => "the session has ended",
        Exit::Ended(Some(why)) => {
            say(why);
            return ExitCode::from(3);
        }
    };
    say(text);
    ExitCode::SUCCESS
}

fn run_demo(cli: &Cli, options: &cli::Demo) -> anyhow::Result<ExitCode> {
    let built = demo::prepare::prepare(options.yes)?;
    if options.build_only {
        println!("the demo guest is in {}", built.dir.display());
        return Ok(ExitCode::SUCCESS);
    }
    let (guest, target) = demo::prepare::boot(&built, !options.nokaslr)?;
    let commands = tour::COMMANDS.map(Step::of_line).into();
    let code = run_screen(target.options(cli.options()), commands, tour::steps())?;
    drop(guest);
    say("the demo guest has ended");
    Ok(code)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Commands of `-x` and `-ex`, in that order.
fn commands(cli: &Cli) -> anyhow::Result<Vec<Step>> {
    let mut commands = match &cli.command_file {
        Some(path) => script::read(path)?,
        None => Vec::new(),
    };
    commands.extend(cli.ex.iter().map(|line| Step::of_line(line)));
    Ok(commands)
}

/// Commands for the start of the screen: what is none is told before there is one.
fn checked(commands: Vec<Step>) -> anyhow::Result<Vec<Step>> {
    for command in commands.iter().filter(|command| command.passed_over.is_none()) {
        let text = &command.text;
        let parsed = parse(text).map_err(|error| anyhow!(command.at_place(&error.to_string())))?;
        if let Parsed::Face(FaceCommand::Quit | FaceCommand::Help(_)) = parsed {
            let why = format!("'{text}' makes no sense before the screen is there");
            bail!(command.at_place(&why));
        }
    }
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
