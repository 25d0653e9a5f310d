//! A number through a channel to another thread, for each event: `channel=crossbeam`, or `std`.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use bench_harness::{Case, Contender, Event};

const CAPACITY: usize = 1024;

/// A channel with a thread at its end.
pub struct Hop {
    sender: Sender,
    receiver: JoinHandle<u64>,
}

#[derive(Clone)]
enum Sender {
    Crossbeam(crossbeam_channel::Sender<u64>),
    Std(mpsc::SyncSender<u64>),
}

impl Hop {
    /// Starts the thread.
    pub fn open(case: &Case) -> Self {
        if case.text("channel") == "std" {
            let (sender, receiver) = mpsc::sync_channel(CAPACITY);
            Self {
                sender: Sender::Std(sender),
                receiver: thread::spawn(move || receiver.iter().count() as u64),
            }
        } else {
            let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
            Self {
                sender: Sender::Crossbeam(sender),
                receiver: thread::spawn(move || receiver.iter().count() as u64),
            }
        }
    }
}

impl Contender for Hop {
    fn producer(&self) -> impl FnMut(&Event) {
        let (sender, mut number) = (self.sender.clone(), 0);
        move |_| {
            number += 1;
            match &sender {
                Sender::Crossbeam(sender) => sender.send(number).expect("the receiver is there"),
                Sender::Std(sender) => sender.send(number).expect("the receiver is there"),
            }
        }
    }

    fn finish(self) -> Option<u64> {
        drop(self.sender);
        Some(self.receiver.join().expect("the receiver does not panic"))
    }
}
