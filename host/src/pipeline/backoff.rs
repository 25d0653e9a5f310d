//! How long to wait before the next attempt.

use std::time::Duration;

use crate::config::DeliverySettings;

/// Longer than anything lasts, and short enough that it can be added to any moment.
pub const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
/// A sink that fails at once is not tried more often than this.
const SHORTEST: Duration = Duration::from_millis(1);

/// Exponential delays with jitter: between half and all of `initial * 2^(failures-1)`, at most `max`, never zero.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    random: u64,
}

impl Backoff {
    /// Delays as these settings say; `seed` spreads those who started together.
    pub fn new(settings: &DeliverySettings, seed: u64) -> Self {
        let (initial, max) = (settings.retry_initial.min(LONGEST), settings.retry_max.min(LONGEST));
        Self { initial, max, random: seed | 1 }
    }

    /// The delay after this many failures (1 or more) in a row.
    pub fn delay(&mut self, failures: u32) -> Duration {
        let factor = 2_f64.powi(failures.saturating_sub(1).min(62) as i32);
        let full = (self.initial.as_secs_f64() * factor).min(self.max.as_secs_f64());
        // xorshift64: spreads, nothing more is asked of it.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let fraction = (self.random >> 11) as f64 / (1_u64 << 53) as f64;
        Duration::from_secs_f64(full * (0.5 + fraction / 2.0)).max(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_with_jitter_and_stay_below_the_maximum() {
        let settings = DeliverySettings { retry_max: Duration::from_secs(1), ..DeliverySettings::default() };
        let mut backoff = Backoff::new(&settings, 7);
        for (failures, full) in [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (50, 1.0), (u32::MAX, 1.0)]
        {
            let delay = backoff.delay(failures).as_secs_f64();
            assert!((full / 2.0..=full).contains(&delay), "{failures}: {delay}");
        }
    }

    #[test]
    fn a_delay_is_never_zero_and_no_setting_is_too_long() {
        let zero = DeliverySettings { retry_initial: Duration::ZERO, ..DeliverySettings::default() };
        assert_eq!(Backoff::new(&zero, 7).delay(5), SHORTEST);
        let longest = DeliverySettings {
            retry_initial: Duration::MAX,
            retry_max: Duration::MAX,
            ..DeliverySettings::default()
        };
        assert!(Backoff::new(&longest, 7).delay(u32::MAX) <= LONGEST);
    }
}
