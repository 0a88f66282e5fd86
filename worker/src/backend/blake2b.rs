//! What all devices need to know of `BLAKE2b` with a digest of 8 bytes. Words are 64 bits wide.

/// The initial state (RFC 7693 section 2.6).
pub(super) const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// Parameter block, first word: digest of 8 bytes, no key, fan-out and depth 1 (RFC 7693 section 2.5).
pub(super) const PARAMETERS: u64 = 0x0101_0008;
