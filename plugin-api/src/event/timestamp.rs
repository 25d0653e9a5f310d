//! A moment in UTC, to the microsecond.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::InvalidEvent;

/// What a time without UTC offset means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingOffset {
    /// Nothing: it is refused.
    #[default]
    Refuse,
    /// It is in UTC.
    AssumeUtc,
}

/// A moment in UTC, to the microsecond, in the years 0000 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Days from 0000-01-01 to 1970-01-01.
const DAYS_BEFORE_EPOCH: i64 = 719_528;
/// 0000-01-01T00:00:00Z.
const FIRST: i64 = -DAYS_BEFORE_EPOCH * SECONDS_PER_DAY * MICROS_PER_SECOND;
/// 9999-12-31T23:59:59.999999Z.
const LAST: i64 = 253_402_300_800 * MICROS_PER_SECOND - 1;

impl Timestamp {
    /// Length in bytes of its text.
    pub const TEXT_LEN: usize = 32;

    /// The moment this many microseconds after 1970-01-01T00:00:00Z, or the nearest one within the years 0000 to 9999.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(FIRST, LAST))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// The time of the system's clock.
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// Reads an RFC 3339 time: any offset, 0 to 9 digits behind the second, cut to 6. The leap second 60 is read as 59.
    pub fn parse(text: &[u8], missing_offset: MissingOffset) -> Result<Self, InvalidEvent> {
        let (local, offset) = parse_parts(text).ok_or_else(|| InvalidEvent::timestamp(text))?;
        let offset = match (offset, missing_offset) {
            (Some(offset), _) => offset,
            (None, MissingOffset::AssumeUtc) => 0,
            (None, MissingOffset::Refuse) => return Err(InvalidEvent::missing_offset(text)),
        };
        let micros = local - offset * MICROS_PER_SECOND;
        if (FIRST..=LAST).contains(&micros) { Ok(Self(micros)) } else { Err(InvalidEvent::timestamp(text)) }
    }

    /// Reads its text as it is written; `None` for every other one, also where [`Timestamp::parse`] would read it.
    #[inline]
    pub fn parse_canonical(text: &[u8; Self::TEXT_LEN]) -> Option<Self> {
        const FORM: &[u8; Timestamp::TEXT_LEN] = b"0000-00-00T00:00:00.000000+00:00";
        const MOST: &[u8; Timestamp::TEXT_LEN] = b"9999-99-99T99:99:99.999999+00:00";
        let mut digits = [0; Self::TEXT_LEN];
        let mut is_canonical = true;
        for at in 0..Self::TEXT_LEN {
            digits[at] = text[at].wrapping_sub(FORM[at]);
            is_canonical &= digits[at] <= MOST[at] - FORM[at];
        }
        let two = |at: usize| u32::from(digits[at]) * 10 + u32::from(digits[at + 1]);
        let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
        let (hour, minute, second) = (two(11), two(14), two(17));
        is_canonical &= (1..=12).contains(&month) && hour < 24 && minute < 60 && second < 60;
        if !is_canonical || day == 0 || day > days_in_month(year, month) {
            return None;
        }
        let days = i64::from(days_from_civil(year, month, day)) - DAYS_BEFORE_EPOCH;
        let seconds = days * SECONDS_PER_DAY + i64::from(hour * 3600 + minute * 60 + second);
        let micros = two(20) * 10_000 + two(22) * 100 + two(24);
        Some(Self(seconds * MICROS_PER_SECOND + i64::from(micros)))
    }

    /// Writes its text, as `2026-11-24T02:54:18.387810+00:00`.
    #[inline]
    pub fn write_text(self, text: &mut [u8; Self::TEXT_LEN]) {
        let since_first = (self.0 - FIRST) as u64;
        let micros = (since_first % MICROS_PER_SECOND as u64) as u32;
        let seconds = since_first / MICROS_PER_SECOND as u64;
        let second_of_day = (seconds % SECONDS_PER_DAY as u64) as u32;
        let (year, month, day) = civil_from_days((seconds / SECONDS_PER_DAY as u64) as u32);

        *text = *b"0000-00-00T00:00:00.000000+00:00";
        let mut put =
            |at: usize, number: u32| text[at..at + 2].copy_from_slice(&TWO_DIGITS[number as usize % 100]);
        put(0, year / 100);
        put(2, year % 100);
        put(5, month);
        put(8, day);
        put(11, second_of_day / 3600);
        put(14, second_of_day / 60 % 60);
        put(17, second_of_day % 60);
        put(20, micros / 10_000);
        put(22, micros / 100 % 100);
        put(24, micros % 100);
    }
}

