//! tracing with tracing-subscriber's JSON and tracing-appender's thread, which loses nothing. tracing has no lists: they are
//! text.

use std::fs::File;

use bench_harness::{Case, Contender, Event, Stamper};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

/// The guard that writes what is left.
pub struct Tracing(WorkerGuard);

impl Tracing {
    /// Sets it up for this process.
    pub fn open(case: &Case) -> Self {
        let file = File::create(case.out()).expect("a new file");
        let (writer, guard) = NonBlockingBuilder::default().lossy(false).finish(file);
        tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_level(false)
            .with_target(false)
            .without_time()
            .with_writer(writer)
            .init();
        Self(guard)
    }
}

impl Contender for Tracing {
    fn producer(&self) -> impl FnMut(&Event) {
        let mut stamper = Stamper::default();
        move |event| {
            let event = stamper.stamp(event);
            tracing::info!(
                event_id = event.event_id,
                timestamp = event.timestamp,
                action = event.action,
                attributes = ?event.attributes,
                granted = event.granted,
                bypassed = event.bypassed,
                manager = event.manager,
                user_id = event.user_id,
                user = event.user,
                permissions = ?event.permissions,
                metadata = event.metadata.map(|metadata| metadata.get()),
            );
        }
    }

    fn finish(self) -> Option<u64> {
        drop(self.0);
        None
    }
}
