// SPDX-License-Identifier: GPL-2.0

//! I/O control blocks: one read or write request in flight.
//!
//! A kiocb belongs to the code that works on it, and there is a type for each way to own one:
//!
//! * [`Kiocb`]: the request is being handled by a call of `read_iter`, `write_iter` or `direct_IO`.
//!   The call ends with a result, and with that the caller gets the kiocb back, whatever became of
//!   this type, which is only the right to use it meanwhile.
//! * [`AsyncKiocb`]: the call has ended, or is about to end, with `-EIOCBQUEUED`. The owner of
//!   the value owes the caller a call of `ki_complete` and makes it with [`AsyncKiocb::complete`].
//!   Dropping the value completes the request with `EIO`, so that no request is ever lost.
//!
//! A call ends with `-EIOCBQUEUED` if and only if the kiocb was given away: to an [`AsyncKiocb`], by
//! [`Kiocb::queue`] or [`Kiocb::detach`], or to the kernel, by a function that was called with it. There is
//! no such thing for a synchronous request. So a request is either answered by the return value or by
//! `ki_complete`, never by both and never by none. An error of that number is no answer, nor are more
//! bytes than were asked for: then it is another one, and a warning.
//!
//! [`Iocb`] is what both types have in common. Two things hang on it and end with it:
//!
//! * The *private* pointer, a reference to the owner of the bios of the request, an object of the
//!   filesystem ([`KiocbOwner::Private`]). Callers of a filesystem do not initialise it.
//! * The count of direct I/O requests on the inode, which truncate waits for.
//!
//! The kiocb holds the file, and that holds the inode and the mount. And it lends memory: pages of
//! an iterator that are not pinned are there until the request is answered, and no longer. A bio
//! with such memory is counted beside its owner until it has ended, and submitted only if the kiocb
//! holds that owner. A kiocb whose owner of bios has such loans is not answered, and does not part with
//! it: a call that ends waits for them, and an [`AsyncKiocb`] is leaked, with a warning, as this is a
//! bug of who did not wait.
//!
//! A method of a call gets the iterator of the request by a [`CallIter`], which takes a borrow of the [`Kiocb`].
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod answer;
mod async_kiocb;
mod call;
mod direct;
mod iocb;
mod iter;
mod lending;

pub use async_kiocb::AsyncKiocb;
pub(crate) use call::{enter, enter_direct_io};
pub use call::{Handover, Io, Kiocb, Queued};
pub use iocb::{Iocb, IocbMut, KiocbOwner};
pub use iter::{CallDest, CallIter, CallSource};
pub use lending::CallIocb;
