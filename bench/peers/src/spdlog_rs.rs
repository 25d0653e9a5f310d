//! spdlog-rs with its thread pool, which waits while its queue is full. The message is the line, made by serde_json.

use std::sync::Arc;

use bench_harness::{Case, Contender, Event, Stamper};
use spdlog::formatter::{PatternFormatter, pattern};
use spdlog::sink::{AsyncPoolSink, FileSink, OverflowPolicy};
use spdlog::{Logger, ThreadPool};

/// The logger, and its thread.
pub struct Spdlog {
    logger: Logger,
    pool: Arc<ThreadPool>,
}

impl Spdlog {
    /// Opens it.
    pub fn open(case: &Case) -> Self {
        let formatter = PatternFormatter::new(pattern!("{payload}{eol}"));
        let file = FileSink::builder().path(case.out()).truncate(true).formatter(formatter).build_arc();
        let pool = ThreadPool::builder().build_arc().expect("a thread");
        let sink = AsyncPoolSink::builder()
            .sink(file.expect("a new file"))
            .overflow_policy(OverflowPolicy::Block)
            .thread_pool(pool.clone())
            .build_arc();
        let logger = Logger::builder().sink(sink.expect("a thread")).build().expect("a good name");
        Self { logger, pool }
    }
}

impl Contender for Spdlog {
    fn producer(&self) -> impl FnMut(&Event) {
        let mut stamper = Stamper::default();
        move |event| spdlog::info!(logger: self.logger, "{}", stamper.json(event))
    }

    fn finish(self) -> Option<u64> {
        // Dropping the pool waits for its thread, which writes what is left.
        drop(self.logger);
        drop(self.pool);
        None
    }
}
