// SPDX-License-Identifier: GPL-2.0

//! Hashes of names, by which the index of a directory is sorted.
//!
//! A hash has 31 bits, in the upper bits of a number: the lowest one says in an index that the block
//! before has names of this hash, too. The *minor* hash tells names of one hash apart where these are
//! put into an order.
//!
//! The bytes of a name are signed or unsigned, as `char` was in the kernel of who made the volume; the
//! superblock says which. It makes a difference for names that are not ASCII.

/// A function from names to hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// The first one that there was. It has no minor hash, and names that differ little differ little
    /// in their hashes.
    Legacy,
    /// MD4 with three rounds of eight steps.
    HalfMd4,
    /// The Tiny Encryption Algorithm.
    Tea,
}

impl Function {
    /// The function with this number in the root of an index, or in the superblock.
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Function::Legacy),
            1 => Some(Function::HalfMd4),
            2 => Some(Function::Tea),
            _ => None,
        }
    }

    /// Its number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Function::Legacy => 0,
            Function::HalfMd4 => 1,
            Function::Tea => 2,
        }
    }
}

/// What the superblock says about hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hashing {
    /// For a directory that gets an index.
    pub(crate) default: Function,
    /// The bytes of names are unsigned.
    pub(crate) unsigned: bool,
    /// What hashing begins with; all 0 for the numbers that are used then.
    pub(crate) seed: [u32; 4],
}

/// The hash of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hash {
    /// An even number, at most [`MAX`].
    pub(crate) major: u32,
    /// Any number.
    pub(crate) minor: u32,
}

/// The greatest hash. The next even number stands for the end of a directory.
pub(crate) const MAX: u32 = 0xffff_fffc;

impl Hashing {
    /// The hash of `name`.
    pub(crate) fn hash(&self, function: Function, name: &[u8]) -> Hash {
        const SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
        let mut state = match self.seed {
            [0, 0, 0, 0] => SEED,
            seed => seed,
        };
        let (major, minor) = match function {
            Function::Legacy => (self.legacy(name), 0),
            Function::HalfMd4 => {
                self.each_piece(name, |words: &[u32; 8]| half_md4(&mut state, words));
                (state[1], state[2])
            }
            Function::Tea => {
                self.each_piece(name, |words: &[u32; 4]| tea(&mut state, words));
                (state[0], state[1])
            }
        };
        let major = (major & !1).min(MAX);
        Hash { major, minor }
    }

    fn number(&self, byte: u8) -> u32 {
        match self.unsigned {
            true => byte.into(),
            false => i32::from(byte as i8) as u32,
        }
    }

    fn legacy(&self, name: &[u8]) -> u32 {
        let (mut hash, mut before) = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
        for &byte in name {
            let mixed = hash ^ self.number(byte).wrapping_mul(7_152_373);
            let mut next = before.wrapping_add(mixed);
            if next & 0x8000_0000 != 0 {
                next = next.wrapping_sub(0x7fff_ffff);
            }
            (before, hash) = (hash, next);
        }
        hash << 1
    }

    /// Runs `mix` on the name in pieces of `N` words, the first byte in the upper bits. What the last
    /// piece has no bytes for is filled with the number of bytes that are left of the name for it.
    fn each_piece<const N: usize>(&self, name: &[u8], mut mix: impl FnMut(&[u32; N])) {
        let mut rest = name;
        while !rest.is_empty() {
            let pad = (rest.len() as u32).wrapping_mul(0x0101_0101);
            let mut words = [pad; N];
            let (piece, behind) = rest.split_at(rest.len().min(4 * N));
            for (word, bytes) in words.iter_mut().zip(piece.chunks(4)) {
                for &byte in bytes {
                    *word = self.number(byte).wrapping_add(*word << 8);
                }
            }
            mix(&words);
            rest = behind;
        }
    }
}

/// One step of MD4: `a` is mixed with `f`, that of the three others, and with `x`.
#[inline(always)]
fn step(a: &mut u32, f: u32, x: u32, shift: u32) {
    *a = a.wrapping_add(f).wrapping_add(x).rotate_left(shift);
}

/// Eight steps of MD4 with the function `f`.
#[inline(always)]
fn round(
    [mut a, mut b, mut c, mut d]: [u32; 4],
    f: impl Fn(u32, u32, u32) -> u32,
    [first, second]: [[u32; 4]; 2],
    [s1, s2, s3, s4]: [u32; 4],
) -> [u32; 4] {
    for [k, l, m, n] in [first, second] {
        step(&mut a, f(b, c, d), k, s1);
        step(&mut d, f(a, b, c), l, s2);
        step(&mut c, f(d, a, b), m, s3);
        step(&mut b, f(c, d, a), n, s4);
    }
    [a, b, c, d]
}

fn half_md4(state: &mut [u32; 4], words: &[u32; 8]) {
    let plus = |four: [u32; 4], constant: u32| four.map(|word| word.wrapping_add(constant));
    let [p, q, r, s, t, u, v, w] = *words;
    let mut new = round(
        *state,
        |x, y, z| z ^ (x & (y ^ z)),
        [[p, q, r, s], [t, u, v, w]],
        [3, 7, 11, 19],
    );
    new = round(
        new,
        |x, y, z| (x & y).wrapping_add((x ^ y) & z),
        [[q, s, u, w], [p, r, t, v]].map(|four| plus(four, 0x5a82_7999)),
        [3, 5, 9, 13],
    );
    new = round(
        new,
        |x, y, z| x ^ y ^ z,
        [[s, w, r, v], [q, u, p, t]].map(|four| plus(four, 0x6ed9_eba1)),
        [3, 9, 11, 15],
    );
    for (old, new) in state.iter_mut().zip(new) {
        *old = old.wrapping_add(new);
    }
}

fn tea(state: &mut [u32; 4], key: &[u32; 4]) {
    const DELTA: u32 = 0x9e37_79b9;
    let [first, second, ..] = *state;
    let (mut x, mut y, mut sum) = (first, second, 0_u32);
    let mixed = |of: u32, sum: u32, k: u32, l: u32| {
        (of << 4).wrapping_add(k) ^ of.wrapping_add(sum) ^ (of >> 5).wrapping_add(l)
    };
    for _ in 0..16 {
        sum = sum.wrapping_add(DELTA);
        x = x.wrapping_add(mixed(y, sum, key[0], key[1]));
        y = y.wrapping_add(mixed(x, sum, key[2], key[3]));
    }
    state[0] = first.wrapping_add(x);
    state[1] = second.wrapping_add(y);
}
