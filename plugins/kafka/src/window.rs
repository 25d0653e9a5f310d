//! How many messages may be on their way while a message is sought that brokers refuse.
//!
//! A broker refuses a whole batch, which librdkafka fills as it likes, also where one message in it is to blame. So after a
//! refusal messages go in numbers of a sixteenth of what was refused, again and again, until one is refused alone: that is the
//! one, and from then on the numbers double. Where none is found, since the batch itself was too large, they double too, but
//! only after many batches.
//!
//! Each refusal is a failed attempt of every message in the batch, up to four for one that stood beside the one that is
//! sought: hence the sixteenth, and not the half.

/// How many messages may be on their way.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    limit: usize,
    /// Batches that have to pass before the limit doubles, and how many have.
    patience: u32,
    passed: u32,
}

/// Above this a window is no restriction.
const WIDE: usize = 1 << 16;
/// What of a batch that was refused may be on its way next.
const PART: usize = 16;
/// Batches that have to pass while a message is sought: more than what was refused makes.
const PATIENCE: u32 = 4 * PART as u32;

impl Default for Window {
    fn default() -> Self {
        Self { limit: WIDE, patience: 1, passed: 0 }
    }
}

impl Window {
    /// The limit, where there is one.
    pub fn limit(&self) -> Option<usize> {
        (self.limit < WIDE).then_some(self.limit)
    }

    /// A batch of this many was refused.
    pub fn refused(&mut self, messages: usize) {
        *self = Self { limit: self.limit.min((messages / PART).max(1)), patience: PATIENCE, passed: 0 };
    }

    /// A batch of this many was taken.
    pub fn passed(&mut self, messages: usize) {
        // A larger one was sent before the refusal, and says nothing.
        if !(1..=self.limit).contains(&messages) {
            return;
        }
        self.passed += 1;
        if self.passed >= self.patience {
            self.passed = 0;
            self.limit = (self.limit * 2).min(WIDE);
        }
    }

    /// A message was refused alone.
    pub fn found(&mut self) {
        self.patience = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came of sending events of which some are poisonous, where more than `most` at once are too many.
    struct Outcome {
        window: Window,
        rounds: usize,
        given_up: usize,
        /// The most attempts of one event that failed, though it was not to blame.
        failures: u32,
    }

    fn send(poisonous: &[usize], events: usize, most: usize) -> Outcome {
        let mut outcome = Outcome { window: Window::default(), rounds: 0, given_up: 0, failures: 0 };
        let mut events: Vec<_> = (0..events).map(|event| (poisonous.contains(&event), 0)).collect();
        while !events.is_empty() {
            outcome.rounds += 1;
            let count = outcome.window.limit().unwrap_or(10_000).min(events.len());
            let batch = &mut events[..count];
            let has_poison = batch.iter().any(|(poison, _)| *poison);
            if count == 1 && has_poison {
                outcome.window.found();
                outcome.given_up += 1;
            } else if has_poison || count > most {
                outcome.window.refused(count);
                for (poison, failures) in batch {
                    *failures += 1;
                    outcome.failures = outcome.failures.max(if *poison { 0 } else { *failures });
                }
                continue;
            } else {
                outcome.window.passed(count);
            }
            events.drain(..count);
        }
        outcome
    }

    #[test]
    fn poisonous_messages_are_found_alone_at_the_cost_of_few_attempts_of_others() {
        let (mut rounds, mut failures) = (0, 0);
        for poison in (0..10_000).step_by(61) {
            let outcome = send(&[poison, poison + 1], 20_000, usize::MAX);
            assert_eq!(outcome.given_up, 2);
            rounds = rounds.max(outcome.rounds);
            failures = failures.max(outcome.failures);
        }
        assert!(rounds <= 100 && failures <= 4, "{rounds} rounds, {failures} failed attempts");
    }

    #[test]
    fn the_window_opens_again_whatever_the_size_of_batches_once_the_message_is_found() {
        for size in [1, 2000] {
            let mut window = Window::default();
            window.refused(10_000);
            window.refused(600);
            window.found();
            for _ in 0..16 {
                window.passed(size.min(window.limit));
            }
            assert_eq!(window.limit(), None, "{size}");
        }
    }

    #[test]
    fn the_window_opens_again_though_no_message_is_found() {
        let mut window = Window::default();
        window.refused(8);
        assert_eq!(window.limit(), Some(1));
        for _ in 0..16 * PATIENCE {
            window.passed(1);
        }
        assert_eq!(window.limit(), None);
    }

    #[test]
    fn what_was_sent_before_a_refusal_and_what_was_not_sent_do_not_widen_the_window() {
        let mut window = Window::default();
        window.refused(32);
        window.found();
        window.passed(2000);
        window.passed(0);
        assert_eq!(window.limit(), Some(2));
    }

    #[test]
    fn a_topic_that_takes_small_batches_only_gets_those_and_loses_nothing() {
        let outcome = send(&[], 10_000, 3);
        assert_eq!(outcome.given_up, 0);
        assert!(outcome.failures <= 4, "{}", outcome.failures);
        assert!(outcome.window.limit().is_some_and(|limit| limit <= 4));
    }
}
