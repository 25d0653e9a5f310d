//! The library as an application uses it, with real `.so` files; and the README's word.

mod allocation;
mod general_manager;
mod global;
mod hanging;
mod kafka;
mod killed;
mod odd_events;
mod process;
mod readme;
