//! librdkafka's producer, as this sink needs it: `unsafe` stands here and in the folder of this name, nowhere else.
//!
//! rdkafka's own `BaseProducer` looks its topic up by name and copies the payload for each message, and reports every
//! error twice. Here a topic handle is made once, payloads are sent from the bytes that [`InFlight`] keeps, a whole batch
//! goes over in one call where it has no headers, and reports are taken from librdkafka's event queue an array at a time.
//!
//! No callback of librdkafka runs code of ours: everything comes out of [`Producer::poll`].

mod ask;
mod poll;
mod send;

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings as rd;
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr, RDKafkaType};

use crate::in_flight::InFlight;

pub use poll::Happening;

/// How long librdkafka is told to hurry: its threads see that only while it lasts.
const HURRY: Duration = Duration::from_millis(5);

/// A producer for one topic, and what it has in flight.
pub struct Producer {
    client: NonNull<rd::rd_kafka_t>,
    queue: NonNull<rd::rd_kafka_queue_t>,
    topic: NonNull<rd::rd_kafka_topic_t>,
    name: CString,
    /// Outlives the client, which reads payloads in it: see `drop`.
    in_flight: Mutex<InFlight>,
}

// SAFETY: librdkafka's handles may be used from any thread, and at the same time.
unsafe impl Send for Producer {}
// SAFETY: as above.
unsafe impl Sync for Producer {}

impl Producer {
    /// Makes a producer. It connects by itself, when the configuration names brokers.
    pub fn new(config: &ClientConfig, topic: &str) -> Result<Self, KafkaError> {
        let name = CString::new(topic)?;
        let mut config = config.clone();
        config.set("log.queue", "true");
        let native = ManuallyDrop::new(config.create_native_config()?);
        let events = rd::RD_KAFKA_EVENT_DR | rd::RD_KAFKA_EVENT_STATS | rd::RD_KAFKA_EVENT_ERROR;
        // SAFETY: the configuration is whole, and ours.
        unsafe { rd::rd_kafka_conf_set_events(native.ptr(), events) };
        let mut words: [c_char; 512] = [0; 512];
        // SAFETY: the client takes the configuration over when it is made; when not, it stays ours and is given back
        // below. `words` is as long as it is said to be, and ends with a NUL afterwards.
        let client = unsafe {
            rd::rd_kafka_new(RDKafkaType::RD_KAFKA_PRODUCER, native.ptr(), words.as_mut_ptr(), words.len())
        };
        let Some(client) = NonNull::new(client) else {
            drop(ManuallyDrop::into_inner(native));
            // SAFETY: librdkafka has written a text that ends with a NUL, or nothing into zeros.
            let words = unsafe { CStr::from_ptr(words.as_ptr()) };
            return Err(KafkaError::ClientCreation(words.to_string_lossy().into_owned()));
        };
        // SAFETY: the client is alive; a null configuration means the client's own.
        let topic = unsafe { rd::rd_kafka_topic_new(client.as_ptr(), name.as_ptr(), ptr::null_mut()) };
        let Some(topic) = NonNull::new(topic) else {
            // SAFETY: nothing else refers to the client. The error is that of this thread's last call.
            let code = unsafe {
                let code = rd::rd_kafka_last_error();
                rd::rd_kafka_destroy(client.as_ptr());
                code
            };
            return Err(KafkaError::ClientCreation(words_of(code)));
        };
        // SAFETY: the client is alive. A client always has a main queue.
        let queue = unsafe { NonNull::new_unchecked(rd::rd_kafka_queue_get_main(client.as_ptr())) };
        // SAFETY: both are alive.
        unsafe { rd::rd_kafka_set_log_queue(client.as_ptr(), queue.as_ptr()) };
        Ok(Self { client, queue, topic, name, in_flight: Mutex::default() })
    }

    /// What is in flight.
    pub fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a [`Producer::poll`] that waits.
    pub fn wake(&self) {
        // SAFETY: the queue is alive.
        unsafe { rd::rd_kafka_queue_yield(self.queue.as_ptr()) };
    }

    /// Lets librdkafka send what it has without waiting for more. Waits for up to 5 ms.
    pub fn hurry(&self) {
        // SAFETY: the client is alive. Whether all was delivered meanwhile, `in_flight` knows too.
        unsafe { rd::rd_kafka_flush(self.client.as_ptr(), milliseconds(HURRY)) };
    }

    /// The error after which this producer is of no more use, if there was one.
    pub fn fatal_error(&self) -> Option<String> {
        let mut words: [c_char; 512] = [0; 512];
        // SAFETY: the client is alive, and `words` as long as it is said to be.
        let code = unsafe { rd::rd_kafka_fatal_error(self.client.as_ptr(), words.as_mut_ptr(), words.len()) };
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: librdkafka has written a text that ends with a NUL.
        let words = unsafe { lend(words.as_ptr()) };
        Some(format!("{}: {words}", words_of(code)))
    }

    /// Makes librdkafka behave as after a fatal error.
    #[cfg(test)]
    pub fn provoke_fatal_error(&self) {
        let reason = c"provoked by a test";
        let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        // SAFETY: the client is alive, and the text ends with a NUL.
        unsafe { rd::rd_kafka_test_fatal_error(self.client.as_ptr(), code, reason.as_ptr()) };
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // SAFETY: nobody uses the handles any more. When the client is destroyed, no message of it is left, so nothing
        // refers to the bytes that `in_flight` keeps, which is dropped afterwards.
        unsafe {
            rd::rd_kafka_purge(
                self.client.as_ptr(),
                rd::RD_KAFKA_PURGE_F_QUEUE
                    | rd::RD_KAFKA_PURGE_F_INFLIGHT
                    | rd::RD_KAFKA_PURGE_F_NON_BLOCKING,
            );
            rd::rd_kafka_topic_destroy(self.topic.as_ptr());
            rd::rd_kafka_queue_destroy(self.queue.as_ptr());
            rd::rd_kafka_destroy(self.client.as_ptr());
        }
    }
}

/// Text of librdkafka.
///
/// # Safety
/// The text must end with a NUL and stay for as long as the result is used.
unsafe fn lend<'a>(text: *const c_char) -> Cow<'a, str> {
    if text.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

/// librdkafka's words for a code.
fn words_of(code: RDKafkaRespErr) -> String {
    // SAFETY: librdkafka has a static text for each code.
    unsafe { lend(rd::rd_kafka_err2str(code)) }.into_owned()
}

fn failure(code: RDKafkaRespErr) -> (Code, String) {
    (Code::from(code), words_of(code))
}

/// Rounded up: a wait of less than a millisecond is not to become one of nothing, over and over.
fn milliseconds(timeout: Duration) -> c_int {
    timeout.as_micros().div_ceil(1000).min(c_int::MAX as u128) as c_int
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_of_less_than_a_millisecond_is_still_a_wait() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(7)), 7);
        assert_eq!(milliseconds(Duration::MAX), c_int::MAX);
    }
}
