//! Manual pages and completions, written from the one definition of the options. Only in a binary that
//! is built for it (the feature `documents`), which is not one to install.
//!
//! ```text
//!  spoa documents FOLDER      FOLDER/man/spoa.1 …
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
    let command = Args::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, &manual)?;
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        complete(shell, &completions, &mut Args::command())?;
    }
    Ok(())
}

fn complete(shell: Shell, folder: &Path, command: &mut Command) -> io::Result<()> {
    clap_complete::generate_to(shell, command, "spoa", folder).map(drop)
}
