//! What an instruction set has to offer: arithmetic on some 64-bit words side by side, one for each nonce.
#![expect(clippy::inline_always, reason = "each is a few instructions of the search loop")]

/// Some 64-bit words that are computed on together, one for each nonce.
pub(super) trait Lanes: Copy {
    /// How many; at most 16.
    const COUNT: u32;

    /// The same word in each lane.
    fn splat(word: u64) -> Self;

    /// `start` in lane 0, and in each further lane one more than in the one before, wrapping.
    fn counting(start: u64) -> Self;

    /// Wrapping sum.
    fn add(self, other: Self) -> Self;

    /// Exclusive or.
    fn xor(self, other: Self) -> Self;

    /// Exclusive or, rotated right by one of the four distances: 32, 24, 16 or 63.
    fn xor_rotate<const BITS: i32>(self, other: Self) -> Self;

    /// Bit `i` is set where lane `i` is at least lane `i` of `bound`, unsigned.
    fn at_least(self, bound: Self) -> u32;
}

/// Fails to compile for a distance that BLAKE2b does not rotate by.
#[inline(always)]
pub(super) const fn assert_distance<const BITS: i32>() {
    const { assert!(matches!(BITS, 32 | 24 | 16 | 63), "BLAKE2b rotates by no other distance") }
}

/// Which byte comes from where when two words beside each other rotate right by this many bytes: what shuffles of bytes take.
pub(super) const fn rotating_bytes(bytes: u8) -> [u8; 16] {
    let mut from = [0; 16];
    let mut place = 0;
    while place < 16 {
        from[place as usize] = place / 8 * 8 + (place + bytes) % 8;
        place += 1;
    }
    from
}
