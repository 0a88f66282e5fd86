//! The one source of chance: seeded, fixed for ever, and fast.

/// A stream of random numbers that is a function of its seed: xoshiro256++, seeded by splitmix64. Not for secrets.
///
/// It is written here, in a few lines, so that a run depends on its seed and on this repository alone: generators of libraries
/// may change their streams between versions.
///
/// # Source
/// Blackman and Vigna, "Scrambled linear pseudorandom number generators" (2021), and their reference code.
#[derive(Debug, Clone)]
pub struct Random([u64; 4]);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self([(); 4].map(|()| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }))
    }

    /// Another stream, so that what one part draws does not shift what another part gets.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self::new(self.next())
    }

    /// 64 random bits.
    pub const fn next(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.0;
        let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        result
    }

    /// `N` random bytes, for `N` a multiple of 8.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes());
        }
        bytes
    }

    /// A number below `count`, or 0 when that is 0. Its bias is below `count / 2^64`.
    pub fn below(&mut self, count: usize) -> usize {
        let product = u128::from(self.next()) * count as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }

    /// One of these, unless there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// A number in `0..1`.
    #[expect(clippy::cast_precision_loss, reason = "the 53 bits that are left fit")]
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens. Draws nothing when it cannot, so that a fault that is switched off leaves
    /// the rest of a run as it was.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// A number between two others, each as likely as any.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A number between two others, whose logarithm is uniform.
    pub fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        self.uniform(low.ln(), high.ln()).exp()
    }

    /// The time until something memoryless happens whose mean time is 1.
    pub fn exponential(&mut self) -> f64 {
        // `unit` is never 1, so the logarithm is finite.
        -(1.0 - self.unit()).ln()
    }

    /// Normal with mean 0 and deviation 1, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (core::f64::consts::TAU * self.unit()).cos()
    }

    /// The index of one of these, in proportion to their weights.
    pub fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let mut left = self.unit() * weights.clone().sum::<f64>();
        let mut last = 0;
        for (index, weight) in weights.enumerate().filter(|(_, weight)| *weight > 0.0) {
            last = index;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers, so that seeds keep their meaning: computed with an implementation of its own from the paper's code.
    #[test]
    fn the_stream_of_a_seed_is_fixed() {
        let mut random = Random::new(1);
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [0xcfc5_d07f_6f03_c29b, 0xbf42_4132_963f_e08d, 0x19a3_7d57_57aa_f520]
        );
    }

    #[test]
    fn means_are_what_they_should_be() {
        let mut random = Random::new(2);
        let mean = |draw: &mut dyn FnMut() -> f64| (0..100_000).map(|_| draw()).sum::<f64>() / 100_000.0;
        assert!((mean(&mut || random.exponential()) - 1.0).abs() < 0.02);
        assert!((mean(&mut || random.uniform(10.0, 125.0)) - 67.5).abs() < 0.5);
        let expected = (3.0 - 0.3) / 10_f64.ln();
        assert!((mean(&mut || random.log_uniform(0.3, 3.0)) - expected).abs() < 0.01);
        assert!((mean(&mut || f64::from(u8::from(random.chance(0.3)))) - 0.3).abs() < 0.01);
        let heavy = |index| f64::from(u8::from(index == 1));
        assert!((mean(&mut || heavy(random.weighted([1.0, 3.0, 0.0].into_iter()))) - 0.75).abs() < 0.01);
    }

    #[test]
    fn bounds_are_kept() {
        let mut random = Random::new(3);
        assert_eq!(random.below(0), 0);
        assert_eq!(random.pick::<u8>(&[]), None);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            seen[random.below(5)] = true;
        }
        assert_eq!(seen, [true; 5]);
    }
}
