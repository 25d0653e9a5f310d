//! The print sink.
//!
//! What was printed cannot be taken back. So after an error the answer counts the lines that went out whole, and a line
//! that was cut is carried on where it ended when its event is offered again, or ended with a newline when another one
//! comes first.

use std::io::{self, ErrorKind};

use audit_plugin_api::serde_json::json;
use audit_plugin_api::{Batch, Context, Host, Sink, SinkError, Written};

use crate::lines::Lines;
use crate::output::{Cut, Output};
use crate::{Format, PrintOptions, Stream};

/// Prints events.
pub struct Print {
    printer: Printer,
    options: PrintOptions,
    lines: Lines,
}

impl Sink for Print {
    type Options = PrintOptions;

    fn open(options: PrintOptions, _: Context, host: Host) -> Result<Self, SinkError> {
        let output = match options.stream {
            Stream::Stdout => Output::of(io::stdout(), "standard output"),
            Stream::Stderr => Output::of(io::stderr(), "standard error"),
        };
        let output = output
            .map_err(|error| SinkError::permanent(format!("it is not open: {error}")).option("stream"))?;
        Ok(Self::new(options, output, host))
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        let Self { printer, options, lines } = self;
        match options.format {
            Format::Json => {
                lines.measure(batch);
                printer.print(batch, batch.runs(), &lines.ends)?;
            }
            Format::Python => {
                let made = lines.print(batch, &options.prefix);
                printer.print(batch, &[&lines.text], &lines.ends)?;
                made?;
            }
        }
        Ok(Written::Delivered)
    }
}

impl Print {
    /// A sink that prints to `output`.
    fn new(options: PrintOptions, output: Output, host: Host) -> Self {
        Self { printer: Printer { output, host, cut: None }, options, lines: Lines::default() }
    }
}

struct Printer {
    output: Output,
    host: Host,
    cut: Option<CutLine>,
}

/// A line of which only the start went out.
#[derive(Clone, Copy)]
struct CutLine {
    sequence: u64,
    written: usize,
}

impl Printer {
    /// Prints `text`: the lines of the first events of the batch, which end at `ends`.
    fn print(&mut self, batch: &Batch<'_>, text: &[&[u8]], ends: &[usize]) -> Result<(), SinkError> {
        if ends.is_empty() {
            return Ok(());
        }
        let (newline, skipped): (&[u8], usize) = match self.cut {
            None => (b"", 0),
            Some(cut) if batch.raw_events()[0].sequence == cut.sequence => (b"", cut.written),
            Some(_) => (b"\n", 0),
        };
        let mut parts = vec![newline];
        let mut skip = skipped;
        for part in text {
            let (_, rest) = part.split_at(skip.min(part.len()));
            skip -= part.len() - rest.len();
            parts.push(rest);
        }
        match self.output.write_all(&parts, batch.deadline()) {
            Ok(()) => {
                self.cut = None;
                Ok(())
            }
            Err(Cut { written, error }) => {
                let mut whole = 0;
                if let Some(written) = written.checked_sub(newline.len()) {
                    let reached = skipped + written;
                    whole = ends.partition_point(|&end| end <= reached);
                    let start = if whole == 0 { 0 } else { ends[whole - 1] };
                    self.cut = (reached > start).then(|| CutLine {
                        sequence: batch.raw_events()[whole].sequence,
                        written: reached - start,
                    });
                }
                Err(self.failure(batch, whole as u32, &error))
            }
        }
    }

    fn failure(&self, batch: &Batch<'_>, whole: u32, error: &io::Error) -> SinkError {
        let name = self.output.name();
        if error.kind() == ErrorKind::BrokenPipe {
            let reason = format!("{name} is closed");
            self.host.report(&json!({"state": "failed", "reason": reason}));
            return SinkError::permanent(reason).only(whole..batch.len() as u32);
        }
        SinkError::retryable(format!("writing to {name}: {error}")).after(whole)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read};
    use std::sync::Arc;

