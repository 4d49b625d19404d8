// SPDX-License-Identifier: GPL-2.0

//! Output to a `struct seq_file`.
//!
//! C header: [`include/linux/seq_file.h`](srctree/include/linux/seq_file.h)

pub use kernel::seq_file::SeqFile;
pub use kernel::seq_print;
