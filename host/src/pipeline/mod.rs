//! The buffered batch worker: one store, a worker for each sink.
//!
//! ```text
//! record ─▶ store (slot, chunk, run) ─▶ delivery state of each sink ─▶ worker ─▶ sink
//!                                                  │ retry, halving, dead letters, counters
//! ```
//!
//! It knows no library, no dlopen and no ABI: a sink is a [`SinkInstance`], and a [`SinkFactory`] opens one.

mod abandon;
mod backoff;
mod body;
mod budget;
mod call;
mod counters;
pub mod dead_letters;
mod delivery;
mod error;
mod fanout;
mod flush_requests;
mod letter;
mod offering;
mod piece;
mod pool;
mod reclaim;
mod record;
mod report;
mod request;
mod run;
mod sink;
mod sink_host;
mod sink_state;
mod slot;
mod spool_room;
mod spooled;
mod store;
mod supervisor;
#[cfg(test)]
mod tests;
mod whole;
mod worker;

pub use counters::Counts;
pub use error::{FromCallback, OpenError, RecordError, SinkOpenError};
pub use record::{Patience, Record};
pub use report::{CloseReport, FlushOutcome, Inspection, SinkReport};
pub use sink::{SinkFactory, SinkInstance, linked};
pub use whole::{Pipeline, SinkSetup};
pub use worker::next_instance;
