//! CRC-32C of a frame.
//!
//! The processor takes three cycles for a word that waits for the one before, and one for a word that does not. The library
//! goes on with three parts side by side from 768 bytes on; a frame has 200 to 500, and its checksum was a quarter of what
//! recording into the spool takes. So here the parts are shorter. The checksum is the library's, by which damage is looked
//! for.

/// The checksum of `before` and then these bytes, if `crc` is that of `before`.
#[inline]
pub fn append(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() <= side_by_side::MOST_BYTES
        && is_x86_feature_detected!("sse4.2")
        && is_x86_feature_detected!("pclmulqdq")
    {
        // SAFETY: the processor has the two features that the function needs.
        return unsafe { side_by_side::append(crc, bytes) };
    }
    crc32c::crc32c_append(crc, bytes)
}

/// The product of a polynomial with x, modulo that of CRC-32C. The highest bit is the coefficient of 1.
pub const fn times_x(polynomial: u32) -> u32 {
    const CRC_32C: u32 = 0x82f6_3b78;
    if polynomial & 1 == 0 { polynomial >> 1 } else { polynomial >> 1 ^ CRC_32C }
}

#[cfg(target_arch = "x86_64")]
mod side_by_side {
    use std::arch::x86_64::{
        _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64, _mm_cvtsi64_si128,
        _mm_cvtsi128_si64,
    };

    use super::times_x;

    /// Parts.
    const PARTS: usize = 3;
    /// Words of a part, at most.
    const MOST_WORDS: usize = 128;
    /// Bytes that are summed here, at most.
    pub const MOST_BYTES: usize = PARTS * MOST_WORDS * 8;

    /// For each number of words: x to the power of so many bits less 33, of which the product of two such polynomials and the
    /// checksum of a word take care.
    static POWERS: [u32; MOST_WORDS * 2 + 1] = powers();

    const fn powers() -> [u32; MOST_WORDS * 2 + 1] {
        let mut powers = [0; MOST_WORDS * 2 + 1];
        let (mut power, mut words) = (1, 1);
        while words < powers.len() {
            powers[words] = power;
            let mut bit = 0;
            while bit < 64 {
                power = times_x(power);
                bit += 1;
            }
            words += 1;
        }
        powers
    }

    #[target_feature(enable = "sse4.2,pclmulqdq")]
    pub fn append(crc: u32, bytes: &[u8]) -> u32 {
        // Aligned, as the frame was written: what was stored a moment ago is there at once only if it is read as it was stored.
        let (head, rest) = bytes.split_at(bytes.as_ptr().align_offset(8).min(bytes.len()));
        let (words, tail) = rest.as_chunks::<8>();
        let part = words.len() / PARTS;
        let (first, rest) = words.split_at(part);
        let (second, rest) = rest.split_at(part);
        let (third, rest) = rest.split_at(part);
        let mut crc = u64::from(few(!crc, head));
        if part > 0 {
            let (mut b, mut c) = (0, 0);
            for ((first, second), third) in first.iter().zip(second).zip(third) {
                crc = _mm_crc32_u64(crc, u64::from_le_bytes(*first));
                b = _mm_crc32_u64(b, u64::from_le_bytes(*second));
                c = _mm_crc32_u64(c, u64::from_le_bytes(*third));
            }
            crc = moved_on(crc, part * 2) ^ moved_on(b, part) ^ c;
        }
        for word in rest {
            crc = _mm_crc32_u64(crc, u64::from_le_bytes(*word));
        }
        !few(crc as u32, tail)
    }

    /// What these few bytes make of a sum.
    #[target_feature(enable = "sse4.2")]
    fn few(mut crc: u32, mut bytes: &[u8]) -> u32 {
        if let Some((four, rest)) = bytes.split_first_chunk::<4>() {
            crc = _mm_crc32_u32(crc, u32::from_le_bytes(*four));
            bytes = rest;
        }
        bytes.iter().fold(crc, |crc, byte| _mm_crc32_u8(crc, *byte))
    }

    /// What so many words of zeros make of a sum.
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn moved_on(crc: u64, words: usize) -> u64 {
        let power = _mm_cvtsi64_si128(i64::from(POWERS[words]));
        let product = _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(crc as i64), power);
        _mm_crc32_u64(0, _mm_cvtsi128_si64(product) as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_the_known_one() {
        assert_eq!(append(0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn it_is_the_librarys_at_each_length_and_alignment() {
        let bytes: Vec<u8> = (0..4000_u32).map(|at| ((at * 7) ^ (at >> 3)) as u8).collect();
        for from in 0..8 {
            for to in from..bytes.len() {
                let part = &bytes[from..to];
                assert_eq!(
                    append(from as u32, part),
                    crc32c::crc32c_append(from as u32, part),
                    "{from} {to}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_the_librarys(crc in any::<u32>(), bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            prop_assert_eq!(append(crc, &bytes), crc32c::crc32c_append(crc, &bytes));
        }
    }
}
