// Searches nonces whose work meets a threshold: BLAKE2b with an 8-byte digest over one block of 40 bytes, of which
// word 0 is the nonce, words 1 to 4 are the root and the others are zero (RFC 7693, sections 2.6 to 3.2). All words are
// 64 bits wide and little-endian. The host defines WORK_GROUP, and ROTATE_HALVES where two rotations of 32 bits are
// faster than one of 64.

#ifdef ROTATE_HALVES
#ifdef cl_amd_media_ops
#pragma OPENCL EXTENSION cl_amd_media_ops : enable
#else
// Bits `by` to `by + 31` of the 64 that both words make; `by` is 1 to 31.
#define amd_bitalign(high, low, by) (((high) << (32 - (by))) | ((low) >> (by)))
#endif
// To the right by 1 to 31 bits; by 32 bits; and to the left by one.
#define TURN(x, by) turned_right(as_uint2(x), by)
#define TURN_32(x) as_ulong(as_uint2(x).yx)
#define TURN_63(x) turned_right(as_uint2(x).yx, 31)
static inline ulong turned_right(uint2 x, uint by)
{
    return as_ulong((uint2)(amd_bitalign(x.y, x.x, by), amd_bitalign(x.x, x.y, by)));
}
#else
#define TURN(x, by) rotate((ulong)(x), (ulong)(64 - (by)))
#define TURN_32(x) TURN(x, 32)
#define TURN_63(x) TURN(x, 63)
#endif

// The mixing function G. `x` and `y` are the words of the message with a plus, or nothing for a word that is zero.
#define MIX(a, b, c, d, x, y) \
    a += b x;                 \
    MIX_REST(a, b, c, d, y)

// The same, after the first sum.
#define MIX_REST(a, b, c, d, y) \
    d = TURN_32(d ^ a);         \
    MIX_TAIL(a, b, c, d, y)

// The same, after the first rotation.
#define MIX_TAIL(a, b, c, d, y) \
    c += d;                     \
    b = TURN(b ^ c, 24);        \
    a += b y;                   \
    d = TURN(d ^ a, 16);        \
    c += d;                     \
    b = TURN_63(b ^ c);

// The words of the state before the first round that the nonce touches first: 0 (with the parameters: digest of
// 8 bytes, no key), 4, 8 and 12 (with the length: 40 bytes).
#define START_0 (0x6a09e667f3bcc908UL ^ 0x01010008UL)
#define START_4 0x510e527fade682d1UL
#define START_8 0x6a09e667f3bcc908UL
#define START_12 (0x510e527fade682d1UL ^ 40UL)

// Items between whose nonces it is looked whether another item has had a hit.
#define LOOK_EVERY 16

