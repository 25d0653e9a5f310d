//! What the pipeline promises, claim by claim.
//!
//! The delivery state is told made-up times by a [`desk::Desk`]. The pipeline as a whole runs with sinks whose answers
//! each test says ([`stage::Stage`]), and which wait at gates: no test sleeps, or asserts how long anything took.

mod acknowledgements;
mod batches;
mod desk;
mod flushing;
mod giving_up;
mod model;
mod poison;
mod retries;
