// SPDX-License-Identifier: GPL-2.0

//! Times of an inode.
//!
//! All inodes have 32 bits of seconds, with a sign: from 1901 to 2038. A larger inode may have an
//! extra field for each time, as in ext4: 30 bits of nanoseconds, and below them two more bits of
//! seconds, which count from the 32 bits on: up to 2446.

/// The least seconds since 1970 that can be stored.
pub(crate) const SECONDS_MIN: i64 = i32::MIN as i64;
/// The most that can be stored in 32 bits.
pub(crate) const SECONDS_MAX: i64 = i32::MAX as i64;
/// The most that can be stored with an extra field.
pub(crate) const EXTRA_SECONDS_MAX: i64 = SECONDS_MIN + (1 << 34) - 1;

/// The nanoseconds of a second.
const NSEC_PER_SEC: u32 = 1_000_000_000;

/// A time: seconds since 1970, and nanoseconds, less than 10^9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    /// Seconds since 1970.
    pub(crate) seconds: i64,
    /// Nanoseconds after these.
    pub(crate) nanoseconds: u32,
}

impl Time {
    /// Whole seconds since 1970.
    pub(crate) const fn seconds(seconds: i64) -> Self {
        Time {
            seconds,
            nanoseconds: 0,
        }
    }

    /// The time in a field, and in its extra field, if there is one. More nanoseconds than a second has, which no
    /// tool minds, are a second and the rest of them.
    pub(crate) const fn decode(field: u32, extra: Option<u32>) -> Self {
        let seconds = field as i32 as i64;
        let Some(extra) = extra else {
            return Time::seconds(seconds);
        };
        let nanoseconds = extra >> 2;
        Time {
            seconds: seconds + ((extra as i64 & 3) << 32) + (nanoseconds / NSEC_PER_SEC) as i64,
            nanoseconds: nanoseconds % NSEC_PER_SEC,
        }
    }

    /// The field, and the extra field. A time beyond what they can hold becomes the first or the last
    /// that they can.
    pub(crate) fn encode(self) -> (u32, u32) {
        let seconds = self.seconds.clamp(SECONDS_MIN, EXTRA_SECONDS_MAX);
        let more = (seconds - i64::from(seconds as i32)) >> 32;
        (seconds as u32, (more as u32 & 3) | (self.nanoseconds << 2))
    }

    /// The field where there is no extra one.
    pub(crate) fn encode_short(self) -> u32 {
        self.seconds.clamp(SECONDS_MIN, SECONDS_MAX) as u32
    }
}
