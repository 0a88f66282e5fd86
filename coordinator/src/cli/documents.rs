//! What shells and `man` know of the command line: made from its own definition, so they never say anything else.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Console};

/// `dpow completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// For which shell
    shell: Shell,
}

/// `dpow man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder for the pages; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Completions {
    /// Prints the script that makes a shell complete commands and flags.
    pub(super) fn run(&self, console: &Console) {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "dpow", &mut script);
        console.line(String::from_utf8_lossy(&script).trim_end());
    }
}

impl Man {
    /// Writes a page for each command.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub(super) fn run(&self, console: &Console) -> anyhow::Result<()> {
        let count = write_pages(&self.out)
            .with_context(|| format!("the pages cannot be written to {}", self.out.display()))?;
        console.line(&format!("{count} pages in {}", self.out.display()));
        Ok(())
    }
}

fn write_pages(folder: &Path) -> std::io::Result<usize> {
    fs::create_dir_all(folder)?;
    // `dpow help service add` prints what `dpow service add --help` does: it needs no page of its own.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    write_page(folder, &command)
}

/// Writes the page of a command, and those of the commands below it.
fn write_page(folder: &Path, command: &clap::Command) -> std::io::Result<usize> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let page = clap_mangen::Man::new(command.clone()).manual("DPoW");
    let mut text = Vec::new();
    page.render(&mut text)?;
    fs::write(folder.join(format!("{name}.1")), text)?;
    let mut count = 1;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        count += write_page(folder, below)?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// The words of a line, those in quotation marks as one.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('"').enumerate();
        let words = parts.flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().map(String::from).collect(),
            _ => vec![part.to_owned()],
        });
        words.collect()
    }

    #[test]
    fn the_commands_in_the_documents_are_commands() {
        let operating = include_str!("../../../docs/operating.md").lines().filter_map(|line| {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            line.starts_with("dpow ").then_some(line)
        });
        let (_, readme) = include_str!("../../../README.md").split_once("## Run a network").unwrap();
        let readme = readme.lines().filter(|line| line.starts_with("dpow "));
        let mut checked = 0;
        for line in operating.chain(readme) {
            let command = line.split(['#', '>']).next().unwrap_or(line);
            if let Err(error) = Cli::command().try_get_matches_from(words(command)) {
                panic!("{line}: {error}");
            }
            checked += 1;
        }
        assert!(checked > 25, "only {checked} commands were looked at");
    }
}
