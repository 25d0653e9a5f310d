//! How many messages may be on their way while a message is sought that brokers find too large.
//!
//! A broker checks the size of a whole batch, which librdkafka fills as it likes, and then refuses every message in it.
//! So after such a refusal messages go one at a time, then in doubled numbers, up to half of what was refused. A message
//! that is refused alone is the one: from then on the numbers may grow without bound again.

/// How many messages may be on their way.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    limit: usize,
    ceiling: usize,
}

/// Above this a window is no restriction.
const WIDE: usize = 1 << 16;

impl Default for Window {
    fn default() -> Self {
        Self { limit: WIDE, ceiling: WIDE }
    }
}

impl Window {
    /// The limit, where there is one.
    pub fn limit(&self) -> Option<usize> {
        (self.limit < WIDE).then_some(self.limit)
    }

    /// A batch of this many was too large.
    pub fn refused(&mut self, messages: usize) {
        self.ceiling = self.ceiling.min((messages / 2).max(1));
        self.limit = 1;
    }

    /// A batch of this many was taken.
    pub fn passed(&mut self, messages: usize) {
        if messages >= self.limit {
            self.limit = (self.limit * 2).min(self.ceiling);
        }
    }

    /// A message that travelled alone was too large.
    pub fn found(&mut self) {
        self.ceiling = WIDE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends events of which some are poisonous, and those of more than `most` at once are too many.
    fn rounds(mut window: Window, mut events: Vec<bool>, most: usize) -> (Window, usize, usize) {
        let (mut rounds, mut given_up) = (0, 0);
        while !events.is_empty() {
            rounds += 1;
            let count = window.limit().unwrap_or(events.len()).min(events.len());
            match events[..count].contains(&true) || count > most {
                true if count == 1 => {
                    window.found();
                    given_up += 1;
                    events.remove(0);
                }
                true => window.refused(count),
                false => {
                    window.passed(count);
                    events.drain(..count);
                }
            }
        }
        (window, rounds, given_up)
    }

    #[test]
    fn one_poisonous_message_is_found_alone_and_the_window_opens_again() {
        let mut events = vec![false; 20_000];
        events[777] = true;
        events[778] = true;
        let (mut window, took, given_up) = rounds(Window::default(), events, WIDE);
        assert_eq!(given_up, 2);
        assert!(took < 200, "{took}");
        while window.limit().is_some() {
            let limit = window.limit;
            window.passed(limit);
            assert!(window.limit > limit, "{window:?}");
        }
    }

    #[test]
    fn a_topic_that_takes_small_batches_only_gets_those_and_loses_nothing() {
        let (window, _, given_up) = rounds(Window::default(), vec![false; 1000], 3);
        assert_eq!(given_up, 0);
        assert!(window.limit().is_some_and(|limit| limit <= 3));
    }
}
