//! What a benchmark says: Markdown with tables, goals and a picture, printed and kept below `docs/bench`.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use audit_plugin_api::Timestamp;

use crate::{Places, machine, sizes};

/// One page below `docs/bench`.
pub struct Report {
    name: &'static str,
    text: String,
    goals: Vec<Goal>,
}

/// Columns and rows of text.
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// What the project set itself, and what was measured.
pub struct Goal {
    /// What is measured.
    pub what: String,
    /// What it must be, as text: `≤ 110 ns`.
    pub wanted: &'static str,
    /// What it is, as text; nothing where it could not be measured.
    pub measured: Option<String>,
    /// Whether that is enough.
    pub reached: bool,
}

impl Goal {
    /// Something that must not be more than `most`.
    pub fn at_most(
        what: &str,
        wanted: &'static str,
        most: f64,
        measured: Option<f64>,
        show: fn(f64) -> String,
    ) -> Self {
        let reached = measured.is_some_and(|measured| measured <= most);
        Self { what: what.to_owned(), wanted, measured: measured.map(show), reached }
    }

    /// Something that must not be less than `least`.
    pub fn at_least(
        what: &str,
        wanted: &'static str,
        least: f64,
        measured: Option<f64>,
        show: fn(f64) -> String,
    ) -> Self {
        let reached = measured.is_some_and(|measured| measured >= least);
        Self { what: what.to_owned(), wanted, measured: measured.map(show), reached }
    }
}

impl Table {
    /// An empty table.
    pub fn new<'a>(columns: impl IntoIterator<Item = &'a str>) -> Self {
        Self { columns: columns.into_iter().map(str::to_owned).collect(), rows: Vec::new() }
    }

    /// Adds a row; a short one is filled up with dashes.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        cells.resize(self.columns.len(), "–".to_owned());
        self.rows.push(cells);
    }

    fn to_markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> =
            (0..self.columns.len()).map(|column| if column == 0 { "---" } else { "---:" }.into()).collect();
        self.rows.iter().fold(line(&self.columns) + &line(&rule), |text, row| text + &line(row))
    }
}

impl Report {
    /// A page, with the date and the machine at the head.
    pub fn new(name: &'static str, title: &str) -> Self {
        let now = Timestamp::now().to_string();
        let (date, time) = (&now[..10], &now[11..16]);
        let text =
            format!("# {title}\n\nMade by `bench/run {name}` on {date} {time}, {}.\n\n", machine::describe());
        Self { name, text, goals: Vec::new() }
    }

    /// Says how much is measured, and where to.
    pub fn say_rounds(&mut self, rounds: usize) {
        let (scale, places) = (sizes::scale(), Places::new());
        let root = places.file("");
        let shown = |folder: PathBuf| folder.strip_prefix(&root).unwrap_or(&folder).display().to_string();
        self.say(&format!(
            "Rounds: {rounds}, of {scale} times the usual size. Events are written to `{}`; what must be durable, to `{}`.",
            shown(places.output()),
            shown(places.disk())
        ));
    }

    /// Adds a paragraph.
    pub fn say(&mut self, text: &str) {
        let _ = writeln!(self.text, "{text}\n");
    }

    /// Adds a table under a heading.
    pub fn table(&mut self, heading: &str, table: &Table) {
        let _ = writeln!(self.text, "## {heading}\n\n{}", table.to_markdown());
    }

    /// Adds a goal; all of them stand at the end.
    pub fn goal(&mut self, goal: Goal) {
        self.goals.push(goal);
    }

    /// Adds a picture, which `draw` writes to the path that it gets.
    pub fn picture(
        &mut self,
        name: &str,
        what: &str,
        draw: impl FnOnce(&std::path::Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let docs = Places::new().docs();
        fs::create_dir_all(&docs)?;
        draw(&docs.join(format!("{name}.svg")))?;
        let _ = writeln!(self.text, "![{what}]({name}.svg)\n");
        Ok(())
    }

    /// Prints the page, and writes it to `docs/bench`.
    pub fn write(mut self) -> io::Result<()> {
        if !self.goals.is_empty() {
            let mut table = Table::new(["goal", "wanted", "measured", ""]);
            for goal in &self.goals {
                let verdict = match (&goal.measured, goal.reached) {
                    (None, _) => "not measured",
                    (Some(_), true) => "reached",
                    (Some(_), false) => "**missed**",
                };
                let measured = goal.measured.clone().unwrap_or_else(|| "–".into());
                table.row([goal.what.clone(), goal.wanted.to_owned(), measured, verdict.to_owned()]);
            }
            self.table("Goals", &table);
        }
        let text = format!("{}\n", self.text.trim_end());
        print!("{text}");
        let docs = Places::new().docs();
        fs::create_dir_all(&docs)?;
        fs::write(docs.join(format!("{}.md", self.name)), text)
    }
}

/// A duration for a table.
pub fn nanos(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1_000.0 => format!("{ns:.0} ns"),
        ns if ns < 1_000_000.0 => format!("{:.1} µs", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}

/// A large number for a table.
pub fn count(number: f64) -> String {
    match number {
        number if number >= 9_995_000.0 => format!("{:.0} M", number / 1e6),
        number if number >= 999_500.0 => format!("{:.2} M", number / 1e6),
        number if number >= 1_000.0 => format!("{:.0} k", number / 1e3),
        number => format!("{number:.0}"),
    }
}

/// A small number, with two digits behind the point.
pub fn decimal(number: f64) -> String {
    format!("{number:.2}")
}

/// So many producers, for a table.
pub fn spell_producers(count: u64) -> String {
    if count == 1 { "1 producer".to_owned() } else { format!("{count} producers") }
}
