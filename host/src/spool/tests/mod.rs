//! The spool on a disk in memory that fails, tears and forgets.

mod damage;
mod folders;
mod normal;
mod sinks;
mod space;
mod stage;
