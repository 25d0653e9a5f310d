//! flexi_logger in its asynchronous mode, whose channel has no bound. The message is the line, made by serde_json.

use bench_harness::{Case, Contender, Event, Stamper};
use flexi_logger::{FileSpec, Logger, LoggerHandle, WriteMode};

/// The handle that writes what is left.
pub struct Flexi(LoggerHandle);

impl Flexi {
    /// Sets it up for this process.
    pub fn open(case: &Case) -> Self {
        let file = FileSpec::try_from(case.out()).expect("a good path");
        let logger =
            Logger::try_with_str("info").expect("a level").log_to_file(file).write_mode(WriteMode::Async);
        Self(logger.format(|line, _, record| write!(line, "{}", record.args())).start().expect("a new file"))
    }
}

impl Contender for Flexi {
    fn producer(&self) -> impl FnMut(&Event) {
        let mut stamper = Stamper::default();
        move |event| log::info!("{}", stamper.json(event))
    }

    fn finish(self) -> Option<u64> {
        self.0.shutdown();
        None
    }
}
