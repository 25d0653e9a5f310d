//! The plugin that is kept as a binary: it uses every part of the interface once.
//!
//! It keeps lines in memory. `inspect("lines")` shows them, `control {"control": "rotate"}` forgets them.
#![forbid(unsafe_code)]

use audit_plugin_api::serde_json::{Value, json};
use audit_plugin_api::{
    AckStatus, Acknowledgement, Batch, Context, Deadline, Extension, HeldJson, Host, Level, OptionType,
    RawExtension, Seconds, Sink, SinkError, SinkOptions, Written, export_sinks,
};

export_sinks! {
    extension = module_extension,
    "abi.Keeping" => Keeping {
        durable: false,
        batch_size: 10,
        flush_interval: 0.25,
        max_in_flight: 2,
    },
}

#[derive(SinkOptions)]
struct KeepingOptions {
    /// How it answers.
    #[option(default = "delivered")]
    mode: Mode,
    /// What is not kept.
    #[option(default = [])]
    refuse: Vec<String>,
    /// The earliest next attempt after a failure.
    retry_after: Option<Seconds>,
}

#[derive(Clone, Copy, PartialEq, OptionType)]
enum Mode {
    Delivered,
    /// Takes all but the last event, and acknowledges from another thread.
    Pending,
    Panicking,
}

struct Keeping {
    options: KeepingOptions,
    context: Context,
    host: Host,
    lines: Vec<HeldJson>,
}

struct Reverse;

impl Extension for Reverse {
    fn call(&self, request: &[u8]) -> Result<Vec<u8>, i32> {
        if request.is_empty() { Err(3) } else { Ok(request.iter().rev().copied().collect()) }
    }
}

fn module_extension(id: &str, version: u32) -> Option<RawExtension> {
    ((id, version) == ("abi.reverse", 1)).then(|| RawExtension::of(&Reverse))
}

impl Sink for Keeping {
    type Options = KeepingOptions;

    fn validate(options: &KeepingOptions, _context: &Context) -> Result<(), SinkError> {
        match options.refuse.iter().position(String::is_empty) {
            Some(at) => Err(SinkError::permanent("nothing to refuse").option(format!("refuse[{at}]"))),
            None => Ok(()),
        }
    }

    fn open(options: KeepingOptions, context: Context, host: Host) -> Result<Self, SinkError> {
        host.log(Level::Info, "abi", &format!("opened {} as {}", context.class, context.name));
        Ok(Self { options, context, host, lines: Vec::new() })
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        let (held, mut refused) = (batch.hold(), Vec::new());
        match self.options.mode {
            Mode::Panicking => panic!("told to"),
            Mode::Pending => {
                let taken = (batch.len() as u32).saturating_sub(1);
                self.lines.extend(batch.events().take(taken as usize).map(|event| held.json(&event)));
                let (host, batch) = (self.host.clone(), batch.id());
                let acknowledger = std::thread::spawn(move || {
                    for first in (0..taken).rev() {
                        let (status, reason) = (AckStatus::Delivered, String::new());
                        host.acknowledge(Acknowledgement {
                            batch,
                            first,
                            count: 1,
                            status,
                            retry_after: None,
                            reason,
                        });
                    }
                });
                acknowledger.join().map_err(|_| SinkError::reopen("the thread panicked"))?;
                return Ok(Written::Pending { taken });
            }
            Mode::Delivered => {}
        }
        for (position, event) in (0..).zip(batch.events()) {
            match event.user_id_escaped() {
                Some(user) if self.options.refuse.iter().any(|refuse| refuse.as_bytes() == user) => {
                    refused.push(position)
                }
                _ => self.lines.push(held.json(&event)),
            }
        }
        if refused.is_empty() {
            return Ok(Written::Delivered);
        }
        let error = SinkError::permanent("refused").only(refused);
        Err(match self.options.retry_after {
            Some(delay) => error.retry_after(delay.duration()),
            None => error,
        })
    }

    fn flush(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        if deadline.has_passed() { Err(SinkError::retryable("too late")) } else { Ok(()) }
    }

    fn close(&mut self, _deadline: Deadline) -> Result<(), SinkError> {
        self.host.report(&json!({"state": "closed", "kept": self.lines.len()}));
        Ok(())
    }

    fn control(&mut self, request: &Value, _deadline: Deadline) -> Result<Value, SinkError> {
        if request["control"] != "rotate" {
            return Err(SinkError::unsupported(&request.to_string()));
        }
        Ok(json!({"forgotten": self.lines.drain(..).len()}))
    }

    fn inspect(&mut self, request: &str) -> Result<Value, SinkError> {
        match request {
            "lines" => Ok(self.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()),
            "api" => Ok(json!(self.context.api)),
            "greeting" => match self.host.extension("abi.greeting", 1).map(|greeting| greeting.call(b"host"))
            {
                Some(Ok(answer)) => Ok(json!(String::from_utf8_lossy(&answer))),
                Some(Err(code)) => Ok(json!(code)),
                None => Ok(Value::Null),
            },
            _ => Err(SinkError::unsupported(request)),
        }
    }

    fn extension(&self, id: &str, version: u32) -> Option<RawExtension> {
        module_extension(id, version)
    }
}