impl From<SystemTime> for Timestamp {
    /// The moment of the system's clock, or the nearest one within the years 0000 to 9999.
    fn from(time: SystemTime) -> Self {
        let micros = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(LAST),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(FIRST, |micros| -micros),
        };
        Self::from_micros(micros)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::TEXT_LEN];
        self.write_text(&mut text);
        formatter.write_str(&String::from_utf8_lossy(&text))
    }
}

/// `00` to `99`.
const TWO_DIGITS: [[u8; 2]; 100] = {
    let mut digits = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        digits[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    digits
};

/// Year, month and day of this many days after 0000-01-01 (Howard Hinnant's `civil_from_days`, four centuries on).
fn civil_from_days(days: u32) -> (u32, u32, u32) {
    let days = days + 146_097 - 60;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u32::from(month <= 2) - 400;
    (year, month, day)
}

/// Days from 0000-01-01 to this day.
fn days_from_civil(year: u32, month: u32, day: u32) -> u32 {
    let shifted = year + 400 - u32::from(month <= 2);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year + 60 - 146_097
}

fn days_in_month(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Microseconds since 1970 by the clock on the wall there, and the wall's offset in seconds.
fn parse_parts(text: &[u8]) -> Option<(i64, Option<i64>)> {
    let (
        &[
            y1,
            y2,
            y3,
            y4,
            b'-',
            m1,
            m2,
            b'-',
            d1,
            d2,
            b'T' | b't' | b' ',
            hh1,
            hh2,
            b':',
            mm1,
            mm2,
            b':',
            ss1,
            ss2,
        ],
        rest,
    ) = text.split_first_chunk::<19>()?
    else {
        return None;
    };
    let year = number([y1, y2])? * 100 + number([y3, y4])?;
    let month = number([m1, m2]).filter(|month| (1..=12).contains(month))?;
    let day = number([d1, d2]).filter(|day| (1..=days_in_month(year, month)).contains(day))?;
    let hour = number([hh1, hh2]).filter(|hour| *hour < 24)?;
    let minute = number([mm1, mm2]).filter(|minute| *minute < 60)?;
    let second = number([ss1, ss2]).filter(|second| *second <= 60)?.min(59);
    let (micros, rest) = parse_fraction(rest)?;
    let offset = parse_offset(rest)?;
    let days = i64::from(days_from_civil(year, month, day)) - DAYS_BEFORE_EPOCH;
    let seconds = days * SECONDS_PER_DAY + i64::from(hour * 3600 + minute * 60 + second);
    Some((seconds * MICROS_PER_SECOND + micros, offset))
}

fn number([tens, ones]: [u8; 2]) -> Option<u32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit())
        .then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(fraction) = text.strip_prefix(b".") else { return Some((0, text)) };
    let len = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = fraction.split_at_checked(len).filter(|_| (1..=9).contains(&len))?;
    let mut six = *b"000000";
    let kept = len.min(6);
    six[..kept].copy_from_slice(&digits[..kept]);
    let [a, b, c, d, e, f] = six;
    let micros = number([a, b])? * 10_000 + number([c, d])? * 100 + number([e, f])?;
    Some((micros.into(), rest))
}

