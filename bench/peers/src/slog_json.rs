//! slog with slog-json behind slog-async, which waits while its channel is full. slog-json writes keys from the last to the
//! first.

use std::fs::File;
use std::io::BufWriter;

use bench_harness::{Case, Contender, Event, Stamper};
use slog::{Drain, Logger, Serde};
use slog_async::{Async, AsyncGuard, OverflowStrategy};
use slog_json::Json;

/// The logger, and the guard that writes what is left.
pub struct Slog {
    logger: Logger,
    guard: AsyncGuard,
}

impl Slog {
    /// Opens it.
    pub fn open(case: &Case) -> Self {
        let file = File::create(case.out()).expect("a new file");
        let json = Json::new(BufWriter::new(file)).set_flush(false).build();
        let (drain, guard) =
            Async::new(json.fuse()).overflow_strategy(OverflowStrategy::Block).build_with_guard();
        Self { logger: Logger::root(drain.fuse(), slog::o!()), guard }
    }
}

impl Contender for Slog {
    fn producer(&self) -> impl FnMut(&Event) {
        let mut stamper = Stamper::default();
        move |event| {
            let event = stamper.stamp(event);
            slog::info!(self.logger, "";
                "metadata" => Serde(event.metadata.map(ToOwned::to_owned)),
                "permissions" => Serde(event.permissions.to_vec()),
                "user" => event.user,
                "user_id" => event.user_id,
                "manager" => event.manager,
                "bypassed" => event.bypassed,
                "granted" => event.granted,
                "attributes" => Serde(event.attributes.to_vec()),
                "action" => event.action,
                "timestamp" => event.timestamp,
                "event_id" => event.event_id,
            );
        }
    }

    fn finish(self) -> Option<u64> {
        drop(self.logger);
        drop(self.guard);
        None
    }
}
