// SPDX-License-Identifier: GPL-2.0

//! Taking numbers out of the bytes of an input. After its end there are zeros.

use crate::ext2_tests::support::Spec;

pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Input(bytes)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let len = N.min(self.0.len());
        let (head, rest) = self.0.split_at(len);
        array[..len].copy_from_slice(head);
        self.0 = rest;
        array
    }

    pub(super) fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// `len` bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let (head, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        let mut bytes = head.to_vec();
        bytes.resize(len, 0);
        bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// A volume of three groups, of which the last is short: the sizes by one byte.
    pub(super) fn spec(&mut self) -> Spec {
        let kind = self.u8();
        Spec {
            log_block_size: u32::from(kind % 3),
            inode_size: 128 << ((kind >> 2) & 1),
            incompat: u32::from((kind >> 3) & 1) * 2,
            ..Spec::default()
        }
    }
}

/// The byte with which [`Input::spec`] begins, for a real volume: of which the superblock is
/// `raw`.
pub(super) fn spec_of(raw: &[u8]) -> u8 {
    raw[0x18] % 3 | u8::from(raw[0x59] == 1) << 2 | (raw[0x60] & 2) << 2
}
