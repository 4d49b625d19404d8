// SPDX-License-Identifier: GPL-2.0

//! The mount options that the superblock has for each mount (`tune2fs -E mount_opts=`).

/// An option, as it would be in the argument of `mount -o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    /// Its name.
    pub(crate) name: &'a [u8],
    /// What follows a `=`, if there is one.
    pub(crate) value: Option<&'a [u8]>,
}

impl Word<'_> {
    /// The value, if it is a decimal number of 32 bits.
    pub(crate) fn number(&self) -> Option<u32> {
        let text = core::str::from_utf8(self.value?).ok()?;
        // A sign is none of mount(8).
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(())?;
        text.parse().ok()
    }
}

/// The options in `bytes`, which end with a zero or at their end, separated by commas.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = Word<'_>> {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    let words = text
        .split(|&byte| byte == b',')
        .filter(|word| !word.is_empty());
    words.map(|word| {
        let mut parts = word.splitn(2, |&byte| byte == b'=');
        Word {
            name: parts.next().unwrap_or_default(),
            value: parts.next(),
        }
    })
}
