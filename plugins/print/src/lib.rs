//! The print sink.
