//! The fake sink.
