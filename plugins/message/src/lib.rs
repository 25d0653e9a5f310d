//! An event as a Kafka message: topic, key, payload and headers, for every sink that speaks Kafka.
//!
//! [`Form`] is what the options say, [`Message`] what it makes of an event: bytes that are borrowed from the batch
//! wherever they stand there. [`Servers`] reads `bootstrap_servers`. What is sent, by whom, and when it counts as
//! delivered is the sink's own affair.
//!
//! ```text
//! key      the text of user_id, manager or event_id, unescaped; null where the field is null or `key = "none"`
//! payload  full: the canonical line, untouched · compact: seven of its values, as they stand there
//! headers  event_id = the UUID's text · schema = "1"
//! ```

mod compact;
mod form;
mod headers;
mod json;
mod message;
mod servers;

pub use form::{Form, Key, Payload};
pub use headers::{Header, SCHEMA};
pub use message::{Message, NotCanonical};
pub use servers::Servers;
