//! The time of an event that brings none.

use audit_plugin_api::Timestamp;

/// The time of the system's clock, as [`Timestamp::now`] gives it but in half the time: asking the clock takes a fifth of
/// what recording takes.
///
/// A thread asks the clock once within a millisecond, and otherwise adds what the processor's counter of ticks says has
/// passed since then. Where the clock is set, that shows within a millisecond. Where the kernel does not tell the time by that
/// counter itself, the clock is asked at most once within a microsecond.
#[inline]
pub fn now() -> Timestamp {
    #[cfg(target_arch = "x86_64")]
    {
        ticking::now()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        Timestamp::now()
    }
}

#[cfg(target_arch = "x86_64")]
mod ticking {
    use std::cell::Cell;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use audit_plugin_api::Timestamp;

    /// So many microseconds after it was asked, the clock is asked again.
    const ASK_AGAIN: u128 = 1000;
    /// The counter is compared with the clock over a time that is long enough to be exact, and in which no machine is likely
    /// to have slept.
    const LEAST: Duration = Duration::from_millis(20);
    const MOST: Duration = Duration::from_secs(1);
    /// Reading the counter, the clock and the counter again takes fewer ticks, unless something came between.
    const AT_ONCE: u64 = 1000;

    /// Ticks in [`ASK_AGAIN`]; until that is known less than a microsecond has: the counters of all processors tick at 1 GHz
    /// or more, whatever the core's own frequency is.
    static WINDOW: AtomicU64 = AtomicU64::new(1000);
    /// Microseconds a tick, times 2 to the power of 64; 0 until it is known.
    static RATE: AtomicU64 = AtomicU64::new(0);
    /// Whether that is still to be found out.
    static IS_WATCHED: AtomicBool = AtomicBool::new(true);

    thread_local! {
        /// What the clock said last, and the count of ticks after it was asked.
        static LAST: Cell<Option<(u64, Timestamp)>> = const { Cell::new(None) };
    }

    #[inline]
    pub fn now() -> Timestamp {
        now_by(Timestamp::now)
    }

    /// The same by another clock, for a thread that goes by no other.
    #[inline]
    pub(super) fn now_by(clock: impl FnOnce() -> Timestamp) -> Timestamp {
        let ticks = ticks();
        if let Some((then, time)) = LAST.get() {
            // A counter that went back is far ahead after the subtraction.
            let passed = ticks.wrapping_sub(then);
            if passed < WINDOW.load(Ordering::Acquire) {
                let micros = (u128::from(passed) * u128::from(RATE.load(Ordering::Relaxed))) >> 64;
                return Timestamp::from_micros(time.as_micros() + micros as i64);
            }
        }
        let time = clock();
        let after = self::ticks();
        LAST.set((after.wrapping_sub(ticks) < AT_ONCE).then_some((after, time)));
        if IS_WATCHED.load(Ordering::Relaxed) {
            watch();
        }
        time
    }

    #[inline]
    fn ticks() -> u64 {
        // SAFETY: reading the counter touches no memory; every x86-64 processor has it.
        unsafe { std::arch::x86_64::_rdtsc() }
    }

    /// Finds out how long a tick is, if the counter has been watched for long enough.
    #[cold]
    fn watch() {
        static BEGUN: Mutex<Option<(u64, Instant)>> = Mutex::new(None);
        // Whoever has the lock does it.
        let Ok(mut begun) = BEGUN.try_lock() else { return };
        if begun.is_none() && !is_the_kernels() {
            IS_WATCHED.store(false, Ordering::Relaxed);
            return;
        }
        let Some((ticks, now)) = read_both() else { return };
        let (then, since) = *begun.get_or_insert((ticks, now));
        let (ticks_passed, passed) = (u128::from(ticks.wrapping_sub(then)), now - since);
        if passed > MOST {
            *begun = Some((ticks, now));
        } else if passed >= LEAST {
            let micros = passed.as_micros();
            // Anything else than 1 to 16 GHz is no counter to go by.
            if (micros * 1000..micros * 16_000).contains(&ticks_passed) {
                RATE.store(((micros << 64) / ticks_passed) as u64, Ordering::Relaxed);
                WINDOW.store((ticks_passed * ASK_AGAIN / micros) as u64, Ordering::Release);
            }
            IS_WATCHED.store(false, Ordering::Relaxed);
        }
    }

    fn read_both() -> Option<(u64, Instant)> {
        let before = ticks();
        let now = Instant::now();
        (ticks().wrapping_sub(before) < AT_ONCE).then_some((before, now))
    }

    /// Whether the kernel tells the time by the counter: then it ticks evenly, and is the same on all cores.
    fn is_the_kernels() -> bool {
        const CLOCK: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        std::fs::read_to_string(CLOCK).is_ok_and(|name| name.trim_end() == "tsc")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::event::IdGenerator;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_clock_that_steps_back_an_hour_and_forward_a_day_is_followed_and_ids_stay_unique() {
        const HOUR: i64 = 3_600_000_000;
        // So far a time may be ahead of what the clock said when it was asked.
        const ASK_AGAIN: i64 = 1001;
        let mut clock = 1_800_000_000_000_000;
        let (mut ids, mut seen) = (IdGenerator::new(), HashSet::new());
        for (least, step) in [(1000, 0), (2000, -HOUR), (3000, 24 * HOUR)] {
            let before = clock;
            clock += step;
            loop {
                let time = ticking::now_by(|| Timestamp::from_micros(clock));
                assert!(seen.insert(ids.next(time)), "{time} gave an id again");
                let ahead_of = |clock| (0..=ASK_AGAIN).contains(&(time.as_micros() - clock));
                // Until it is asked again, it goes on from before.
                assert!(ahead_of(clock) || ahead_of(before), "{time}");
                if ahead_of(clock) && seen.len() >= least {
                    break;
                }
            }
        }
    }

    #[test]
    fn it_is_within_three_microseconds_of_the_systems_clock_from_the_first_time_on() {
        let begun = Instant::now();
        // Meanwhile the length of a tick is found out.
        while begun.elapsed() < Duration::from_millis(300) {
            let before = Timestamp::now().as_micros();
            let now = now().as_micros();
            let after = Timestamp::now().as_micros();
            // Where the clock is set meanwhile, by however little, nothing can be said.
            if after >= before {
                assert!((before - 3..=after + 1).contains(&now), "{before} {now} {after}");
            }
        }
    }
}
