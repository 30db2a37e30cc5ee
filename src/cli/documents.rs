//! Manual pages and completions, written from the one definition of the options. Only in a binary that
//! is built for it (the feature `documents`), which is not one to install.
//!
//! ```text
//!  spoa documents FOLDER      FOLDER/man/spoa.8 …
//!                             FOLDER/completions/spoa.bash, _spoa, spoa.fish
//! ```

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use super::args::Args;

/// The folder, if the command line asks for documents.
pub(crate) fn wanted() -> Option<PathBuf> {
    let mut words = env::args_os().skip(1);
    let asked = words.next()? == *"documents";
    words.next().filter(|_| asked).map(PathBuf::from)
}

/// Writes all of them.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    let manual = folder.join("man");
    fs::create_dir_all(&manual)?;
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    manuals(&command, &manual)?;
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        complete(shell, &completions, &mut Args::command())?;
    }
    Ok(())
}

/// Writes the page of a command and of each below it. Section 8, as the daemon is in /usr/sbin.
fn manuals(command: &Command, folder: &Path) -> io::Result<()> {
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        manuals(below, folder)?;
    }
    let page = clap_mangen::Man::new(command.clone()).section("8");
    page.generate_to(folder).map(drop)
}

fn complete(shell: Shell, folder: &Path, command: &mut Command) -> io::Result<()> {
    clap_complete::generate_to(shell, command, "spoa", folder).map(drop)
}
