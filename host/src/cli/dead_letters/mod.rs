//! `dead-letters`: what was given up on and why, and sending it again.
//!
//! [`file`] reads the letters and marks them as replayed, [`replay`] sends them.

mod file;
mod list;
mod outcome;
mod replay;
mod sender;
mod show;

pub use list::list;
pub use replay::replay;
pub use show::show;
