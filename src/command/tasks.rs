//! CPUs, tasks and their stacks as text.

use super::render;
use crate::base::text;
use crate::session::answer::{NamedTask, StackAnswer, StacksAnswer, TasksAnswer};
use crate::session::view::{CpuView, FrameView};
use crate::session::wants::{SubjectView, TaskView};
use std::fmt::Write;

/// Tasks of one stack that are named.
const MOST_NAMED: usize = 12;

/// One CPU in one line.
pub fn cpu(c: &CpuView) -> String {
    let mark = if c.current { '*' } else { ' ' };
    let task = match (&c.comm, c.pid) {
        (Some(comm), Some(pid)) => format!("pid {pid} {}", text::printable(comm)),
        _ => "unknown task".into(),
    };
    let at = c.pc.map_or(String::new(), |pc| {
        format!("  {} in {}", pc, c.function.as_deref().unwrap_or("??"))
    });
    let sp = c.sp.map_or(String::new(), |sp| format!(", sp {sp}"));
    format!("{mark} CPU {}  {task}  {}{at}{sp}", c.cpu, c.doing)
}

/// Whose stack is shown, and where.
pub fn subject(subject: &SubjectView, frame: &FrameView) -> String {
    let who = match (&subject.comm, subject.pid) {
        (Some(comm), Some(pid)) => format!("pid {pid} {}", text::printable(comm)),
        _ => "an unknown task".into(),
    };
    let cpu = match subject.cpu.filter(|_| !subject.doing.contains("CPU")) {
        Some(cpu) if subject.stopped_here => format!(" on CPU {cpu}"),
        Some(cpu) => format!(", last on CPU {cpu}"),
        None => String::new(),
    };
    format!("{who}: {}{cpu}\n{}", subject.doing, render::frame(frame))
}

/// A table of tasks.
pub fn tasks(answer: &TasksAnswer) -> String {
    let mut out = Vec::new();
    if !answer.tasks.is_empty() {
        let heading = "    PID   PPID CPU STATE        NAME                 WAITS IN";
        out.push(heading.to_string());
    }
    out.extend(answer.tasks.iter().map(task));
    let shown = counted(answer.tasks.len(), "task");
    let of = match answer.total {
        Some(total) if total as usize != answer.tasks.len() => format!(" of {total}"),
        _ => String::new(),
    };
    let more = if answer.complete { "" } else { "; interrupted before the end" };
    out.push(format!("{shown}{of}{more}"));
    out.extend(answer.troubles.iter().cloned());
    out.join("\n")
}

fn task(task: &TaskView) -> String {
    let mark = if task.on_cpu { '*' } else { ' ' };
    let parent = task.parent.map_or("?".into(), |parent| parent.to_string());
    let cpu = task.cpu.map_or("?".into(), |cpu| cpu.to_string());
    let name = text::printable(&task.comm);
    // As ps(1) has it.
    let name = if task.kernel { format!("[{name}]") } else { name };
    let name = if task.thread { format!("  {name}") } else { name };
    let module = task.wait_module.as_ref().map_or(String::new(), |module| format!(" [{module}]"));
    let wait = task.wait.as_deref().unwrap_or_default();
    let words = task.cmdline.as_ref().map_or(String::new(), |words| format!("  {words}"));
    let (pid, state) = (task.pid, &task.state);
    let line =
        format!("{mark}{pid:>6} {parent:>6} {cpu:>3} {state:<12} {name:<20} {wait}{module}{words}");
    line.trim_end().to_string()
}

fn counted(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// Stacks, each with the tasks that have it.
pub fn stacks(answer: &StacksAnswer) -> String {
    let mut out: Vec<String> = answer.stacks.iter().map(stack).collect();
    for none in &answer.without {
        out.push(format!("{}: no stack, {}", named(&none.task), none.why));
    }
    let count = answer.stacks.iter().map(|stack| stack.count).sum();
    let more = if answer.complete { "" } else { "; interrupted before the end" };
    let kinds = counted(answer.stacks.len(), "stack");
    out.push(format!("{} with {kinds}{more}", counted(count, "task")));
    out.extend(answer.troubles.iter().cloned());
    out.join("\n")
}

fn stack(stack: &StackAnswer) -> String {
    let mut out = match &stack.tasks[..] {
        [task] => named(task),
        tasks => {
            let mut names: Vec<_> = tasks.iter().take(MOST_NAMED).map(named).collect();
            if tasks.len() > MOST_NAMED {
                names.push("…".into());
            }
            format!("{} tasks: {}", stack.count, names.join(", "))
        }
    };
    for frame in &stack.frames {
        let function = frame.function.as_deref().unwrap_or("??");
        let _ = write!(out, "\n  #{:<2} {function}", frame.level);
        match (&frame.file, frame.line) {
            (Some(file), Some(line)) => {
                let _ = write!(out, " at {file}:{line}");
            }
            _ => {
                let _ = write!(out, " at {}", frame.pc);
            }
        }
        if let Some(module) = &frame.module {
            let _ = write!(out, " [{module}]");
        }
        if frame.inlined {
            out.push_str(" (inlined)");
        }
        if frame.kind != "normal" {
            let _ = write!(out, " <{}>", frame.kind);
        }
    }
    let mark = if stack.complete { "" } else { "(incomplete) " };
    let _ = write!(out, "\n  {mark}{}\n", stack.end);
    out
}

/// `kworker/0:1 (12) idle`.
fn named(task: &NamedTask) -> String {
    match task.pid {
        0 => text::printable(&task.comm),
        pid => format!("{} ({pid}) {}", text::printable(&task.comm), task.state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_tasks_marks_what_runs_and_kernel_threads() {
        let kernel = TaskView {
            pid: 12,
            tgid: 12,
            comm: "kworker/0:1".into(),
            state: "idle".into(),
            cpu: Some(0),
            kernel: true,
            parent: Some(2),
            wait: Some("worker_thread".into()),
            wait_module: None,
            ..TaskView::default()
        };
        let runs = TaskView { on_cpu: true, kernel: false, wait: None, ..kernel.clone() };
        let answer = TasksAnswer {
            tasks: vec![kernel, runs],
            total: Some(61),
            complete: false,
            troubles: vec!["the list is damaged".into()],
        };
        let want = "    PID   PPID CPU STATE        NAME                 WAITS IN
     12      2   0 idle         [kworker/0:1]        worker_thread
*    12      2   0 idle         kworker/0:1
2 tasks of 61; interrupted before the end
the list is damaged";
        assert_eq!(tasks(&answer), want);
    }
}
