//! Several contenders in turn, round after round.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Case, Checked, Outcome, Places, check_lines};

/// Who takes part.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// As it stands in the table.
    pub name: String,
    /// The program and its first arguments, or why it cannot be had.
    pub program: Result<Vec<PathBuf>, String>,
    /// What it is to do; `out` is filled in.
    pub case: Case,
    /// How many lines its file must hold, if it writes one.
    pub lines: Option<u64>,
}

impl Entrant {
    /// One that this program runs itself, and that writes a line for each event.
    pub fn own(name: &str, case: Case) -> Self {
        let program = env::current_exe().expect("a program knows its own path");
        let lines = Some(case.events());
        Self { name: name.to_owned(), program: Ok(vec![program, "case".into()]), case, lines }
    }

    /// The same, but writing no file.
    pub fn without_file(mut self) -> Self {
        self.lines = None;
        self
    }

    /// The same, run by another program.
    pub fn program(mut self, program: Result<Vec<PathBuf>, String>) -> Self {
        self.program = program;
        self
    }

    fn run(&self, folder: &Path) -> Result<(Outcome, Checked), String> {
        let program = self.program.clone()?;
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        // What others have left to be written is not to be written meanwhile.
        nix::unistd::sync();
        let case = self.case.clone().with("out", folder.join("audit.ndjson").display());
        let quiet = case.text("stderr") == "null";
        let mut command = Command::new(&program[0]);
        command.args(&program[1..]).args(case.arguments()).stdin(Stdio::null());
        if quiet {
            command.stderr(Stdio::null());
        }
        let ran = command.stdout(Stdio::piped()).spawn().and_then(|child| child.wait_with_output());
        let ran = ran.map_err(|error| format!("{}: {error}", program[0].display()))?;
        if !ran.status.success() {
            return Err(format!("ended with {}", ran.status));
        }
        let text = String::from_utf8_lossy(&ran.stdout);
        let outcome: Outcome = serde_json::from_str(text.lines().last().unwrap_or_default())
            .map_err(|error| format!("said no outcome: {error}"))?;
        let checked = match self.lines {
            None => Checked::default(),
            Some(wanted) => {
                let events: Vec<_> = case.input().events().into_iter().map(|event| event.audit).collect();
                let checked =
                    check_lines(&case.out(), &events).map_err(|error| format!("its file: {error}"))?;
                if checked.lines > wanted {
                    return Err(format!("wrote {} lines too many", checked.lines - wanted));
                }
                checked
            }
        };
        let _ = fs::remove_dir_all(folder);
        Ok((outcome, checked))
    }
}

/// What one entrant came to in all rounds.
#[derive(Clone, Debug)]
pub struct Standing {
    /// As it stands in the table.
    pub name: String,
    /// One a round; fewer where it failed.
    pub outcomes: Vec<Outcome>,
    /// What it wrote in the last round.
    pub checked: Checked,
    /// The most lines that were missing in a round.
    pub missing: u64,
    /// Why it has no outcome.
    pub failure: Option<String>,
}

impl Standing {
    /// The median over all rounds, where it has this figure.
    pub fn median(&self, figure: impl Fn(&Outcome) -> Option<f64>) -> Option<f64> {
        median(self.outcomes.iter().filter_map(figure).collect())
    }

    /// Half of the span of all rounds against their median, for a table: `±3 %`.
    pub fn noise(&self, figure: impl Fn(&Outcome) -> Option<f64>) -> String {
        let figures: Vec<f64> = self.outcomes.iter().filter_map(figure).collect();
        let (least, most) =
            figures.iter().fold((f64::MAX, f64::MIN), |(least, most), f| (least.min(*f), most.max(*f)));
        median(figures)
            .map_or_else(|| "–".into(), |median| format!("±{:.0} %", (most - least) / 2.0 / median * 100.0))
    }

    /// What became of the events, for a table.
    pub fn written(&self) -> String {
        match (self.checked.lines, self.missing) {
            (0, 0) => "–".into(),
            (_, 0) => format!("all, {}", self.checked.content.as_str()),
            (_, missing) => format!("**{missing} missing**, {}", self.checked.content.as_str()),
        }
    }

    /// The median of the ratios to another within the same rounds.
    pub fn ratio(&self, other: &Standing, figure: impl Fn(&Outcome) -> Option<f64>) -> Option<f64> {
        let pairs = self.outcomes.iter().zip(&other.outcomes);
        median(pairs.filter_map(|(one, other)| Some(figure(one)? / figure(other)?)).collect())
    }
}

/// The median; `None` of nothing.
fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// Several entrants, measured in turn.
#[derive(Clone, Debug)]
pub struct Contest {
    /// In the order of the table.
    pub standings: Vec<Standing>,
}

impl Contest {
    /// Runs all, so many rounds, who goes first changing from round to round.
    pub fn run(entrants: &[Entrant], rounds: usize) -> Self {
        let folder = Places::new().output();
        let mut standings: Vec<Standing> = entrants
            .iter()
            .map(|entrant| Standing {
                name: entrant.name.clone(),
                outcomes: Vec::new(),
                checked: Checked::default(),
                missing: 0,
                failure: None,
            })
            .collect();
        for round in 0..rounds {
            for turn in 0..entrants.len() {
                let number = (turn + round) % entrants.len();
                let (entrant, standing) = (&entrants[number], &mut standings[number]);
                if standing.failure.is_some() {
                    continue;
                }
                eprintln!("round {} of {rounds}: {}", round + 1, entrant.name);
                match entrant.run(&folder) {
                    Ok((outcome, checked)) => {
                        let missing = entrant.lines.map_or(0, |lines| lines.saturating_sub(checked.lines));
                        standing.missing = standing.missing.max(missing);
                        standing.checked = checked;
                        standing.outcomes.push(outcome);
                    }
                    Err(reason) => standing.failure = Some(reason),
                }
            }
        }
        Self { standings }
    }

    /// What the entrant of this name came to, if there is one.
    pub fn find(&self, name: &str) -> Option<&Standing> {
        self.standings.iter().find(|standing| standing.name == name)
    }

    /// What the entrant of this name came to.
    pub fn of(&self, name: &str) -> &Standing {
        self.find(name).unwrap_or_else(|| panic!("nobody is called {name}"))
    }
}
