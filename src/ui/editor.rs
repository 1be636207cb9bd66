//! The user's editor: what is run, and how it is told the line.

use std::{ffi::OsString, path::Path, process::Command};

/// Editors that take `FILE:LINE`.
const COLON: &[&str] = &["hx", "helix", "zed", "zeditor", "subl", "sublime_text"];
/// Editors that take it after `-g`.
const GOTO: &[&str] = &["code", "code-insiders", "codium", "vscodium", "cursor"];
/// Editors that take `--line LINE FILE`.
const LINE: &[&str] = &["idea", "clion", "rustrover", "kate"];

/// The editor's command: `$VISUAL`, else `$EDITOR`, else vi.
pub fn named() -> String {
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into())
}

/// What runs an editor on a line of a file. The command may have words of its
/// own and quotes, so it goes through the shell, as git does it.
pub fn command(editor: &str, path: &Path, line: u32) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$@\"")).arg("sh").args(place(editor, path, line));
    command
}

/// File and line as an editor takes them.
fn place(editor: &str, path: &Path, line: u32) -> Vec<OsString> {
    let word = editor.split_whitespace().next().unwrap_or_default();
    let name = word.rsplit('/').next().unwrap_or_default();
    let colon = || {
        let mut text = path.as_os_str().to_owned();
        text.push(format!(":{line}"));
        text
    };
    let path = || path.as_os_str().to_owned();
    match name {
        _ if COLON.contains(&name) => vec![colon()],
        _ if GOTO.contains(&name) => vec!["-g".into(), colon()],
        _ if LINE.contains(&name) => vec!["--line".into(), line.to_string().into(), path()],
        // vi and all like it, nano, emacs, micro, kak, joe, mg.
        _ => vec![format!("+{line}").into(), path()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(editor: &str) -> Vec<String> {
        let command = command(editor, Path::new("/src/a b.c"), 12);
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn editors_are_told_the_line_each_in_its_way() {
        assert_eq!(words("vi"), ["-c", "vi \"$@\"", "sh", "+12", "/src/a b.c"]);
        assert_eq!(words("emacsclient -t")[3..], ["+12", "/src/a b.c"]);
        assert_eq!(words("/usr/bin/hx")[3..], ["/src/a b.c:12"]);
        assert_eq!(words("code --wait")[3..], ["-g", "/src/a b.c:12"]);
        assert_eq!(words("clion")[3..], ["--line", "12", "/src/a b.c"]);
    }

    #[test]
    fn the_shell_keeps_the_editors_own_words() {
        let dir = tempfile::tempdir().expect("a directory");
        let out = dir.path().join("out");
        let editor = format!("printf '%s|' 'one word' >'{}'", out.display());
        let status = command(&editor, Path::new("/src/a b.c"), 7).status().expect("sh runs");
        assert!(status.success());
        let text = std::fs::read_to_string(out).expect("it was written");
        assert_eq!(text, "one word|+7|/src/a b.c|");
    }
}
