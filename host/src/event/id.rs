//! Ids of events: UUIDv7 without a system call each.
//!
//! A generator is used by one thread at a time: it is seeded once from the operating system and then costs a few
//! nanoseconds an id (`Uuid::now_v7` costs hundreds: a mutex and fresh randomness). Within one millisecond the ids of a
//! generator increase. A forked child must make generators of its own, or it repeats its parent's ids.

use audit_plugin_api::{Timestamp, Uuid};

/// Low 74 bits: all of a UUIDv7 but its time, version and variant.
const RANDOM_BITS: u32 = 74;

/// Makes UUIDv7s.
#[derive(Clone, Debug)]
pub struct IdGenerator {
    /// Of xoroshiro128++; never all zero.
    state: [u64; 2],
    last_milliseconds: u64,
    last_random: u128,
}

impl IdGenerator {
    /// A generator with a seed from the operating system.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        // The version and variant bits of a random UUID are fixed, so that the state cannot be all zero.
        let (high, low) = Uuid::new_v4().as_u64_pair();
        Self { state: [high, low], last_milliseconds: u64::MAX, last_random: 0 }
    }

    /// The next id, for an event of this time (one before 1970 gets an id of 1970).
    #[inline]
    pub fn next(&mut self, timestamp: Timestamp) -> Uuid {
        let milliseconds = milliseconds_of(timestamp);
        let step = self.next_random();
        // Bit 73 of the first one is clear, so that 2^41 steps of at most 2^32 fit in.
        self.last_random = if milliseconds == self.last_milliseconds {
            self.last_random + 1 + u128::from(step >> 32)
        } else {
            (u128::from(step) << 64 | u128::from(self.next_random())) & ((1 << (RANDOM_BITS - 1)) - 1)
        };
        self.last_milliseconds = milliseconds;
        uuid_v7(milliseconds, self.last_random)
    }

    #[inline]
    fn next_random(&mut self) -> u64 {
        let [a, mut b] = self.state;
        let random = a.wrapping_add(b).rotate_left(17).wrapping_add(a);
        b ^= a;
        self.state = [a.rotate_left(49) ^ b ^ (b << 21), b.rotate_left(28)];
        random
    }
}

/// The UUIDv7 of this time with these random bits; the same arguments give the same id.
pub fn derived_id(timestamp: Timestamp, random: u128) -> Uuid {
    uuid_v7(milliseconds_of(timestamp), random)
}

/// The id of this text, if it is as ids are written: hyphenated, in lower case.
#[inline]
pub(super) fn parse_canonical_id(text: &[u8; 36]) -> Option<Uuid> {
    let mut digits = [0; 32];
    let mut is_canonical = true;
    for (from, len, at) in [(0, 8, 0), (9, 4, 8), (14, 4, 12), (19, 4, 16), (24, 12, 20)] {
        digits[at..at + len].copy_from_slice(&text[from..from + len]);
        is_canonical &= from == 0 || text[from - 1] == b'-';
    }
    // Of all digits at once, without a branch for each: what is no digit becomes 16 or more.
    for digit in &mut digits {
        *digit = match digit.wrapping_sub(b'0') {
            value @ 0..10 => value,
            _ => digit.wrapping_sub(b'a').saturating_add(10),
        };
    }
    is_canonical &= digits.iter().fold(0, |all, digit| all | digit) < 16;
    is_canonical.then(|| Uuid::from_bytes(std::array::from_fn(|at| digits[at * 2] << 4 | digits[at * 2 + 1])))
}

#[inline]
fn milliseconds_of(timestamp: Timestamp) -> u64 {
    (timestamp.as_micros().max(0) / 1000) as u64
}

#[inline]
fn uuid_v7(milliseconds: u64, random: u128) -> Uuid {
    let high = milliseconds << 16 | 0x7000 | (random >> 62) as u64 & 0x0fff;
    let low = 1 << 63 | random as u64 & (u64::MAX >> 2);
    Uuid::from_u64_pair(high, low)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample;

    use super::*;

    #[test]
    fn ids_of_one_millisecond_increase() {
        let mut ids = IdGenerator::new();
        let timestamp = Timestamp::from_micros(1_795_000_000_123_456);
        let made: Vec<_> = (0..100_000).map(|_| ids.next(timestamp)).collect();
        assert!(made.is_sorted_by(|earlier, later| earlier < later));
    }

    #[test]
    fn generators_do_not_repeat_each_other() {
        let timestamp = Timestamp::from_micros(1_795_000_000_123_456);
        let mut seen = HashSet::new();
        for _ in 0..100 {
            let mut ids = IdGenerator::new();
            assert!((0..100).all(|_| seen.insert(ids.next(timestamp))));
        }
    }

    #[test]
    fn random_bits_are_balanced() {
        let mut ids = IdGenerator::new();
        let mut ones = [0_u32; 128];
        for millisecond in 0..10_000 {
            let id = ids.next(Timestamp::from_micros(millisecond * 1000)).as_u128();
            (0..128).for_each(|bit| ones[bit] += (id >> bit & 1) as u32);
        }
        // Bit 73 of the random part, which is bit 75 of the id, is kept clear.
        let random = (0..62).chain(64..75);
        assert!(random.clone().all(|bit| (4_500..5_500).contains(&ones[bit])), "{ones:?}");
        assert_eq!(ones[75], 0);
    }

    proptest! {
        #[test]
        fn a_text_is_an_id_exactly_if_the_id_is_written_so(
            id in any::<[u8; 16]>(),
            damage in vec((0..36_usize, prop_oneof![any::<u8>(), sample::select(b"09afAF/:`g-".to_vec())]), 0..3),
        ) {
            let mut text = [0; 36];
            Uuid::from_bytes(id).hyphenated().encode_lower(&mut text);
            prop_assert_eq!(parse_canonical_id(&text), Some(Uuid::from_bytes(id)));
            damage.into_iter().for_each(|(at, byte)| text[at] = byte);
            let other = Uuid::try_parse_ascii(&text).ok();
            let is_canonical = other.is_some_and(|id| id.to_string().as_bytes() == text);
            prop_assert_eq!(parse_canonical_id(&text), other.filter(|_| is_canonical));
        }

        #[test]
        fn an_id_holds_version_variant_and_time(micros in any::<i64>(), random in any::<u128>()) {
            let timestamp = Timestamp::from_micros(micros);
            let millis = timestamp.as_micros().max(0) as u64 / 1000;
            for id in [IdGenerator::new().next(timestamp), derived_id(timestamp, random)] {
                prop_assert_eq!(id.get_version_num(), 7);
                prop_assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
                let (seconds, nanos) = id.get_timestamp().expect("a v7 has a time").to_unix();
                prop_assert_eq!(seconds * 1000 + u64::from(nanos) / 1_000_000, millis);
            }
            prop_assert_eq!(derived_id(timestamp, random), derived_id(timestamp, random));
        }
    }
}
