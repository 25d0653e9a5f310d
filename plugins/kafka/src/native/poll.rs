//! Takes out of librdkafka's event queue what has happened.

use std::borrow::Cow;
use std::ffi::CStr;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};

use super::{Producer, lend, milliseconds, words_of};
use crate::in_flight::{Settled, Ticket};
use crate::verdict::{Company, Verdict};

/// Most events that one poll hands out.
const EVENTS: usize = 64;

/// What comes out of the event queue.
pub enum Happening<'a> {
    /// Messages were delivered, or failed.
    Reports(Settled),
    /// A line of librdkafka's log: level as in syslog, facility, text.
    Log(i32, Cow<'a, str>, Cow<'a, str>),
    /// An error that concerns no message.
    Error(Code, Cow<'a, str>),
    /// Statistics, as JSON.
    Statistics(&'a [u8]),
}

impl Producer {
    /// Waits for something to happen, and hands out what there is then (not more than 64 events).
    pub fn poll(&self, timeout: Duration, take: &mut dyn FnMut(Happening<'_>)) {
        let mut timeout_ms = milliseconds(timeout);
        for _ in 0..EVENTS {
            // SAFETY: the queue is alive.
            let event = unsafe { rd::rd_kafka_queue_poll(self.queue.as_ptr(), timeout_ms) };
            let Some(event) = NonNull::new(event) else { return };
            let settled = self.read(event.as_ptr(), take);
            // SAFETY: the event is ours, and nothing that `read` lent lives on.
            unsafe { rd::rd_kafka_event_destroy(event.as_ptr()) };
            // Its messages count in librdkafka's queue until here, and whoever hears of them may send more at once.
            if let Some(settled) = settled {
                take(Happening::Reports(settled));
            }
            timeout_ms = 0;
        }
    }

    /// Reads an event: returns what it settled, or hands out what it says.
    fn read(&self, event: *mut rd::rd_kafka_event_t, take: &mut dyn FnMut(Happening<'_>)) -> Option<Settled> {
        // SAFETY: the event is alive.
        match unsafe { rd::rd_kafka_event_type(event) } {
            rd::RD_KAFKA_EVENT_DR => return Some(self.read_reports(event)),
            rd::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                // SAFETY: the event is a log event; the texts live as long as it does.
                if unsafe { rd::rd_kafka_event_log(event, &mut facility, &mut text, &mut level) } == 0 {
                    // SAFETY: as above, and both end with a NUL.
                    let (facility, text) = unsafe { (lend(facility), lend(text)) };
                    take(Happening::Log(level, facility, text));
                }
            }
            rd::RD_KAFKA_EVENT_ERROR => {
                // SAFETY: the event is an error event, and its text lives as long as it does.
                let (code, text) = unsafe {
                    (rd::rd_kafka_event_error(event), lend(rd::rd_kafka_event_error_string(event)))
                };
                take(Happening::Error(Code::from(code), text));
            }
            rd::RD_KAFKA_EVENT_STATS => {
                // SAFETY: the event is a statistics event; its text ends with a NUL and lives as long as it does.
                let json = unsafe { CStr::from_ptr(rd::rd_kafka_event_stats(event)) };
                take(Happening::Statistics(json.to_bytes()));
            }
            _ => {}
        }
        None
    }

    fn read_reports(&self, event: *mut rd::rd_kafka_event_t) -> Settled {
        // SAFETY: the event is alive, and one of reports.
        let count = unsafe { rd::rd_kafka_event_message_count(event) };
        let mut messages: Vec<*const rd::rd_kafka_message_t> = vec![ptr::null(); count];
        // SAFETY: there is room for `count` pointers.
        let count = unsafe { rd::rd_kafka_event_message_array(event, messages.as_mut_ptr(), count) };
        let messages = &messages[..count];
        // One event has the messages of one batch. Looked at only if they failed.
        let mut company = None;
        let mut settled = Settled::default();
        let mut in_flight = self.in_flight();
        for &message in messages {
            // SAFETY: the messages live as long as their event.
            let opaque = unsafe { (*message)._private.addr() as u64 };
            let ticket = Ticket { slot: (opaque >> 32) as u32, position: opaque as u32 };
            // SAFETY: as above.
            let verdict = match unsafe { code_of(message) } {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Verdict::Delivered,
                code => {
                    let company = *company.get_or_insert_with(|| {
                        // SAFETY: as above.
                        Company::of(messages.iter().map(|&message| Code::from(unsafe { code_of(message) })))
                    });
                    // The code's words, not those of `rd_kafka_message_produce_errstr`: librdkafka 2.12.1 frees the broker's
                    // text before it hands the message out.
                    Verdict::of(Code::from(code), words_of(code), company)
                }
            };
            in_flight.report(ticket, verdict, &mut settled);
        }
        settled
    }
}

/// How a message fared. A broker may answer with a code that is not in the enum.
///
/// # Safety
/// The message must be alive.
unsafe fn code_of(message: *const rd::rd_kafka_message_t) -> RDKafkaRespErr {
    // SAFETY: as the caller says; the code is read as the number that it is in C.
    let code = unsafe { (&raw const (*message).err).cast::<i32>().read() };
    RDKafkaRespErr::try_from(code).unwrap_or(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN)
}
