//! Takes events first, and acknowledges them later.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use audit_plugin_api::{
    AckStatus, Acknowledgement, Batch, Context, Deadline, HeldJson, Host, Level, OptionType, Sink, SinkError,
    SinkOptions, Written,
};

use crate::lines::Lines;

/// How long batches are waited for that shall be acknowledged together.
const GATHER: Duration = Duration::from_millis(20);

/// The options of [`Pending`].
#[derive(Clone, SinkOptions)]
pub struct PendingOptions {
    /// The file that is appended to, by the thread that acknowledges, from held bytes.
    path: Option<PathBuf>,
    /// Most events that it takes of one batch; the rest is backpressure.
    #[option(default = 1_000_000)]
    most: u32,
    /// From where, and in which order, a batch is acknowledged.
    #[option(default = "forward")]
    order: Order,
    /// How many batches are acknowledged together, the last one first.
    #[option(default = 1)]
    gather: usize,
    /// Events at these positions of a batch fail at their first attempt.
    #[option(default = [])]
    failing: Vec<u32>,
    /// How they fail.
    #[option(default = "retryable")]
    failure: Failure,
    /// Each event is acknowledged a second time, as its opposite.
    #[option(default = false)]
    twice: bool,
    /// Nothing is ever acknowledged.
    #[option(default = false)]
    silent: bool,
}

#[derive(Clone, Copy, PartialEq, OptionType)]
enum Order {
    /// By another thread, all at once.
    Forward,
    /// By another thread, one by one from the last.
    Reverse,
    /// By `write_batch`, before it returns.
    BeforeReturn,
}

#[derive(Clone, Copy, OptionType)]
enum Failure {
    Retryable,
    Permanent,
}

/// Takes events first, and acknowledges them later.
pub struct Pending {
    options: PendingOptions,
    acknowledger: Acknowledger,
    queue: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Batch(Taken),
    /// Acknowledge all that is there, and then answer.
    Flush(SyncSender<()>),
}

/// What was taken of a batch.
struct Taken {
    batch: u64,
    attempt: u32,
    lines: Vec<HeldJson>,
}

struct Acknowledger {
    options: PendingOptions,
    host: Host,
    lines: Lines,
}

impl Sink for Pending {
    type Options = PendingOptions;

    fn open(options: PendingOptions, context: Context, host: Host) -> Result<Self, SinkError> {
        let acknowledger = || -> Result<Acknowledger, SinkError> {
            let lines = Lines::open(options.path.as_ref(), &context)?;
            Ok(Acknowledger { options: options.clone(), host: host.clone(), lines })
        };
        let (queue, messages) = sync_channel(context.max_in_flight.max(1) * 2);
        let mut other = acknowledger()?;
        let thread = thread::spawn(move || other.run(&messages));
        Ok(Self { acknowledger: acknowledger()?, options, queue: Some(queue), thread: Some(thread) })
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        let held = batch.hold();
        let lines: Vec<_> =
            batch.events().take(self.options.most as usize).map(|event| held.json(&event)).collect();
        let taken = lines.len() as u32;
        let batch = Taken { batch: batch.id(), attempt: batch.attempt(), lines };
        if self.options.order == Order::BeforeReturn {
            self.acknowledger.acknowledge(&batch);
        } else if let Some(queue) = &self.queue {
            queue.send(Message::Batch(batch)).map_err(|_| SinkError::reopen("the thread has ended"))?;
        }
        Ok(Written::Pending { taken })
    }

    fn flush(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        let (done, answer) = sync_channel(1);
        let Some(queue) = &self.queue else { return Ok(()) };
        queue.send(Message::Flush(done)).map_err(|_| SinkError::reopen("the thread has ended"))?;
        answer.recv_timeout(deadline.remaining()).map_err(|_| SinkError::retryable("not all is acknowledged"))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked with anything worth telling.
            let _ = thread.join();
        }
    }
}

impl Acknowledger {
    fn run(&mut self, messages: &Receiver<Message>) {
        let mut waiting = Vec::new();
        loop {
            let message = if waiting.is_empty() {
                messages.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                messages.recv_timeout(GATHER)
            };
            let flushed = match message {
                Ok(Message::Batch(batch)) => {
                    waiting.push(batch);
                    if waiting.len() < self.options.gather {
                        continue;
                    }
                    None
                }
                Ok(Message::Flush(done)) => Some(done),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for batch in waiting.drain(..).rev() {
                self.acknowledge(&batch);
            }
            if let Some(done) = flushed {
                // Who waits may have given up.
                let _ = done.send(());
            }
        }
    }

    fn acknowledge(&mut self, taken: &Taken) {
        if self.options.silent {
            return;
        }
        let count = taken.lines.len() as u32;
        let mut statuses: Vec<(u32, AckStatus)> =
            (0..count).map(|position| (position, self.status(taken, position))).collect();
        for (position, status) in &statuses {
            if *status == AckStatus::Delivered
                && let Err(error) = self.lines.append(&taken.lines[*position as usize])
            {
                self.host.log(Level::Error, "pending", &error.reason);
            }
        }
        if self.options.order == Order::Forward
            && statuses.iter().all(|(_, status)| *status == AckStatus::Delivered)
        {
            self.send(taken.batch, 0, count, AckStatus::Delivered);
            return;
        }
        if self.options.order == Order::Reverse {
            statuses.reverse();
        }
        for (position, status) in statuses {
            self.send(taken.batch, position, 1, status);
        }
    }

    fn status(&self, taken: &Taken, position: u32) -> AckStatus {
        match self.options.failure {
            _ if taken.attempt > 1 || !self.options.failing.contains(&position) => AckStatus::Delivered,
            Failure::Retryable => AckStatus::Retryable,
            Failure::Permanent => AckStatus::Permanent,
        }
    }

    fn send(&self, batch: u64, first: u32, count: u32, status: AckStatus) {
        let opposite =
            if status == AckStatus::Delivered { AckStatus::Permanent } else { AckStatus::Delivered };
        for status in [Some(status), self.options.twice.then_some(opposite)].into_iter().flatten() {
            let reason = if status == AckStatus::Delivered { String::new() } else { "scripted".to_owned() };
            self.host.acknowledge(Acknowledgement { batch, first, count, status, retry_after: None, reason });
        }
    }
}
