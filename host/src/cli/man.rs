//! `man`: one manual page, with a section for each command.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_mangen::Man;

use super::answer::print;
use super::args::Arguments;
use super::exit::Exit;
use super::failure::Failure;

const ENVIRONMENT_AND_FILES: &str = r"
.SH ENVIRONMENT
.TP
AUDIT_CONFIG
The configuration where no \-\-config is given
.SH FILES
.TP
\&./audit.toml
The configuration where neither names one
.TP
dead\-letters.ndjson
What was given up on, beside the configuration, unless dead_letter_path names another file
.TP
rejected.ndjson
Input lines that are no events, beside the configuration, unless rejected_path names another file
";

/// Prints the manual page.
pub fn man() -> Result<Exit, Failure> {
    let page = page().map_err(|error| Failure::new(format!("the manual page cannot be made: {error}")))?;
    print(&page)?;
    Ok(Exit::Complete)
}

fn page() -> io::Result<String> {
    let mut root = Arguments::command().disable_help_subcommand(true);
    root.build();
    let mut page = Vec::new();
    Man::new(root.clone()).render(&mut page)?;
    write_commands(&root, &mut page)?;
    page.write_all(ENVIRONMENT_AND_FILES.trim_start().as_bytes())?;
    // The generator refers to a page for each command; here they are sections of this one.
    Ok(String::from_utf8_lossy(&page).replace("(1)\n", "\n"))
}

fn write_commands(parent: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    for command in parent.get_subcommands() {
        let name = command.get_bin_name().unwrap_or(command.get_name());
        writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
        // Its headings, one level lower.
        let mut section = Vec::new();
        let own = command.clone().mut_args(|arg| {
            let is_global = arg.is_global_set();
            arg.hide(is_global)
        });
        let man = Man::new(own);
        man.render_synopsis_section(&mut section)?;
        man.render_description_section(&mut section)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut section)?;
        } else {
            man.render_options_section(&mut section)?;
        }
        if command.get_after_long_help().is_some() {
            man.render_extra_section(&mut section)?;
        }
        page.write_all(
            String::from_utf8_lossy(&section)
                .replace(".SH EXTRA", ".SH NOTES")
                .replace(".SH ", ".SS ")
                .as_bytes(),
        )?;
        write_commands(command, page)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_section() {
        let page = page().expect("written to memory");
        for command in ["RUN", "CHECK", "PLUGINS INSPECT", "DEAD\\-LETTERS REPLAY", "COMPLETIONS"] {
            let plain = command.replace("\\-", "-");
            assert!(page.contains(&format!(".SH \"AUDIT-HOST {plain}\"")), "{plain}");
        }
        assert!(page.contains("\\-\\-strict"));
        assert!(page.contains(".SS NOTES") && !page.contains("EXTRA"), "{page}");
        assert!(!page.contains("\\-help\n"), "there is no section on `help`: {page}");
        assert!(!page.contains("run(1)") && page.contains("AUDIT_CONFIG\n"), "{page}");
    }
}