// Each item hashes `count` nonces in a row; item 0 begins with the nonce that `first` is the sum of with START_0 and
// START_4. A hit puts the number of the job into `result[0]`, and the first to do so its nonce into `result[1]` (low)
// and `result[2]` (high). From then on all items and launches of the job leave: a launch after the hit costs nothing,
// and no nonce has to stand for "none".
//
// s1 to s15 are the state after the columns 1 to 3 of round 0, which the nonce does not touch; s1 and s2 are sums with
// s6 and s7, as the diagonals begin, and s13 has been mixed with s2 and turned.
__kernel __attribute__((reqd_work_group_size(WORK_GROUP, 1, 1))) void search(
    __global volatile uint *result, const uint job, const uint count, const ulong first,
    const ulong threshold,
    const ulong m1, const ulong m2, const ulong m3, const ulong m4,
    const ulong s1, const ulong s2, const ulong s3, const ulong s5, const ulong s6, const ulong s7,
    const ulong s9, const ulong s10, const ulong s11, const ulong s13, const ulong s14, const ulong s15)
{
    ulong sum = first + (ulong)get_global_id(0) * count;
#pragma unroll 1
    for (uint done = 0; done < count; done++, sum++) {
        if (done % LOOK_EVERY == 0 && result[0] == job)
            return;
        const ulong nonce = sum - (START_0 + START_4);
        ulong v0 = sum, v1 = s1, v2 = s2, v3 = s3, v4 = START_4, v5 = s5, v6 = s6, v7 = s7;
        ulong v8 = START_8, v9 = s9, v10 = s10, v11 = s11, v12 = START_12, v13 = s13, v14 = s14, v15 = s15;

        // Round 0, as far as it depends on the nonce.
        MIX_REST(v0, v4, v8, v12, + m1)
        MIX(v0, v5, v10, v15,,)
        MIX_REST(v1, v6, v11, v12,)
        MIX_TAIL(v2, v7, v8, v13,)
        MIX(v3, v4, v9, v14,,)

        // Round 1.
        MIX(v0, v4, v8, v12,,)
        MIX(v1, v5, v9, v13, + m4,)
        MIX(v2, v6, v10, v14,,)
        MIX(v3, v7, v11, v15,,)
        MIX(v0, v5, v10, v15, + m1,)
        MIX(v1, v6, v11, v12, + nonce, + m2)
        MIX(v2, v7, v8, v13,,)
        MIX(v3, v4, v9, v14,, + m3)

        // Round 2.
        MIX(v0, v4, v8, v12,,)
        MIX(v1, v5, v9, v13,, + nonce)
        MIX(v2, v6, v10, v14,, + m2)
        MIX(v3, v7, v11, v15,,)
        MIX(v0, v5, v10, v15,,)
        MIX(v1, v6, v11, v12, + m3,)
        MIX(v2, v7, v8, v13,, + m1)
        MIX(v3, v4, v9, v14,, + m4)

        // Round 3.
        MIX(v0, v4, v8, v12,,)
        MIX(v1, v5, v9, v13, + m3, + m1)
        MIX(v2, v6, v10, v14,,)
        MIX(v3, v7, v11, v15,,)
        MIX(v0, v5, v10, v15, + m2,)
        MIX(v1, v6, v11, v12,,)
        MIX(v2, v7, v8, v13, + m4, + nonce)
        MIX(v3, v4, v9, v14,,)

        // Round 4.
        MIX(v0, v4, v8, v12,, + nonce)
        MIX(v1, v5, v9, v13,,)
        MIX(v2, v6, v10, v14, + m2, + m4)
        MIX(v3, v7, v11, v15,,)
        MIX(v0, v5, v10, v15,, + m1)
        MIX(v1, v6, v11, v12,,)
        MIX(v2, v7, v8, v13,,)
        MIX(v3, v4, v9, v14, + m3,)

        // Round 5.
        MIX(v0, v4, v8, v12, + m2,)
        MIX(v1, v5, v9, v13,,)
        MIX(v2, v6, v10, v14, + nonce,)
        MIX(v3, v7, v11, v15,, + m3)
        MIX(v0, v5, v10, v15, + m4,)
        MIX(v1, v6, v11, v12,,)
        MIX(v2, v7, v8, v13,,)
        MIX(v3, v4, v9, v14, + m1,)

        // Round 6.
        MIX(v0, v4, v8, v12,,)
        MIX(v1, v5, v9, v13, + m1,)
        MIX(v2, v6, v10, v14,,)
        MIX(v3, v7, v11, v15, + m4,)
        MIX(v0, v5, v10, v15, + nonce,)
        MIX(v1, v6, v11, v12,, + m3)
        MIX(v2, v7, v8, v13,, + m2)
        MIX(v3, v4, v9, v14,,)

        // Round 7.
        MIX(v0, v4, v8, v12,,)
        MIX(v1, v5, v9, v13,,)
        MIX(v2, v6, v10, v14,, + m1)
        MIX(v3, v7, v11, v15, + m3,)
        MIX(v0, v5, v10, v15,, + nonce)
        MIX(v1, v6, v11, v12,, + m4)
        MIX(v2, v7, v8, v13,,)
        MIX(v3, v4, v9, v14, + m2,)

        // Round 8.
        MIX(v0, v4, v8, v12,,)
        MIX(v1, v5, v9, v13,,)
        MIX(v2, v6, v10, v14,, + m3)
        MIX(v3, v7, v11, v15, + nonce,)
        MIX(v0, v5, v10, v15,, + m2)
        MIX(v1, v6, v11, v12,,)
        MIX(v2, v7, v8, v13, + m1, + m4)
        MIX(v3, v4, v9, v14,,)

        // Round 9.
        MIX(v0, v4, v8, v12,, + m2)
        MIX(v1, v5, v9, v13,, + m4)
        MIX(v2, v6, v10, v14,,)
        MIX(v3, v7, v11, v15, + m1,)
        MIX(v0, v5, v10, v15,,)
        MIX(v1, v6, v11, v12,,)
        MIX(v2, v7, v8, v13, + m3,)
        MIX(v3, v4, v9, v14,, + nonce)

        // Round 10.
        MIX(v0, v4, v8, v12, + nonce, + m1)
        MIX(v1, v5, v9, v13, + m2, + m3)
        MIX(v2, v6, v10, v14, + m4,)
        MIX(v3, v7, v11, v15,,)
        MIX(v0, v5, v10, v15,,)
        MIX(v1, v6, v11, v12,,)
        MIX(v2, v7, v8, v13,,)
        MIX(v3, v4, v9, v14,,)

        // Round 11, without what only other words of the result need.
        MIX(v0, v4, v8, v12,,)
        MIX(v1, v5, v9, v13, + m4,)
        MIX(v2, v6, v10, v14,,)
        MIX(v3, v7, v11, v15,,)
        MIX(v0, v5, v10, v15, + m1,)
        MIX(v2, v7, v8, v13,,)

        if ((START_0 ^ v0 ^ v8) >= threshold) {
            if (atomic_xchg(&result[0], job) != job) {
                result[1] = (uint)nonce;
                result[2] = (uint)(nonce >> 32);
            }
            return;
        }
    }
}