/// The offset in seconds; `Some(None)` where there is none.
fn parse_offset(text: &[u8]) -> Option<Option<i64>> {
    match *text {
        [] => Some(None),
        [b'Z' | b'z'] => Some(Some(0)),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = number([h1, h2]).filter(|hours| *hours < 24)?;
            let minutes = number([m1, m2]).filter(|minutes| *minutes < 60)?;
            let seconds = i64::from(hours * 3600 + minutes * 60);
            Some(Some(if sign == b'-' { -seconds } else { seconds }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        Timestamp::parse(text.as_bytes(), MissingOffset::Refuse)
            .map(|timestamp| timestamp.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_offset_becomes_utc() {
        for text in [
            "2026-11-24T02:54:18.387810Z",
            "2026-11-24T08:24:18.38781+05:30",
            "2026-11-23t21:54:18.387810999-05:00",
        ] {
            assert_eq!(parse(text).as_deref(), Ok("2026-11-24T02:54:18.387810+00:00"));
        }
        assert_eq!(parse("0001-01-01T00:00:00+23:59").as_deref(), Ok("0000-12-31T00:01:00.000000+00:00"));
    }

    #[test]
    fn no_digits_to_nine_digits_are_cut_to_six() {
        for digits in 0..=9 {
            let fraction = if digits == 0 { String::new() } else { format!(".{}", &"987654321"[..digits]) };
            let expected = format!("2026-02-28T23:59:59.{:0<6}+00:00", &"987654"[..digits.min(6)]);
            assert_eq!(parse(&format!("2026-02-28T23:59:59{fraction}Z")), Ok(expected));
        }
    }

    #[test]
    fn a_leap_second_is_read_as_the_one_before() {
        assert_eq!(parse("2016-12-31T23:59:60.5Z").as_deref(), Ok("2016-12-31T23:59:59.500000+00:00"));
    }

    #[test]
    fn what_is_not_rfc_3339_is_refused() {
        for text in [
            "",
            "2026-11-24",
            "2026-11-24T02:54Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00+0530",
            "2026-01-01T00:00:00+05",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00Z ",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:00,5Z",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "1764000000",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("timestamp '{text}' is no RFC 3339 time")), "{text}: {error}");
        }
    }

    #[test]
    fn a_time_without_offset_is_read_as_utc_only_when_told() {
        let text = b"2026-11-24T02:54:18";
        let error = Timestamp::parse(text, MissingOffset::Refuse).unwrap_err().to_string();
        assert_eq!(
            error,
            "timestamp '2026-11-24T02:54:18' has no UTC offset: add one (+00:00), or use --assume-utc"
        );
        let timestamp = Timestamp::parse(text, MissingOffset::AssumeUtc).unwrap();
        assert_eq!(timestamp.to_string(), "2026-11-24T02:54:18.000000+00:00");
    }

    #[test]
    fn a_number_out_of_range_is_the_nearest_year() {
        assert_eq!(Timestamp::from_micros(i64::MIN).to_string(), "0000-01-01T00:00:00.000000+00:00");
        assert_eq!(Timestamp::from_micros(i64::MAX).to_string(), "9999-12-31T23:59:59.999999+00:00");
    }

    proptest! {
        #[test]
        fn text_is_what_jiff_writes_and_parse_undoes_it(micros in FIRST..=LAST) {
            let timestamp = Timestamp::from_micros(micros);
            let text = timestamp.to_string();
            prop_assert_eq!(Timestamp::parse(text.as_bytes(), MissingOffset::Refuse), Ok(timestamp));
            prop_assert_eq!(text.as_bytes().as_array().and_then(Timestamp::parse_canonical), Some(timestamp));
            // jiff's range is a little smaller than ours at both ends.
            if let Ok(theirs) = jiff::Timestamp::from_microsecond(micros) {
                prop_assert_eq!(format!("{theirs:.6}").replace('Z', "+00:00"), text);
            }
        }

        #[test]
        fn a_canonical_time_is_read_alike_both_ways(
            micros in FIRST..=LAST,
            damage in proptest::collection::vec((0..Timestamp::TEXT_LEN, prop_oneof![any::<u8>(), b'0'..=b'9']), 0..4),
        ) {
            let mut text = [0; Timestamp::TEXT_LEN];
            Timestamp(micros).write_text(&mut text);
            damage.into_iter().for_each(|(at, byte)| text[at] = byte);
            let parsed = Timestamp::parse(&text, MissingOffset::Refuse).ok();
            let is_canonical = parsed.is_some_and(|parsed| parsed.to_string().as_bytes() == text);
            prop_assert_eq!(Timestamp::parse_canonical(&text), parsed.filter(|_| is_canonical));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            let _ = Timestamp::parse(&bytes, MissingOffset::AssumeUtc);
        }
    }
}
