// SPDX-License-Identifier: GPL-2.0

//! How long requests took, in powers of two of a microsecond.

/// The number of buckets. The last one has all that took longer than about half a minute.
pub const BUCKETS: usize = 26;

/// Counts of requests. Bucket `i` is for less than `2 << i` microseconds, and not less than the bucket
/// before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    /// The sum, in microseconds.
    pub sum: u64,
    /// The longest one, in microseconds.
    pub max: u64,
}

/// The upper end of a bucket in microseconds; none of the last one.
pub fn bound(bucket: usize) -> Option<u64> {
    (bucket + 1 < BUCKETS).then(|| 2 << bucket)
}

impl Histogram {
    /// Counts a request that took so many microseconds.
    pub fn add(&mut self, us: u64) {
        let bucket = (us.max(1).ilog2() as usize).min(BUCKETS - 1);
        self.counts[bucket] += 1;
        self.sum += us;
        self.max = self.max.max(us);
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (sum, n) in self.counts.iter_mut().zip(other.counts) {
            *sum += n;
        }
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    pub fn counts(&self) -> &[u64; BUCKETS] {
        &self.counts
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// So many microseconds, or less, `percent` of the requests took: the end of a bucket, or the
    /// longest one.
    pub fn percentile(&self, percent: u64) -> u64 {
        let total = self.total();
        let mut seen = 0;
        for (bucket, n) in self.counts.iter().enumerate() {
            seen += n;
            if seen * 100 >= total * percent {
                return bound(bucket).map_or(self.max, |bound| bound.min(self.max));
            }
        }
        self.max
    }
}

/// A time in microseconds, for people: four characters or five.
pub fn time(us: u64) -> String {
    match us {
        0..=9_999 => format!("{us}us"),
        10_000..=9_999_999 => format!("{}ms", us / 1000),
        _ => format!("{}s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets() {
        let mut h = Histogram::default();
        for us in [0, 1, 2, 3, 4, 1023, 1024, u64::MAX >> 8] {
            h.add(us);
        }
        assert_eq!(h.counts()[..3], [2, 2, 1]);
        assert_eq!((h.counts()[9], h.counts()[10], h.counts()[25]), (1, 1, 1));
        assert_eq!(h.total(), 8);
        assert_eq!((bound(0), bound(9), bound(25)), (Some(2), Some(1024), None));
    }

    #[test]
    fn percentiles() {
        let mut h = Histogram::default();
        assert_eq!(h.percentile(50), 0);
        for _ in 0..99 {
            h.add(10);
        }
        h.add(5000);
        assert_eq!(
            (h.percentile(50), h.percentile(99), h.percentile(100)),
            (16, 16, 5000)
        );
        let mut sum = h;
        sum.merge(&h);
        assert_eq!(
            (sum.total(), sum.sum, sum.max),
            (200, 2 * (990 + 5000), 5000)
        );
    }

    #[test]
    fn times() {
        assert_eq!(time(9999), "9999us");
        assert_eq!(time(10_000), "10ms");
        assert_eq!(time(12_345_678), "12s");
    }
}
