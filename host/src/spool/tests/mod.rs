//! The spool on a disk in memory that fails, tears and forgets.

mod commits;
mod crafted;
mod damage;
mod folders;
mod inspecting;
mod model;
mod normal;
mod recycling;
mod rereading;
mod sinks;
mod space;
mod speed;
mod stage;
mod stores;
