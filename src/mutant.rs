// SPDX-License-Identifier: GPL-2.0

//! Mutants: builds of the module that lack one protection, for the tests to catch.
//!
//! `make MUTANT=name modules` sets `cfg(mutant = "name")`. The places that a mutant changes ask
//! `mutant!("name")`, which is a constant, false in every other build: nothing of it is left there.
//! A mutant must stay memory-safe where it can, so that it is a test that catches it, and not luck. What
//! needs code that must not be there at all, as it could be called, is a patch of that name in `tests/mutants`,
//! which `scripts/mutants` applies to a copy of the sources.
//! `tests/mutants/list` says what each one takes out, which rule that breaks, and what catches it.
//! Names that begin with `kfs-` are asked for in the support crate too.

/// Whether this is the build that lacks the protection `$name`.
macro_rules! mutant {
    ($name:literal) => {
        cfg!(mutant = $name)
    };
}
