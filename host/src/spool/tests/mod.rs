//! The spool on a disk in memory that fails, tears and forgets.

mod normal;
mod stage;
