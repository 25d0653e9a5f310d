//! Queue, batches, delivery.
