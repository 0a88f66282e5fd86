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

    /// Wrapping sum with a word that is read from memory.
    #[inline(always)]
    fn add_from(self, word: &Self) -> Self {
        self.add(*word)
    }

    /// Exclusive or.
    fn xor(self, other: Self) -> Self;

    /// Exclusive or, rotated right by one of the four distances: 32, 24, 16 or 63.
    fn xor_rotate<const BITS: i32>(self, other: Self) -> Self;

    /// For words `[a, b, c, d]` of the state at each of several places: `a += b`, `d = (d ^ a) >>> D`, `c += d`, `b = (b ^ c) >>> B`.
    /// Step by step at all places, so that what does not wait for each other stands together.
    #[inline(always)]
    fn mix<const N: usize, const D: i32, const B: i32>(quartets: &mut [[Self; 4]; N]) {
        mix_freely::<Self, N, D, B>(quartets);
    }

    /// Bit `i` is set where lane `i` is at least lane `i` of `bound`, unsigned.
    fn at_least(self, bound: Self) -> u32;
}

/// [`Lanes::mix`] for lanes that leave the choice of instructions to the compiler.
#[inline(always)]
pub(super) fn mix_freely<L: Lanes, const N: usize, const D: i32, const B: i32>(quartets: &mut [[L; 4]; N]) {
    for [a, b, _, _] in &mut *quartets {
        *a = a.add(*b);
    }
    for [a, _, _, d] in &mut *quartets {
        *d = d.xor_rotate::<D>(*a);
    }
    for [_, _, c, d] in &mut *quartets {
        *c = c.add(*d);
    }
    for [_, b, c, _] in &mut *quartets {
        *b = b.xor_rotate::<B>(*c);
    }
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
