// SPDX-License-Identifier: GPL-2.0

//! Mutants: the module without one protection, for the tests to catch.
//!
//! `make MUTANT=name modules` sets `cfg(mutant = "name")`. The places that a mutant changes ask
//! `mutant!("name")`, which is a constant, false in every other build: nothing of it is left there.
//! `MUTANT=all` sets `cfg(mutants)`: then the module has all of them, and its parameter chooses one by its key, so that
//! not each needs a build of its own. What has to be a constant asks `cfg!(mutant = "name")` and is not among them.
//! A mutant must stay memory-safe where it can, so that it is a test that catches it, and not luck. What
//! needs code that must not be there at all, as it could be called, is a patch of that name in `tests/mutants`,
//! which `scripts/mutants` applies to a copy of the sources.
//! `tests/mutants/list` says what each one takes out, which rule that breaks, and what catches it.
//! Names that begin with `kfs-` are asked for in the support crate too.

#[cfg(mutants)]
use kernel::sync::atomic::{ordering, Atomic};

/// Whether this is the build that lacks the protection `$name`.
#[cfg(not(mutants))]
macro_rules! mutant {
    ($name:literal) => {
        cfg!(mutant = $name)
    };
}

/// Whether the protection `$name` is the one to be left out.
#[cfg(mutants)]
macro_rules! mutant {
    ($name:literal) => {
        $crate::mutant::is_chosen(const { $crate::mutant::key($name) })
    };
}

/// The key of the protection that is left out; 0 for none.
#[cfg(mutants)]
static CHOSEN: Atomic<u32> = Atomic::new(0);

/// Chooses the protection that is left out, by its key. When the module is loaded.
#[cfg(mutants)]
pub(crate) fn choose(key: u32) {
    CHOSEN.store(key, ordering::Relaxed);
}

#[cfg(mutants)]
#[inline]
pub(crate) fn is_chosen(key: u32) -> bool {
    CHOSEN.load(ordering::Relaxed) == key
}

/// The number by which a mutant is chosen: the FNV-1a hash of its name, as in `scripts/mutants`.
///
/// <https://www.rfc-editor.org/rfc/rfc9923>
#[cfg(mutants)]
pub(crate) const fn key(name: &str) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    let mut i = 0;
    while i < name.len() {
        hash = (hash ^ name.as_bytes()[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash
}
