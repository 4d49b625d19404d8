// SPDX-License-Identifier: GPL-2.0

//! Scopes in which memory is allocated without calling back into a filesystem.
//!
//! C header: [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)

use crate::bindings;
use kernel::types::NotThreadSafe;

/// While the value exists, every allocation of this thread is made as if with `GFP_NOFS`: memory
/// reclaim does not enter a filesystem. For code that holds a lock that evicting an inode needs.
struct NofsScope {
    flags: u32,
    // The state is that of the current task.
    _not_send: NotThreadSafe,
}

impl NofsScope {
    /// Enters the scope. Scopes nest, and have to end in the reverse order; a value on the stack
    /// does.
    fn enter() -> Self {
        Self {
            // SAFETY: Changes a flag of the current task.
            flags: unsafe { bindings::memalloc_nofs_save() },
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for NofsScope {
    fn drop(&mut self) {
        // SAFETY: The flags come from `memalloc_nofs_save` on this task.
        unsafe { bindings::memalloc_nofs_restore(self.flags) };
    }
}

/// Runs `f` such that every allocation of this thread is made as if with `GFP_NOFS`: memory reclaim
/// does not enter a filesystem. For code that holds a lock that evicting an inode needs. Calls
/// nest.
///
/// ```ignore
/// // Eviction frees blocks, and takes this lock for it.
/// let freed = nofs(|| groups.lock().free(block));
/// ```
pub fn nofs<T>(f: impl FnOnce() -> T) -> T {
    let _scope = NofsScope::enter();
    f()
}
