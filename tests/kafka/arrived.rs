//! What has arrived, counted by the header `event_id`.

use std::collections::BTreeMap;

use audit_tests::oracle::id_of;

use crate::cluster::Consumed;

/// The first message of each id, and how many came after it.
pub struct Arrived<'a> {
    /// The canonical line of each id.
    pub lines: BTreeMap<&'a str, &'a str>,
    /// Messages whose id had arrived before.
    pub duplicates: usize,
}

impl<'a> Arrived<'a> {
    /// A duplicate has to be the message that arrived before, byte for byte.
    pub fn new(consumed: &'a [Consumed]) -> Self {
        let mut first: BTreeMap<&str, &Consumed> = BTreeMap::new();
        for message in consumed {
            let id = message.header("event_id");
            assert_eq!(id_of(&message.value), Some(id), "the id in the header is that of the event");
            let other = first.entry(id).or_insert(message);
            let parts = |message: &'a Consumed| (&message.key, &message.value, &message.headers);
            assert_eq!(parts(other), parts(message), "two messages of one id");
        }
        let duplicates = consumed.len() - first.len();
        Self { lines: first.into_iter().map(|(id, message)| (id, &*message.value)).collect(), duplicates }
    }
}
