//! Floats as integers of the same order.

/// Bits of a float that are all set in infinities and in what is not a number.
pub(super) const EXPONENT: u32 = 0x7f80_0000;

/// Key of a float: keys are ordered as [`f32::total_cmp`] orders the floats.
#[inline(always)]
pub(super) fn key(value: f32) -> u32 {
    let bits = value.to_bits();
    bits ^ (((bits as i32) >> 31) as u32 | 0x8000_0000)
}

/// The float of a key.
#[inline(always)]
pub(super) fn value(key: u32) -> f32 {
    f32::from_bits(key ^ (!((key as i32) >> 31) as u32 | 0x8000_0000))
}
