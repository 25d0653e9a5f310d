//! A sketch of group commit, and nothing else: each producer puts its event's line into a buffer under a mutex and sleeps until
//! the one thread that syncs has brought it to the disk; that thread takes whatever is there.
//!
//! What a product does besides is left out: order, checksums, room, failures of the disk, an end of waiting.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use bench_harness::{Case, Contender, Event, measured_event};
use rustix::thread::futex;

use super::synced::Zeroed;

/// The buffer, and the thread that syncs.
pub struct Shared {
    buffer: Arc<Buffer>,
    syncing: JoinHandle<()>,
}

#[derive(Default)]
struct Buffer {
    state: Mutex<State>,
    filled: Condvar,
    /// The last sync of an even number that ended, and of an odd one, slept on by those who need one of these: only who got his
    /// is woken.
    ended: [AtomicU32; 2],
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// The number of the last sync that began.
    begun: u32,
    is_idle: bool,
    is_over: bool,
}

impl Shared {
    /// Starts the thread.
    pub fn open(_: &Case) -> Self {
        let (file, buffer) = (Zeroed::create(), Arc::new(Buffer::default()));
        let its = buffer.clone();
        Self { syncing: thread::spawn(move || its.sync(file)), buffer }
    }
}

impl Buffer {
    /// Returns when the line is on the disk.
    fn put(&self, line: &[u8]) {
        let mut state = self.state.lock().expect("nobody panics");
        state.lines.extend_from_slice(line);
        let needed = state.begun + 1;
        let was_idle = std::mem::take(&mut state.is_idle);
        drop(state);
        if was_idle {
            self.filled.notify_one();
        }
        let ended = self.ended_of(needed);
        loop {
            let seen = ended.load(Ordering::Acquire);
            if seen >= needed {
                return;
            }
            // Whatever ended it, the next turn looks.
            let _ = futex::wait(ended, futex::Flags::PRIVATE, seen, None);
        }
    }

    /// Syncs whatever is there, until it is told to stop.
    fn sync(&self, mut file: Zeroed) {
        let mut lines = Vec::new();
        loop {
            let mut state = self.state.lock().expect("nobody panics");
            while state.lines.is_empty() {
                if state.is_over {
                    return;
                }
                state.is_idle = true;
                state = self.filled.wait(state).expect("nobody panics");
            }
            std::mem::swap(&mut state.lines, &mut lines);
            state.begun += 1;
            let begun = state.begun;
            drop(state);
            file.append(&lines);
            lines.clear();
            let ended = self.ended_of(begun);
            ended.store(begun, Ordering::Release);
            let _ = futex::wake(ended, futex::Flags::PRIVATE, i32::MAX.unsigned_abs());
        }
    }

    fn ended_of(&self, sync: u32) -> &AtomicU32 {
        &self.ended[(sync % 2) as usize]
    }
}

impl Contender for Shared {
    fn producer(&self) -> impl FnMut(&Event) {
        let line = format!("{}\n", measured_event().to_json()).into_bytes();
        move |_| self.buffer.put(&line)
    }

    fn finish(self) -> Option<u64> {
        self.buffer.state.lock().expect("nobody panics").is_over = true;
        self.buffer.filled.notify_one();
        self.syncing.join().expect("it does not panic");
        None
    }
}
