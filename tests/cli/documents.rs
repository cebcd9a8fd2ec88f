//! What README and the pages of docs/ and deploy/ say can be done, is done as it stands there: every block of commands is run, every
//! test that is named is there, every link leads somewhere.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Stands in for the program in the blocks. Ends a demo early, starts a daemon beside the block instead of in its way, and knows the exit
/// codes that say something.
const AUTOTUNE: &str = r#"#!/bin/sh
case "$1" in
    demo) exec "$PROGRAM" "$@" --for 2s --speed 600 ;;
    run)
        # The one of an earlier block goes first: it has the journal and the address.
        if [ -e running ]; then
            kill -TERM "$(cat running)"
            # What has ended may stand in the list of processes for as long as nobody has asked after it.
            tries=0
            while kill -0 "$(cat running)" 2>/dev/null && [ $tries -lt 100 ]; do
                tries=$((tries + 1))
                sleep 0.1
            done
        fi
        "$PROGRAM" "$@" >>run.log 2>&1 &
        echo $! >running
        echo $! >>started
        tries=0
        until "$PROGRAM" status >/dev/null 2>&1; do
            tries=$((tries + 1))
            [ $tries -lt 600 ] && kill -0 "$(cat running)" || { cat run.log >&2; exit 1; }
            sleep 0.1
        done ;;
    plan) "$PROGRAM" "$@" || [ $? -eq 2 ] ;;
    check) "$PROGRAM" "$@" || [ $? -eq 1 ] ;;
    sandbox)
        echo $$ >>started
        exec "$PROGRAM" "$@" ;;
    *) exec "$PROGRAM" "$@" ;;
esac
"#;

/// Stands in for cargo: the program is built already, as whoever runs this has built it.
const CARGO: &str = r#"#!/bin/sh
case "$1" in
    run)
        while [ "$1" != -- ]; do shift; done
        shift
        exec autotune "$@" ;;
    install) [ "$*" = "install --path ." ] ;;
    *) echo "cargo $*: not known here" >&2; exit 1 ;;
esac
"#;

