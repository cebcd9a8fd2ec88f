//! `autotune completions` and `autotune man`: what packages carry beside the program.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::account::failure;
use super::{ExitStatus, Failed, print};
use crate::files::Partial;

/// Print what a shell completes `autotune` with.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  autotune completions bash > ~/.local/share/bash-completion/completions/autotune
  autotune completions zsh > ~/.zfunc/_autotune
  autotune completions fish > ~/.config/fish/completions/autotune.fish")]
pub(super) struct Completions {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the manual: one page for each command.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  autotune man ~/.local/share/man/man1")]
pub(super) struct Manual {
    /// The folder to write to; made if it is not there. Pages in it are overwritten.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn completions(arguments: &Completions) -> ExitStatus {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "autotune", &mut text);
    print(&String::from_utf8_lossy(&text));
    ExitStatus::Done
}

pub(super) fn manual(arguments: &Manual) -> Result<ExitStatus, Failed> {
    let mut command = super::Arguments::command().disable_help_subcommand(true);
    command.build();
    let failed = |path: &Path, error: &std::io::Error| failure(format!("{}: {error}", path.display()));
    std::fs::create_dir_all(&arguments.folder).map_err(|error| failed(&arguments.folder, &error))?;
    for (name, page) in pages(command).map_err(|error| failure(error.to_string()))? {
        let path = arguments.folder.join(name);
        let write = || {
            let mut file = Partial::create(&path)?;
            file.write_all(&page)?;
            file.finish()
        };
        write().map_err(|error| failed(&path, &error))?;
    }
    Ok(ExitStatus::Done)
}

/// The page of a command and those of its subcommands, each with the name of its file.
fn pages(command: clap::Command) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    for subcommand in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        all.extend(pages(subcommand.clone())?);
    }
    let man = Man::new(command)
        .source(concat!("autotune ", env!("CARGO_PKG_VERSION")))
        .manual("autotune");
    let mut page = Vec::new();
    man.render(&mut page)?;
    all.push((man.get_filename(), page));
    Ok(all)
}
