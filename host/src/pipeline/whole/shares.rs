//! What `capacity_bytes` is for: segments of the spool that stay mapped, and lines.

use crate::config::BufferSettings;

/// Bytes beyond `capacity_bytes` that there may be for lines where all of it is for segments.
const MOST_SURPLUS: usize = 8 << 20;

/// What `capacity_bytes` is for, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Shares {
    /// Segments of the spool that stay mapped.
    pub segments: usize,
    /// Lines, and without a spool all that waits. With one few are needed at a time, since a sink reads in order.
    pub lines: usize,
}

impl Shares {
    /// A spool that is not larger than `capacity_bytes` stays mapped as a whole; a larger one in part.
    pub fn of(buffer: &BufferSettings) -> Self {
        let capacity = buffer.capacity_bytes;
        let Some(spool) = &buffer.spool else { return Self { segments: 0, lines: capacity } };
        match usize::try_from(spool.max_bytes) {
            Ok(most) if most <= capacity => {
                Self { segments: most, lines: (capacity - most).max(MOST_SURPLUS.min(capacity / 8)) }
            }
            _ => Self { segments: capacity / 4 * 3, lines: capacity / 4 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SpoolSettings;

    const MIB: usize = 1 << 20;

    fn shares(capacity: usize, spool: Option<usize>) -> Shares {
        let settings = |max: usize| SpoolSettings { max_bytes: max as u64, ..SpoolSettings::new("/spool") };
        let spool = spool.map(settings);
        Shares::of(&BufferSettings { capacity_bytes: capacity, spool, ..BufferSettings::default() })
    }

    #[test]
    fn segments_and_lines_take_no_more_than_capacity_bytes_and_8_mib() {
        for capacity in [MIB, 64 * MIB, 1024 * MIB] {
            for spool in [None, Some(MIB / 2), Some(MIB), Some(63 * MIB), Some(64 * MIB), Some(4096 * MIB)] {
                let Shares { segments, lines } = shares(capacity, spool);
                assert!(segments + lines <= capacity + MOST_SURPLUS, "{capacity}, {spool:?}");
                assert!(lines >= capacity.min(64 * MIB) / 8, "{capacity}, {spool:?}");
            }
        }
    }

    #[test]
    fn a_spool_that_fits_stays_mapped_as_a_whole_and_a_larger_one_in_part() {
        assert_eq!(shares(64 * MIB, Some(64 * MIB)), Shares { segments: 64 * MIB, lines: 8 * MIB });
        assert_eq!(shares(64 * MIB, Some(16 * MIB)), Shares { segments: 16 * MIB, lines: 48 * MIB });
        assert_eq!(shares(64 * MIB, Some(65 * MIB)), Shares { segments: 48 * MIB, lines: 16 * MIB });
    }
}
