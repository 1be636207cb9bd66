//! The program: arguments, logging, and the face that was asked for.

mod checks;
mod cli;
mod man;
mod tour;

use anyhow::{Context, anyhow, bail};
use cli::{Cli, Command};
use kgdb_tui::{
    batch,
    command::{FaceCommand, Parsed, parse::parse, script, script::Step},
    config::{
        files::{Files, Loaded, Places},
        settings::DOCUMENTED,
        theme::Terminal,
    },
    demo,
    kernel::sections_script,
    ports::{self, Opened},
    relay,
    session::{
        self,
        options::Options,
        request::Leave,
        run::Started,
        saving::{Depth, SnapshotAsk},
    },
    setup::{
        doctor,
        guest_script::{self, Wanted},
        vmx_file,
    },
    ui::{self, message::Exit},
};
use std::{
    fs,
    io::Write,
    panic::{self, AssertUnwindSafe},
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{self, UnboundedReceiver};

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
    match &cli.command {
        Some(Command::Demo(options)) => return run_demo(cli, options),
        Some(Command::Relay(options)) => return run_relay(cli, options),
        Some(Command::Snapshot(options)) => return run_snapshot(cli, options),
        Some(Command::SectionsScript(options)) => {
            return print(&sections_script::script(&options.modules)?);
        }
        Some(Command::Vmx(options)) => return give_port(options),
        Some(Command::GuestSetup(cli::GuestSetup { tty, baud, wait })) => {
            let wanted = Wanted { tty: tty.clone(), baud: *baud, wait: *wait };
            return print(&guest_script::script(&wanted)?);
        }
        Some(Command::Doctor(options)) => return look_at_chain(cli, options),
        Some(Command::Man) => return print(&man::page().context("making the page")?),
        Some(Command::Completions { shell }) => return print(&man::completions(*shell)),
        Some(Command::Config(cli::Config { path: false })) => return print(DOCUMENTED),
        Some(Command::Config(cli::Config { path: true })) | None => {}
    }
    let places = Places::of_process(cli.config.clone());
    let mut files = Files::new(places.clone(), checks::CHECKS);
    if cli.command.is_some() {
        return print(&said_of(&files.load(), &places));
    }
    let commands = commands(cli)?;
    let loaded = files.load();
    if !cli.batch {
        let options = cli.options(&loaded.settings);
        let (mouse, commands) = (!cli.no_mouse, checked(commands)?);
        return run_screen(
            options,
            mouse,
            ports::open(&cli.ports())?,
            commands,
            Vec::new(),
            (files, loaded),
        );
    }
    for problem in &loaded.problems {
        eprintln!("kgdb-tui: {problem}");
    }
    let ports = ports::open(&cli.ports())?;
    let mut started =
        session::run::start(cli.options(&loaded.settings)).context("starting the session")?;
    let ports = serve(ports, &mut started)?;
    let batch = batch::Batch {
        commands,
        json: cli.json,
        timeout: cli.timeout,
        leave_stopped: cli.leave_stopped,
    };
    let thread = Arc::clone(&started.thread);
    let status = runtime()?.block_on(batch::run(&batch, started, &mut std::io::stdout()))?;
    // The end of a record is written when the session ends.
    wait_for(&thread);
    if let Some(ports) = ports {
        wait_for(&ports);
    }
    Ok(ExitCode::from(status as u8))
}

/// Saves one stop.
fn run_snapshot(cli: &Cli, options: &cli::Snapshot) -> anyhow::Result<ExitCode> {
    let commands = commands(cli)?;
    let loaded = Files::new(Places::of_process(cli.config.clone()), checks::CHECKS).load();
    for problem in &loaded.problems {
        eprintln!("kgdb-tui: {problem}");
    }
    let session = Options { eager: false, ..cli.options(&loaded.settings) };
    let depth = match (options.quick, options.full) {
        (true, _) => Depth::Quick,
        (_, true) => Depth::Full,
        _ => Depth::Normal,
    };
    let wanted = batch::snapshot::Snapshot {
        ask: SnapshotAsk { file: options.file.clone(), depth, over: options.force },
        commands,
        timeout: cli.timeout,
        break_in: session.break_in.is_some() || cli.break_in_shell,
    };
    let started = session::run::start(session).context("starting the session")?;
    let mut out = std::io::stdout();
    let thread = Arc::clone(&started.thread);
    let status = runtime()?.block_on(batch::snapshot::run(&wanted, started, &mut out))?;
    wait_for(&thread);
    Ok(ExitCode::from(status as u8))
}

/// Gives a virtual machine a port for kgdb, and says what was done.
fn give_port(options: &cli::Vmx) -> anyhow::Result<ExitCode> {
    let file = vmx_file::read(&options.file)?;
    let plan = vmx_file::plan(&file, options.socket.as_deref())?;
    let writes = !plan.changes.is_empty() && !options.print;
    let copy = if writes { Some(vmx_file::write(&file, &plan.vmx)?) } else { None };
    let open = vmx_file::open_by(&file.path);
    print(&vmx_file::report(&options.file, &plan, copy.as_deref(), open.as_deref()))
}

