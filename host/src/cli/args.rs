//! What was typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use tracing_subscriber::filter::LevelFilter;

const AFTER_RUN: &str = "\
Exit status: 0 all accepted events were delivered (or, after a signal, kept in the spool) and nothing was rejected; 1 anything was rejected, dropped, \
dead-lettered, undelivered or unreadable; 2 the configuration, a plugin, or the opening of a sink or an input failed, \
before any event was taken.

Signals: SIGTERM and SIGINT stop reading, and drain within shutdown_timeout; a second one ends at once. SIGHUP makes the \
sinks reopen their files. SIGUSR1 prints the summary line now.

At the end of the input the sinks are waited for as long as they settle events; when nothing was settled for \
shutdown_timeout, what is left stays in the spool (spool_dir), or is dead-lettered where there is none.

With spool_dir, what an earlier run left in the spool is delivered first, and the summary goes on with spooled=N (left in \
the spool) and recovered=N (found in it).

Rejected lines are kept in rejected_path as {\"input\", \"line\", \"reason\", \"text\"}, with the exact bytes as \"hex\" where a \
line is not UTF-8.";

const AFTER_REPLAY: &str = "\
A dead letter is marked as replayed when its sink has delivered its event and made it durable. One that fails again stays \
what it is. One replay runs at a time. A replay that is killed sends those again that were not marked yet, with the same \
event_id.

Exit status: 0 all were delivered; 1 some were not; 2 an id is unknown, or the configuration, a plugin or a sink cannot be \
used, and nothing was sent.";

const AFTER_STATUS: &str = "\
Exit status: 0 all of it could be read, be it damaged or not; 2 something could not, and is not in what is said, or the \
configuration cannot be used.";

const AFTER_VERIFY: &str = "\
What a living process is writing meanwhile may look unfinished at its end, which is no damage.

Exit status: 0 the spool is sound; 2 something in it is damaged or cannot be read, or the configuration cannot be used.";

const AFTER_DRAIN: &str = "\
The spool is that of the configuration that --config names. Every sink of the other configuration gets every event, whatever \
sinks it was for, in order and with the same event_id; what they have settled is deleted from the spool. What belongs to a \
process that is alive is left alone.

Exit status: 0 everything was delivered (or, after a signal, stayed in the spool); 1 anything was dead-lettered, dropped, \
damaged or stayed in the spool; 2 nothing was sent: a configuration, a plugin, a sink or the spool cannot be used, or every \
process is alive.";

/// Delivers permission audit events to sinks that are loaded at run time.
#[derive(Debug, Parser)]
#[command(name = "audit-host", version = version(), arg_required_else_help = true, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The configuration [default: $AUDIT_CONFIG, else ./audit.toml]
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// A folder of plugins, searched before those of the configuration; may be given several times
    #[arg(long = "plugin-dir", global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub plugin_dirs: Vec<PathBuf>,
    /// What is logged on standard error
    #[arg(long, global = true, value_enum, value_name = "LEVEL", default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
    /// The form of everything that goes to standard error
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deliver events to the configured sinks: one JSON object a line, from files or standard input
    #[command(after_long_help = AFTER_RUN)]
    Run(Run),
    /// Check all that `run` would check, without taking an event or opening a sink
    Check(Check),
    /// See which sink classes there are; no plugin code is run
    #[command(subcommand)]
    Plugins(Plugins),
    /// See what was given up on and why, and send it again
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// See what waits in the crash-safe buffer, check it, and deliver it elsewhere
    #[command(subcommand)]
    Spool(Spool),
    /// Print the JSON Schema of audit.toml, for editors
    Schema(Schema),
    /// Print completions for a shell
    Completions(Completions),
    /// Print the manual page
    Man,
}

#[derive(Debug, Args)]
pub struct Run {
    /// Files of events; `-` is standard input, which is also read where no file is named
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Take times without a UTC offset as UTC
    #[arg(long)]
    pub assume_utc: bool,
    /// Stop at the first line that is rejected
    #[arg(long)]
    pub strict: bool,
    /// The form of the summary
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub summary: Format,
}

#[derive(Debug, Args)]
pub struct Check {
    /// Open, probe and close the sinks, too
    #[arg(long)]
    pub probe: bool,
    #[command(flatten)]
    pub answer: Answer,
}

#[derive(Debug, Subcommand)]
pub enum Plugins {
    /// List every candidate in the plugin folders: classes, versions, options, verdict
    List(Answer),
    /// Check one file, and show what it says about itself
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// The plugin
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    #[command(flatten)]
    pub answer: Answer,
}

#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List what was given up on and why
    List(List),
    /// Show one dead letter, with its event
    Show(Show),
    /// Send dead letters again, each to its own sink only, and mark those that were delivered
    #[command(after_long_help = AFTER_REPLAY)]
    Replay(Replay),
}

#[derive(Debug, Args)]
pub struct List {
    /// Those that were replayed, too
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub answer: Answer,
}

#[derive(Debug, Args)]
pub struct Show {
    /// The id of the dead letter
    pub id: String,
    #[command(flatten)]
    pub answer: Answer,
}

#[derive(Debug, Args)]
pub struct Replay {
    /// The ids of the dead letters; all that were not replayed where none is named
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub answer: Answer,
}

#[derive(Debug, Subcommand)]
pub enum Spool {
    /// See what waits for each sink, how old it is, what is damaged, and which processes are alive
    #[command(after_long_help = AFTER_STATUS)]
    Status(Answer),
    /// Read everything, check every checksum, and list what is damaged; nothing is changed
    #[command(after_long_help = AFTER_VERIFY)]
    Verify(Answer),
    /// Deliver what processes left that are gone to the sinks of another configuration
    #[command(after_long_help = AFTER_DRAIN)]
    Drain(Drain),
}

#[derive(Debug, Args)]
pub struct Drain {
    /// The configuration whose sinks get the events
    #[arg(long, value_name = "CONFIG", value_hint = ValueHint::FilePath)]
    pub to: PathBuf,
    /// The form of the summary
    #[arg(long, visible_alias = "summary", value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Schema {
    /// The form of the answer, which is JSON in any case
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Json)]
    format: Format,
}

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct Answer {
    /// The form of the answer
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub format: Format,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

fn version() -> String {
    format!("{} (plugin api {})", env!("CARGO_PKG_VERSION"), audit_plugin_api::API_VERSION)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_of_every_command_may_stand_behind_it() {
        let parsed = Arguments::try_parse_from([
            "audit-host",
            "--plugin-dir",
            "a",
            "dead-letters",
            "list",
            "--config",
            "x.toml",
            "--log-format",
            "json",
        ]);
        let global = parsed.expect("valid").global;
        assert_eq!(global.config, Some("x.toml".into()));
        assert_eq!((global.plugin_dirs, global.log_format), (vec![PathBuf::from("a")], LogFormat::Json));
    }
}
