//! What the pipeline promises, claim by claim.
//!
//! The delivery state is told made-up times by a [`desk::Desk`]. The pipeline as a whole runs with sinks whose answers
//! each test says ([`stage::Stage`]), and which wait at gates: no test sleeps, or asserts how long anything took.

mod acknowledgements;
mod asking;
mod batches;
mod counting;
mod desk;
mod disk_faults;
mod durable;
mod ending;
mod flushing;
mod full;
mod giving_up;
mod hung;
mod idling;
mod kept;
mod left_letters;
mod letters;
mod model;
mod optional;
mod order;
mod poison;
mod rereading;
mod retries;
mod sharing;
mod slots;
mod spooling;
mod stage;
mod unflushed;
mod writing_through;
