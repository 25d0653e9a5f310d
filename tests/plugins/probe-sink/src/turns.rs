//! How often something has happened to a sink, over all its instances: what is scripted goes on after a reopen.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

static TURNS: Mutex<Option<HashMap<String, u64>>> = Mutex::new(None);

/// Counts one more of it for the sink of this name, and says how many there were before.
pub fn take_turn(sink: &str) -> u64 {
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let turn = turns.get_or_insert_default().entry(sink.to_owned()).or_default();
    *turn += 1;
    *turn - 1
}
