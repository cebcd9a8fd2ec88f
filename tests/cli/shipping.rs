//! What packages carry beside the program: completions and the manual.

use std::collections::BTreeSet;
use std::process::Command;

use crate::autotune;

/// Subcommands, as the help lists them.
fn subcommands() -> BTreeSet<String> {
    let help = autotune(&["help"]).out;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| {
        line.split_whitespace()
            .next()
            .filter(|_| line.starts_with("  ") && !line.starts_with("   "))
    });
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_page_of_the_manual() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("share/man1");
    autotune(&["man", place.to_str().unwrap()]).done(&[]);
    let files = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap());
    let pages: BTreeSet<String> = files.map(|entry| entry.file_name().into_string().unwrap()).collect();
    let names = subcommands();
    assert!(
        names.len() > 10 && names.contains("init") && names.contains("man"),
        "{names:?}"
    );
    for name in names {
        assert!(pages.contains(&format!("autotune-{name}.1")), "{name}: {pages:?}");
    }
    for page in ["autotune.1", "autotune-trace-convert.1"] {
        assert!(pages.contains(page), "{pages:?}");
    }
    let page = std::fs::read_to_string(place.join("autotune-init.1")).unwrap();
    assert!(
        page.contains(&format!("\"autotune {}\"", env!("CARGO_PKG_VERSION"))),
        "{page}"
    );
    assert!(page.contains(".TH") && page.contains("\\-\\-events"), "{page}");
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    autotune(&["man", blocked.to_str().unwrap()]).refused(3, &["file"]);
}

#[test]
fn completions_know_every_command_and_shells_take_them() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, check) in [
        ("bash", Some("-n")),
        ("zsh", Some("-n")),
        ("fish", Some("-n")),
        ("elvish", None),
        ("powershell", None),
    ] {
        let told = autotune(&["completions", shell]);
        told.done(&[]);
        for name in subcommands() {
            assert!(told.out.contains(&name), "{shell}: {name}");
        }
        let script = folder.path().join(shell);
        std::fs::write(&script, told.out).unwrap();
        // Where the shell is there.
        if let Some(check) = check
            && let Ok(output) = Command::new(shell).arg(check).arg(&script).output()
        {
            assert!(
                output.status.success(),
                "{shell}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    autotune(&["completions", "cmd"]).refused(2, &["bash", "zsh", "fish"]);
}
