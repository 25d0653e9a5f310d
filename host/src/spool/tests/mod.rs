//! The spool on a disk in memory that fails, tears and forgets.

mod damage;
mod normal;
mod stage;
