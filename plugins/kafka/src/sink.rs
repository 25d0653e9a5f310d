//! The Kafka sink.
//!
//! An event is delivered when the broker's report says so, and never before: a batch is answered with
//! [`Written::Pending`], and each event acknowledged from its report. What librdkafka could not deliver goes back to the
//! host, with librdkafka's own words; nothing is purged silently.

use std::time::{Duration, Instant};

use audit_plugin_api::serde_json::{Value, json};
use audit_plugin_api::{Batch, Context, Deadline, Host, Level, Sink, SinkError, Written};

use crate::KafkaOptions;
use crate::contact::{Contact, NoContact};
use crate::in_flight::Settled;
use crate::native::Producer;
use crate::notices::Notices;
use crate::poller::Poller;
use crate::settings::Settings;

/// How long `open` waits for a first contact with the brokers.
const FIRST_CONTACT: Duration = Duration::from_secs(3);
/// How often a close tells librdkafka to hurry.
const AGAIN: Duration = Duration::from_secs(1);
/// What is left of a deadline for the answer itself.
const MARGIN: Duration = Duration::from_millis(100);

/// Sends events to a Kafka topic.
pub struct KafkaSink {
    settings: Settings,
    poller: Poller,
    /// Batches that the host lets this sink hold unacknowledged.
    max_in_flight: usize,
}

impl Sink for KafkaSink {
    type Options = KafkaOptions;

    fn validate(options: &KafkaOptions, context: &Context) -> Result<(), SinkError> {
        Settings::new(options.clone(), context).map(drop)
    }

    fn open(options: KafkaOptions, context: Context, host: Host) -> Result<Self, SinkError> {
        let settings = Settings::new(options, &context)?;
        for weakened in &settings.weakened {
            host.log(Level::Warn, "kafka", weakened);
        }
        let producer = Producer::new(&settings.config, &settings.topic)
            .map_err(|error| SinkError::retryable(error.to_string()))?;
        let notices = Notices::new(host, settings.delivery_timeout);
        let poller = Poller::start(producer, notices)
            .map_err(|error| SinkError::retryable(format!("no thread for delivery reports: {error}")))?;
        let sink = Self { settings, poller, max_in_flight: context.max_in_flight };
        match sink.contact(FIRST_CONTACT) {
            Ok(_) => {}
            // Brokers that are down come back: the events wait for them.
            Err(NoContact::Unreachable(reason)) => {
                let text = format!("{reason}; events wait until one can be");
                sink.poller.notices().host().log(Level::Error, "kafka", &text);
            }
            Err(NoContact::Topic(reason)) => return Err(SinkError::permanent(reason).option("topic")),
            Err(NoContact::Refused(reason)) => return Err(SinkError::permanent(reason)),
        }
        Ok(sink)
    }

    fn write_batch(&mut self, batch: &Batch<'_>) -> Result<Written, SinkError> {
        let listening = self.poller.listen();
        let producer = self.poller.producer();
        if let Some(words) = producer.fatal_error() {
            return Err(self.reopen(words));
        }
        let count = {
            let in_flight = producer.in_flight();
            match in_flight.window.limit() {
                None => batch.len(),
                Some(limit) if in_flight.messages() == 0 => batch.len().min(limit),
                Some(_) => 0,
            }
        };
        let mut settled = Settled::default();
        let sent = producer.send(batch, count, &self.settings.form, &mut settled);
        self.poller.tell(settled);
        listening.wait_for_room(self.max_in_flight);
        match sent.stopped {
            Some(words) if sent.taken == 0 => Err(self.reopen(producer.fatal_error().unwrap_or(words))),
            _ => Ok(Written::Pending { taken: sent.taken as u32 }),
        }
    }

    /// Waits for no report: what is acknowledged is with the brokers already, and the host keeps account of what is not. It flushes
    /// a busy sink once a second where there is a spool, or all the time where that is half full, and to wait would empty the
    /// pipeline each time. For the same reason librdkafka is told to hurry, which takes a moment, only where no further batch
    /// follows that would make it send what it has.
    fn flush(&mut self, _deadline: Deadline) -> Result<(), SinkError> {
        let producer = self.poller.producer();
        let batches = producer.in_flight().batches();
        if batches == 1 {
            producer.hurry();
        }
        match producer.fatal_error() {
            Some(words) => Err(self.reopen(words)),
            None => Ok(()),
        }
    }

    fn close(&mut self, deadline: Deadline) -> Result<(), SinkError> {
        let until = deadline.instant().checked_sub(MARGIN).unwrap_or(deadline.instant());
        let left = self.deliver_all(until);
        if left == 0 {
            return Ok(());
        }
        self.poller.finish();
        let why = match self.poller.notices().trouble() {
            Some(trouble) => format!(": {}", trouble.words),
            None => String::new(),
        };
        Err(SinkError::retryable(format!(
            "{left} messages were not delivered before the sink was closed{why}"
        )))
    }

    fn control(&mut self, request: &Value, deadline: Deadline) -> Result<Value, SinkError> {
        match request["control"].as_str() {
            Some("probe") => {
                let patience = deadline.remaining().saturating_sub(MARGIN).min(2 * FIRST_CONTACT);
                match self.contact(patience) {
                    Ok(contact) => Ok(contact.describe(&self.settings.topic)),
                    Err(error) => Err(SinkError::retryable(error.reason())),
                }
            }
            _ => Err(SinkError::unsupported(&format!("control {request}"))),
        }
    }

    fn inspect(&mut self, request: &str) -> Result<Value, SinkError> {
        match request {
            "status" => {
                let mut status = self.poller.notices().status();
                status["in_flight"] = json!(self.poller.producer().in_flight().messages());
                Ok(status)
            }
            _ => Err(SinkError::unsupported(&format!("inspect {request:?}"))),
        }
    }
}

impl KafkaSink {
    /// A fresh instance is to take over, and what this one is told from now on is lost.
    fn reopen(&self, words: String) -> SinkError {
        self.poller.finish();
        SinkError::reopen(words)
    }

    /// Waits for all reports, until then at most; returns how many are missing.
    fn deliver_all(&self, until: Instant) -> usize {
        let listening = self.poller.listen();
        loop {
            // Has no effect while there is no connection.
            self.poller.producer().hurry();
            let left = listening.wait_for_all(until.min(Instant::now() + AGAIN));
            if left == 0 || Instant::now() >= until {
                return left;
            }
        }
    }

    fn contact(&self, patience: Duration) -> Result<Contact, NoContact> {
        Contact::make(self.poller.producer(), self.poller.notices(), &self.settings.topic, patience)
    }
}

#[cfg(test)]
mod tests;
