//! Checksums of any parts of a segment, each at the same small cost however long the part is.
//!
//! Where a frame is damaged, each place behind it may be the beginning of another. A text can be made so that each of them looks
//! like a long one: if their checksums were taken byte by byte, a segment of 4 MiB would take most of a minute. So the
//! checksum of a long part is told from those of all that is before its end and before its beginning.

use std::cell::OnceCell;
use std::ops::Range;

use super::crc::times_x;

/// Checksums up to each multiple of this are kept.
const BLOCK: usize = 64;
/// Shorter parts are read.
const LONG: usize = 512;

/// Checksums of parts of these bytes.
pub struct Checksums<'a> {
    bytes: &'a [u8],
    seed: u32,
    /// Of all that is before each block; made for the first long part.
    blocks: OnceCell<Vec<u32>>,
}

impl<'a> Checksums<'a> {
    /// Those that start with this seed.
    pub fn new(bytes: &'a [u8], seed: u32) -> Self {
        Self { bytes, seed, blocks: OnceCell::new() }
    }

    /// The checksum of this part, which must be within the bytes, and of less than 4 GiB.
    pub fn of(&self, part: Range<usize>) -> u32 {
        if part.len() < LONG {
            return sum(self.seed, &self.bytes[part]);
        }
        // Two checksums of the same bytes differ by that in which their starts differ, moved on.
        let start = self.before(part.start) ^ self.seed;
        self.before(part.end) ^ move_on(start, part.len())
    }

    fn before(&self, end: usize) -> u32 {
        let blocks = self.blocks.get_or_init(|| {
            let mut blocks = vec![0];
            blocks.extend(self.bytes.chunks(BLOCK).scan(0, |crc, block| {
                *crc = sum(*crc, block);
                Some(*crc)
            }));
            blocks
        });
        sum(blocks[end / BLOCK], &self.bytes[end / BLOCK * BLOCK..end])
    }
}

fn sum(start: u32, bytes: &[u8]) -> u32 {
    #[cfg(test)]
    tests::SUMMED.with(|summed| summed.set(summed.get() + bytes.len() as u64));
    crc32c::crc32c_append(start, bytes)
}

/// What the difference of two checksums becomes by so many bytes: its product with a power of x. The library has this too, and
/// takes thousands of steps for it, which are dozens here: it is asked for at each place of a damaged segment.
fn move_on(difference: u32, bytes: usize) -> u32 {
    let digits = (bytes as u64).to_le_bytes();
    let powers = digits.iter().zip(&POWERS).map(|(digit, powers)| powers[usize::from(*digit)]);
    powers.fold(difference, product)
}

/// For each digit of a number of bytes to the base 256: x to the power of the bits that it stands for.
static POWERS: [[u32; 256]; 4] = powers();

const ONE: u32 = 1 << 31;
const X_TO_THE_8: u32 = ONE >> 8;
const fn powers() -> [[u32; 256]; 4] {
    let (mut powers, mut base, mut place) = ([[ONE; 256]; 4], X_TO_THE_8, 0);
    while place < powers.len() {
        let mut digit = 1;
        while digit < 256 {
            powers[place][digit] = product(powers[place][digit - 1], base);
            digit += 1;
        }
        base = product(powers[place][255], base);
        place += 1;
    }
    powers
}

/// The product of two polynomials, modulo that of CRC-32C.
const fn product(a: u32, mut b: u32) -> u32 {
    let (mut sum, mut coefficient) = (0, ONE);
    while coefficient != 0 {
        if a & coefficient != 0 {
            sum ^= b;
        }
        coefficient >>= 1;
        b = times_x(b);
    }
    sum
}

#[cfg(test)]
pub mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        /// Bytes that checksums were taken of, in this thread.
        pub static SUMMED: Cell<u64> = const { Cell::new(0) };
    }

    proptest! {
        #[test]
        fn the_checksum_of_a_part_is_that_of_its_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..3000),
            seed in any::<u32>(),
            ends in any::<[prop::sample::Index; 2]>(),
        ) {
            let mut ends = ends.map(|end| end.index(bytes.len() + 1));
            ends.sort_unstable();
            let checksum = Checksums::new(&bytes, seed).of(ends[0]..ends[1]);
            prop_assert_eq!(checksum, crc32c::crc32c_append(seed, &bytes[ends[0]..ends[1]]));
        }
    }

    #[test]
    fn a_part_of_any_length_costs_little() {
        let bytes: Vec<u8> = (0..(17 << 20)).map(|at: u32| (at ^ at >> 8) as u8).collect();
        let checksums = Checksums::new(&bytes, 7);
        checksums.of(0..LONG);
        for len in [LONG - 1, LONG, 1 << 16, 1 << 20, (1 << 24) + 12345] {
            let before = SUMMED.get();
            let checksum = checksums.of(77..77 + len);
            assert!(SUMMED.get() - before < LONG as u64, "{len}");
            assert_eq!(checksum, crc32c::crc32c_append(7, &bytes[77..77 + len]), "{len}");
        }
    }
}