/// Looks at the whole chain; status 1 when something is wrong.
fn look_at_chain(cli: &Cli, options: &cli::Doctor) -> anyhow::Result<ExitCode> {
    let places = Places::of_process(cli.config.clone());
    let loaded = Files::new(places, checks::CHECKS).load();
    for problem in &loaded.problems {
        eprintln!("kgdb-tui: {problem}");
    }
    let asked = doctor::Asked {
        options: options.options(cli, loaded.settings),
        vmx: options.vmx.clone(),
        config_file: options.config_file.clone(),
        stop: options.stop,
        listen: options.listen,
        timeout: options.timeout.unwrap_or(cli.timeout),
    };
    let mut say = |words: &str| eprintln!("kgdb-tui: {words}");
    let report =
        runtime()?.block_on(doctor::run(&asked, &mut say)).context("starting the session")?;
    let text = match options.as_json {
        true => serde_json::to_string(&report)? + "\n",
        false => report.text(),
    };
    print(&text)?;
    Ok(ExitCode::from(u8::from(!report.is_good())))
}

/// Prints a text that is all there is to do.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // `| head` has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        result => result.context("printing")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run_screen(
    options: Options,
    mouse: bool,
    ports: Opened,
    commands: Vec<Step>,
    tour: Vec<ui::tour::TourStep>,
    (files, loaded): (Files, Loaded),
) -> anyhow::Result<ExitCode> {
    let kept = options.kept();
    let first = options.state_dir.as_deref().is_some_and(is_first_start);
    let mut started = session::run::start(options).context("starting the session")?;
    let ports = serve(ports, &mut started)?;
    let settings = watch(files).context("watching the files of settings")?;
    let terminal = Terminal::from_env();
    let screen = ui::Options { terminal, loaded, tour, first, mouse, kept, commands };
    let face = ui::run(started.handle, started.updates, settings, started.book, screen);
    let runtime = runtime()?;
    let exit = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(face)));
    if !matches!(exit, Ok(Ok(Exit::Impatient))) {
        // The session is leaving the guest, or is about to because its face is
        // gone: the process must not end before that.
        wait_for(&started.thread);
        if let Some(ports) = ports {
            wait_for(&ports);
        }
    }
    let exit = exit.unwrap_or_else(|panic| panic::resume_unwind(panic))?;
    Ok(tell(&exit))
}

/// Tells of files of settings that were changed. A thread of its own: a home on
/// a network may make it wait.
fn watch(mut files: Files) -> std::io::Result<UnboundedReceiver<Loaded>> {
    /// How often they are looked at.
    const EVERY: Duration = Duration::from_secs(1);
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::Builder::new().name("settings".into()).spawn(move || {
        while !sender.is_closed() {
            thread::sleep(EVERY);
            if let Some(loaded) = files.changed() {
                // The screen may be gone; the loop sees that.
                let _ = sender.send(loaded);
            }
        }
    })?;
    Ok(receiver)
}

/// Which files of settings are read, and what is wrong in them.
fn said_of(loaded: &Loaded, places: &Places) -> String {
    let mut text = String::new();
    for origin in places.files() {
        let state = if loaded.read.contains(&origin.path) { "read" } else { "not there" };
        text.push_str(&format!("{state}: {}\n", origin.path.display()));
    }
    for problem in &loaded.problems {
        text.push_str(&format!("{problem}\n"));
    }
    text
}

/// Whether nobody has started the screen with this directory before; from now on
/// somebody has. Where that can't be written down, nobody is told the same again
/// and again.
fn is_first_start(state_dir: &Path) -> bool {
    let created = fs::create_dir_all(state_dir)
        .and_then(|()| fs::File::create_new(state_dir.join("welcomed")));
    created.is_ok()
}

/// Serves the ends for other programs.
fn serve(ports: Opened, started: &mut Started) -> anyhow::Result<Option<JoinHandle<()>>> {
    match started.heard.take() {
        Some(heard) => Ok(ports.serve(started.handle.weak(), heard)?),
        None => Ok(None),
    }
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
    let mut files = Files::new(Places::of_process(cli.config.clone()), checks::CHECKS);
    let loaded = files.load();
    let options = target.options(cli.options(&loaded.settings));
    let (mouse, tour, ports) = (!cli.no_mouse, tour::steps(), ports::open(&cli.ports())?);
    let code = run_screen(options, mouse, ports, commands, tour, (files, loaded))?;
    drop(guest);
    say("the demo guest has ended");
    Ok(code)
}

fn run_relay(cli: &Cli, options: &cli::Relay) -> anyhow::Result<ExitCode> {
    let options = relay::run::Options {
        from: options.from.clone(),
        to: options.to.clone(),
        record: cli.record.clone(),
    };
    let mut show = relay::show::Show::of_process();
    runtime()?.block_on(relay::run::run(options, &mut show))?;
    Ok(ExitCode::SUCCESS)
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
    commands.extend(script::of_lines(&cli.ex));
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
