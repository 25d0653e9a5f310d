//! What a code of librdkafka means for an event.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;

/// How long events wait whose failure somebody has to repair by hand.
const REPAIR: Duration = Duration::from_secs(1);

/// What becomes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The broker has it.
    Delivered,
    /// It is offered again.
    Retry {
        /// Why, in librdkafka's own words.
        reason: String,
        /// The earliest next attempt.
        after: Option<Duration>,
    },
    /// It is offered again, in smaller company: the batch that it travelled in was refused because of its size, or of one
    /// message in it, which may be this one.
    Suspect {
        /// Why, in librdkafka's own words.
        reason: String,
        /// Messages of the batch.
        among: usize,
    },
    /// It will never be taken.
    GiveUp {
        /// Why, in librdkafka's own words.
        reason: String,
    },
}

impl Verdict {
    /// The verdict on an event that failed with this code. A broker refuses a batch as a whole, so that only an event
    /// which the broker has singled out is to blame itself.
    pub fn of(code: Code, reason: String, company: Company) -> Self {
        match code {
            Code::NoError => Self::Delivered,
            Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::InvalidArgument
            | Code::UnsupportedForMessageFormat => match company {
                Company::Alone => Self::GiveUp { reason },
                Company::Among(among) => Self::Suspect { reason, among },
            },
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition => Self::Retry { reason, after: Some(REPAIR) },
            _ => Self::Retry { reason, after: None },
        }
    }

    /// The verdict on an event that librdkafka itself did not take: nobody else has to do with that.
    pub fn at_once(code: Code, reason: String) -> Self {
        Self::of(code, reason, Company::Alone)
    }
}

/// Whom the broker means with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// This event: it was sent in a batch of its own, or the broker has named those that it means.
    Alone,
    /// A batch of this many events, in which it has named none.
    Among(usize),
}

impl Company {
    /// Of the events of one batch that failed with these codes. librdkafka tells the others of a batch in which the broker
    /// has named events (brokers since 2.4 may) by a code of their own; where it has named all of them, that is not seen.
    pub fn of(mut codes: impl ExactSizeIterator<Item = Code>) -> Self {
        match codes.len() {
            0..=1 => Self::Alone,
            _ if codes.any(|code| code == Code::InvalidDifferentRecord) => Self::Alone,
            all => Self::Among(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSALS: [Code; 4] =
        [Code::InvalidRecord, Code::InvalidMessageSize, Code::InvalidTimestamp, Code::MessageSizeTooLarge];

    fn verdict(code: Code, company: Company) -> Verdict {
        Verdict::of(code, "words".into(), company)
    }

    #[test]
    fn only_what_can_never_be_taken_is_given_up() {
        for code in REFUSALS {
            assert_eq!(verdict(code, Company::Alone), Verdict::GiveUp { reason: "words".into() });
        }
        for code in [
            Code::MessageTimedOut,
            Code::NotEnoughReplicas,
            Code::TopicAuthorizationFailed,
            Code::UnknownTopicOrPartition,
            Code::PurgeQueue,
            Code::InvalidDifferentRecord,
            Code::KafkaStorageError,
            Code::Unknown,
        ] {
            assert!(matches!(verdict(code, Company::Alone), Verdict::Retry { .. }), "{code:?}");
        }
    }

    #[test]
    fn a_refusal_of_a_batch_is_final_for_none_of_its_events() {
        for code in REFUSALS {
            let company = Company::of([code; 50].into_iter());
            assert_eq!(verdict(code, company), Verdict::Suspect { reason: "words".into(), among: 50 });
        }
    }

    #[test]
    fn a_refusal_is_final_for_an_event_that_was_alone_in_its_batch_or_is_named_by_the_broker() {
        assert_eq!(Company::of([Code::InvalidRecord].into_iter()), Company::Alone);
        let mut codes = [Code::InvalidDifferentRecord; 50];
        codes[7] = Code::InvalidRecord;
        let company = Company::of(codes.into_iter());
        assert!(matches!(verdict(codes[7], company), Verdict::GiveUp { .. }));
        assert!(matches!(verdict(codes[8], company), Verdict::Retry { .. }));
    }
}
