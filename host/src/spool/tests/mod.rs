//! The spool on a disk in memory that fails, tears and forgets.

mod commits;
mod damage;
mod folders;
mod normal;
mod recycling;
mod sinks;
mod space;
mod stage;
