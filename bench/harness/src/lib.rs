//! What every benchmark has in common.
//!
//! A *case* is one measurement, run in a process of its own, so that its memory and CPU time are its own. A *contender* is
//! what is measured; `drive` runs it as a case says and prints one line of JSON, the *outcome*. A *contest* runs several
//! contenders in turn, round after round, looks at every file that they wrote, and takes medians. A *report* is what
//! comes out: tables, goals and a picture below `docs/bench`.

mod case;
mod check;
mod contest;
mod disk;
mod drive;
mod events;
mod machine;
mod outcome;
mod pace;
mod picture;
mod places;
mod report;
pub mod sizes;
mod usage;

pub use case::Case;
pub use check::{Checked, Content, check_lines};
pub use contest::{Contest, Entrant, Standing};
pub use disk::disk_flushes;
pub use drive::{Contender, drive};
pub use events::{Event, Input, Stamped, Stamper, measured_event, real_events};
pub use outcome::{Latency, Outcome};
pub use pace::Pace;
pub use picture::{Bar, bars, lines};
pub use places::Places;
pub use report::{Goal, Report, Table, count, decimal, nanos, spell_producers};
pub use usage::{Usage, children_cpu_seconds, peak_kib, resident_kib};
