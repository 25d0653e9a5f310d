//! Tests a sink without a host.
//!
//! [`open`] reads options as `audit.toml` would give them and opens the sink; [`TestSink::write`] hands it events the way
//! the host does; [`TestHost`] keeps what the sink told its host. [`TestBatch`] is there for more: attempts, deadlines,
//! several runs.
//!
//! ```
//! use audit_plugin_api::serde_json::json;
//! use audit_plugin_api::testing;
//! use audit_plugin_api::{Action, Batch, Context, Host, Level, PermissionAuditEvent, Sink, SinkError, SinkOptions, Written};
//!
//! #[derive(SinkOptions)]
//! struct CountOptions {
//!     /// What it counts in.
//!     #[option(default = "events")]
//!     unit: String,
//! }
//!
//! struct Count {
//!     unit: String,
//!     host: Host,
//! }
//!
//! impl Sink for Count {
//!     type Options = CountOptions;
//!
//!     fn open(options: CountOptions, _context: Context, host: Host) -> Result<Self, SinkError> {
//!         Ok(Self { unit: options.unit, host })
//!     }
//!
//!     fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
//!         self.host.log(Level::Info, "count", &format!("{} {}", batch.len(), self.unit));
//!         Ok(Written::Delivered)
//!     }
//! }
//!
//! let mut sink = testing::open::<Count>(json!({"unit": "decisions"})).unwrap();
//! let event = PermissionAuditEvent::new(Action::Update, true);
//! assert_eq!(sink.write(&[event.clone(), event]), Ok(Written::Delivered));
//! assert_eq!(sink.host().logs()[0].text, "2 decisions");
//!
//! let error = testing::open::<Count>(json!({"unti": "decisions"})).err().unwrap();
//! assert_eq!(error.option.as_deref(), Some("unti"));
//! ```

mod test_batch;
mod test_host;
mod test_sink;

pub use test_batch::TestBatch;
pub use test_host::{LogLine, TestHost};
pub use test_sink::{TestSink, context, open, open_with};