    use audit_plugin_api::serde_json::Value;
    use audit_plugin_api::testing::{TestBatch, TestHost};
    use audit_plugin_api::{
        Action, Deadline, Delivered, ErrorKind, PermissionAuditEvent, RawEvent, SinkOptions,
    };
    use rustix::fs::{OFlags, fcntl_setfl};
    use rustix::pipe::fcntl_setpipe_size;

    use super::*;

    /// What the kernel's smallest pipe holds.
    const PIPE_BYTES: usize = 4096;

    struct Test {
        sink: Print,
        host: Arc<TestHost>,
        reader: PipeReader,
    }

    impl Test {
        fn new(options: Value) -> Self {
            let (reader, writer) = io::pipe().unwrap();
            fcntl_setpipe_size(&writer, PIPE_BYTES).unwrap();
            fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
            let host = Arc::new(TestHost::new());
            let options = PrintOptions::from_json(options).unwrap();
            let sink = Print::new(options, Output::of(&writer, "standard output").unwrap(), host.host());
            Self { sink, host, reader }
        }

        fn write(&mut self, batch: &TestBatch) -> Result<Written, SinkError> {
            batch.lend(|batch| self.sink.write_batch(batch))
        }

        /// What is in the pipe.
        fn read(&mut self) -> String {
            let mut text = vec![0; PIPE_BYTES];
            let count = self.reader.read(&mut text).unwrap();
            text.truncate(count);
            String::from_utf8(text).unwrap()
        }
    }

    fn event(attributes: &[&str]) -> PermissionAuditEvent {
        let attributes = attributes.iter().map(|&attribute| attribute.to_owned()).collect();
        PermissionAuditEvent { attributes, ..PermissionAuditEvent::new(Action::Update, true) }
    }

    /// A batch of events whose lines do not fit into the pipe together, and which must be written at once.
    fn large_batch(count: usize, attribute_len: usize) -> TestBatch {
        let events: Vec<_> =
            (0..count).map(|n| event(&[&format!("{n}{}", "x".repeat(attribute_len))])).collect();
        TestBatch::new(&events).deadline(Deadline::after(std::time::Duration::ZERO))
    }

    #[test]
    fn lines_look_as_the_python_logger_prints_them() {
        let mut test = Test::new(json!({}));
        let denied = PermissionAuditEvent::new(Action::Mutation, false);
        let batch = TestBatch::new(&[event(&["status", "owner"]), event(&["it's"])]).run(&[denied]);
        assert_eq!(test.write(&batch), Ok(Written::Delivered));
        assert_eq!(
            test.read(),
            "[permission] update True ('status', 'owner')\n[permission] update True (\"it's\",)\n[permission] mutation False ()\n"
        );
    }

    #[test]
    fn an_empty_prefix_leaves_the_space_that_python_prints() {
        let mut test = Test::new(json!({"prefix": ""}));
        test.write(&TestBatch::new(&[event(&[])])).unwrap();
        assert_eq!(test.read(), " update True ()\n");
    }

    #[test]
    fn json_is_the_canonical_lines_of_all_runs() {
        let mut test = Test::new(json!({"format": "json", "prefix": "not used"}));
        let batch = TestBatch::new(&[event(&["a"]), event(&[])]).run(&[event(&["b"])]);
        assert_eq!(test.write(&batch), Ok(Written::Delivered));
        assert_eq!(test.read().into_bytes(), batch.bytes());
    }

    #[test]
    fn actions_of_later_versions_and_lone_surrogates_are_printed() {
        let mut test = Test::new(json!({}));
        let line = r#"{"event_id":"019a0000-0000-7000-8000-000000000000","timestamp":"2026-11-24T02:42:00.123456+00:00","action":"export","attributes":["\ud800"],"granted":false}"#;
        let run = format!("{line}\n");
        let (runs, events) = ([run.as_bytes()], [RawEvent { len: line.len() as u32, ..RawEvent::default() }]);
        let holder = TestBatch::new(&[]);
        let batch =
            Batch::new(1, 1, Deadline::after(std::time::Duration::from_secs(60)), &runs, &events, &holder);
        assert_eq!(test.sink.write_batch(&batch), Ok(Written::Delivered));
        assert_eq!(test.read(), "[permission] export False ('\\ud800',)\n");
    }