/// What looks at an account.
const OF_ACCOUNTS: [&str; 11] = [
    "check",
    "explain",
    "init --events",
    "init --policy",
    "override",
    "plan",
    "record",
    "release",
    "run",
    "sandbox",
    "status",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README, what is below docs/ and deploy/, and the map of the code.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("src/ARCHITECTURE.md")];
    let mut folders = vec![root().join("docs"), root().join("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// The blocks of a page in a language, in their order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut inside = None;
    for line in page.lines() {
        match (line.trim_start().strip_prefix("```"), &mut inside) {
            (Some(_), Some(_)) => blocks.extend(inside.take().filter(|(of, _)| of == language)),
            (Some(of), None) => inside = Some((of.to_owned(), String::new())),
            (None, Some((_, text))) => text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(inside.is_none(), "a block does not end");
    blocks.into_iter().map(|(_, text)| text).collect()
}

/// A folder in which the commands of a page find what they find in the tree, and write what they write beside it.
struct Place {
    folder: TempDir,
    address: String,
}

impl Place {
    fn of(page: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tests", "policies", "deploy", "docs"] {
            symlink(root().join(name), folder.path().join(name)).unwrap();
        }
        let programs = folder.path().join("bin");
        fs::create_dir(&programs).unwrap();
        for (name, text) in [("autotune", AUTOTUNE), ("cargo", CARGO)] {
            let path = programs.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for text in blocks(page, "toml") {
            if let Some(name) = text.lines().next().and_then(|line| line.strip_prefix("# ")) {
                fs::write(folder.path().join(name), &text).unwrap();
            }
        }
        // A page that takes its settings for granted has those of README.
        if !folder.path().join("autotune.toml").exists() {
            fs::write(folder.path().join("autotune.toml"), "region = \"eu-central-1\"\n").unwrap();
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self { folder, address }
    }

    /// Runs a block as it stands, but for the address of the daemon, which may be taken on this machine.
    fn run(&self, block: &str, variables: &[(String, String)]) -> Result<(), String> {
        let program = assert_cmd::cargo::cargo_bin("autotune");
        // Into a file: what a block leaves running would keep a pipe open.
        let told = self.folder.path().join("told");
        let file = fs::File::create(&told).unwrap();
        let status = Command::new("sh")
            .args(["-eu", "-c"])
            .arg(format!(
                "PATH=\"$PWD/bin:$PATH\"\n{}",
                block.replace("127.0.0.1:9464", &self.address)
            ))
            .current_dir(self.folder.path())
            .env("PROGRAM", program)
            .env("AUTOTUNE__LISTEN", &self.address)
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .status()
            .unwrap();
        if status.success() {
            return Ok(());
        }
        Err(format!("{block}\n{}", fs::read_to_string(told).unwrap()))
    }
}

impl Drop for Place {
    /// What the blocks have started ends with them.
    fn drop(&mut self) {
        let started = fs::read_to_string(self.folder.path().join("started")).unwrap_or_default();
        for id in started.lines() {
            let _ = Command::new("kill").args(["-TERM", id]).status();
        }
    }
}

fn is_of_accounts(block: &str) -> bool {
    OF_ACCOUNTS
        .iter()
        .any(|command| block.contains(&format!("autotune {command}")))
}

/// Runs the blocks of every page that need no account; or all of those pages that have one that does. How many.
fn run_all(of_accounts: bool, variables: &[(String, String)]) -> usize {
    let mut run = 0;
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        let mut blocks = blocks(&page, "sh");
        // That is what runs this.
        blocks.retain(|block| block.trim() != "tests/run");
        if !of_accounts {
            blocks.retain(|block| !is_of_accounts(block));
        } else if !blocks.iter().any(|block| is_of_accounts(block)) {
            continue;
        } else if !page.contains("autotune run ") {
            // The page takes a daemon for granted.
            blocks.insert(0, "autotune run".to_owned());
        }
        let place = Place::of(&page);
        for block in blocks {
            let ended = place.run(&block, variables);
            assert!(ended.is_ok(), "{}:\n{}", path.display(), ended.unwrap_err());
            run += 1;
        }
    }
    run
}

#[test]
fn every_command_of_the_pages_that_needs_no_account_works() {
    assert!(run_all(false, &[]) > 6);
}

/// Over a simulated account, as far as the program can reach one.
#[cfg(feature = "aws")]
#[test]
fn every_command_of_the_pages_that_looks_at_an_account_works() {
    use std::io::{BufRead as _, BufReader};

    let program = assert_cmd::cargo::cargo_bin("autotune");
    let mut sandbox = Command::new(program)
        .args(["sandbox", "--scenario", "on-demand-500", "--speed", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(sandbox.stdout.take().unwrap()).lines();
    let variables = lines.map_while(Result::ok).filter_map(|line| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let mut found = Vec::new();
    for variable in variables {
        let last = variable.0 == "AUTOTUNE_SANDBOX_TOKEN";
        found.push(variable);
        if last {
            break;
        }
    }
    let ended = std::panic::catch_unwind(|| run_all(true, &found));
    sandbox.kill().unwrap();
    sandbox.wait().unwrap();
    assert!(ended.unwrap() > 3);
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let mut code = String::new();
    let mut folders = vec![root().join("src"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                code += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let named = readme.split('`').filter(|word| {
        word.matches('_').count() > 3
            && word
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || "_0123456789".contains(letter))
    });
    let mut count = 0;
    for name in named {
        assert!(code.contains(&format!("fn {name}()")), "no test `{name}`");
        count += 1;
    }
    assert!(count > 12);
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        for (at, _) in page.match_indices("](") {
            let Some(end) = page[at..].find(')') else { continue };
            let link = &page[at + 2..at + end];
            let Some(file) = link
                .split('#')
                .next()
                .filter(|file| !file.is_empty() && !file.contains("://"))
            else {
                continue;
            };
            let there = path.parent().unwrap().join(file);
            assert!(there.exists(), "{}: {link}", path.display());
        }
    }
}
