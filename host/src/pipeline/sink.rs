//! A sink as the pipeline sees it: no library, no ABI.

use std::panic::{AssertUnwindSafe, catch_unwind};

use audit_plugin_api::serde_json::Value;
use audit_plugin_api::{Batch, Context, Deadline, Host, Sink, SinkError, Written};

/// One open instance. Called from one thread at a time; must not unwind (a panic is `ErrorKind::Panicked`).
pub trait SinkInstance: Send {
    /// Delivers a batch.
    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError>;
    /// Makes durable what was delivered.
    fn flush(&mut self, deadline: Deadline) -> Result<(), SinkError>;
    /// Ends the instance.
    fn close(&mut self, deadline: Deadline) -> Result<(), SinkError>;
    /// Carries out a request.
    fn control(&mut self, request: &Value, deadline: Deadline) -> Result<Value, SinkError>;
    /// Answers a question.
    fn inspect(&mut self, request: &str) -> Result<Value, SinkError>;
}

/// Opens instances of one configured sink: at start, after a panic, an abandoned call, `Reopen`, or a fork.
pub trait SinkFactory: Send + Sync {
    /// Opens an instance.
    fn open(&self, host: Host) -> Result<Box<dyn SinkInstance>, SinkError>;
}

/// Opens a sink that is linked into this program, without a `.so`.
///
/// `options` is called for each instance, since options are given away when a sink opens.
pub fn linked<S: Sink>(
    context: Context,
    options: impl Fn() -> Result<S::Options, SinkError> + Send + Sync + 'static,
) -> impl SinkFactory {
    Linked::<S, _> { context, options, sink: std::marker::PhantomData }
}

struct Linked<S, F> {
    context: Context,
    options: F,
    sink: std::marker::PhantomData<fn() -> S>,
}

impl<S, F> SinkFactory for Linked<S, F>
where
    S: Sink,
    F: Fn() -> Result<S::Options, SinkError> + Send + Sync,
{
    fn open(&self, host: Host) -> Result<Box<dyn SinkInstance>, SinkError> {
        contain(|| {
            Ok(Box::new(LinkedInstance(Some(S::open((self.options)()?, self.context.clone(), host)?))) as _)
        })
    }
}

struct LinkedInstance<S: Sink>(Option<S>);

impl<S: Sink> LinkedInstance<S> {
    fn call<R>(&mut self, call: impl FnOnce(&mut S) -> Result<R, SinkError>) -> Result<R, SinkError> {
        match &mut self.0 {
            Some(sink) => contain(|| call(sink)),
            None => Err(SinkError::reopen("the instance is gone")),
        }
    }
}

impl<S: Sink> SinkInstance for LinkedInstance<S> {
    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        self.call(|sink| sink.write_batch(batch))
    }

    fn flush(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        self.call(|sink| sink.flush(deadline))
    }

    fn close(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        self.call(|sink| sink.close(deadline))
    }

    fn control(&mut self, request: &Value, deadline: Deadline) -> Result<Value, SinkError> {
        self.call(|sink| sink.control(request, deadline))
    }

    fn inspect(&mut self, request: &str) -> Result<Value, SinkError> {
        self.call(|sink| sink.inspect(request))
    }
}

impl<S: Sink> Drop for LinkedInstance<S> {
    fn drop(&mut self) {
        let sink = self.0.take();
        let dropped = contain(|| {
            drop(sink);
            Ok(())
        });
        if let Err(error) = dropped {
            tracing::error!("a sink panicked while it was dropped: {error}");
        }
    }
}

/// Turns a panic into an error. The instance is dropped after a panic, so nothing sees it half changed.
fn contain<R>(call: impl FnOnce() -> Result<R, SinkError>) -> Result<R, SinkError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".into());
        Err(SinkError::panicked(message))
    })
}