    #[test]
    fn an_event_that_cannot_be_read_is_permanent_and_those_before_it_are_printed() {
        let mut test = Test::new(json!({}));
        let run = TestBatch::new(&[event(&["a"])]).bytes();
        let good = RawEvent { len: run.len() as u32 - 1, ..RawEvent::default() };
        let (runs, events) = ([run.as_slice()], [good, RawEvent { len: 9, ..good }, good]);
        let holder = TestBatch::new(&[]);
        let batch =
            Batch::new(1, 1, Deadline::after(std::time::Duration::from_secs(60)), &runs, &events, &holder);
        let error = test.sink.write_batch(&batch).unwrap_err();
        assert_eq!((error.kind, error.events), (ErrorKind::Permanent, Delivered::Prefix(1)));
        assert_eq!(test.read(), "[permission] update False ('a',)\n");
    }

    #[test]
    fn after_a_cut_the_answer_counts_the_lines_that_went_out_whole() {
        for format in ["python", "json"] {
            let mut test = Test::new(json!({"format": format}));
            let batch = large_batch(5, 1000);
            let error = test.write(&batch).unwrap_err();
            let out = test.read();
            assert_eq!(out.len(), PIPE_BYTES);
            let whole = out.matches('\n').count() as u32;
            assert!(whole > 0);
            assert_eq!((error.kind, error.events), (ErrorKind::Retryable, Delivered::Prefix(whole)));
        }
    }

    #[test]
    fn a_cut_line_is_carried_on_when_its_event_comes_again() {
        for format in ["python", "json"] {
            let mut test = Test::new(json!({"format": format}));
            let batch = large_batch(1, 3 * PIPE_BYTES);
            let mut out = String::new();
            while let Err(error) = test.write(&batch) {
                assert_eq!(error.events, Delivered::Prefix(0));
                out += &test.read();
            }
            out += &test.read();
            let expected = match format {
                "json" => String::from_utf8(batch.bytes()).unwrap(),
                _ => format!("[permission] update True ('0{}',)\n", "x".repeat(3 * PIPE_BYTES)),
            };
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_cut_line_is_ended_when_another_event_comes() {
        let mut test = Test::new(json!({}));
        test.write(&large_batch(1, 2 * PIPE_BYTES)).unwrap_err();
        let start = test.read();
        assert!(!start.contains('\n'));
        let other = TestBatch::new(&[event(&["a"]), event(&["b"])]);
        let (bytes, mut events) = (other.bytes(), Vec::new());
        other.lend(|batch| events = batch.raw_events()[1..].to_vec());
        let runs = [bytes.as_slice()];
        let batch =
            Batch::new(2, 1, Deadline::after(std::time::Duration::from_secs(60)), &runs, &events, &other);
        assert_eq!(test.sink.write_batch(&batch), Ok(Written::Delivered));
        assert_eq!(test.read(), "\n[permission] update True ('b',)\n");
    }

    #[test]
    fn a_closed_stream_is_permanent_for_what_is_left_and_ends_the_run() {
        let mut test = Test::new(json!({}));
        let (reader, _) = io::pipe().unwrap();
        drop(std::mem::replace(&mut test.reader, reader));
        let error = test.write(&TestBatch::new(&[event(&[]), event(&[])])).unwrap_err();
        assert_eq!((error.kind, error.events), (ErrorKind::Permanent, Delivered::AllExcept(vec![0, 1])));
        assert_eq!(error.reason, "standard output is closed");
        assert_eq!(test.host.reports(), [json!({"state": "failed", "reason": "standard output is closed"})]);
    }

    #[test]
    fn options_that_mean_nothing_are_refused_by_name() {
        for (options, name) in [
            (json!({"format": "xml"}), "format"),
            (json!({"stream": "stdin"}), "stream"),
            (json!({"color": 1}), "color"),
        ] {
            assert_eq!(PrintOptions::from_json(options).unwrap_err().path, name);
        }
    }
}
