# SPDX-License-Identifier: GPL-2.0
#
# Two things in one: the Makefile of an out-of-tree module (what it is made of is in Kbuild), and
# the commands of the test rig, which need nothing but this machine (see scripts/).

KDIR ?= /lib/modules/$(shell uname -r)/build

kbuild = +$(MAKE) -C $(KDIR) M=$(CURDIR)
check-kdir = @RUSTC="$(RUSTC)" BINDGEN="$(BINDGEN)" scripts/check-kdir "$(KDIR)"

.PHONY: modules modules_install clean clippy rust-analyzer rustfmt rustfmtcheck
modules:
	$(check-kdir)
	$(kbuild) modules

modules_install: modules
	$(kbuild) modules_install

clippy:
	$(check-kdir)
	$(kbuild) CLIPPY=1 modules

rust-analyzer:
	$(check-kdir)
	$(kbuild) rust-analyzer

clean:
	$(kbuild) clean

rust-files = $(shell find rust src samples tests/host tools -name '*.rs' -not -name '*_generated.rs' -not -path '*/target/*')
rustfmt:
	rustfmt --edition 2021 $(rust-files)
rustfmtcheck:
	rustfmt --edition 2021 --check $(rust-files)

.PHONY: run test quick cases times bench soak crash faults fuzz mutants clients devices xfstests ltp stress-ng docs shell deb deb-test buildroot kernels update prune
run:
	@scripts/run
test:
	@scripts/test $(KERNEL)
quick:
	@scripts/test quick
cases:
	@scripts/cases
times:
	@scripts/times
bench:
	@scripts/bench
mutants:
	@scripts/mutants $(MUTANTS)
# (SECONDS is a word of the shell's own.)
soak:
	@SECONDS_EACH='$(SECONDS)' KERNEL='$(KERNEL)' SEED='$(SEED)' scripts/soak
crash:
	@scripts/crash
faults:
	@KERNEL='$(KERNEL)' STRIDE='$(STRIDE)' scripts/faults
fuzz:
	@RUNS='$(RUNS)' TARGETS='$(TARGETS)' INPUT='$(INPUT)' IMAGES='$(IMAGES)' SEED='$(SEED)' \
		COMPARE='$(COMPARE)' KERNEL='$(KERNEL)' VERBOSE='$(VERBOSE)' scripts/fuzz
clients:
	@CLIENTS='$(CLIENTS)' FS='$(FS)' OPTIONS='$(OPTIONS)' ICOUNT='$(ICOUNT)' scripts/clients
devices:
	@DEVICES='$(DEVICES)' scripts/devices
xfstests:
	@SRC='$(SRC)' TESTS='$(TESTS)' GROUP='$(GROUP)' KERNEL='$(KERNEL)' OPTIONS='$(OPTIONS)' MKFS_OPTIONS='$(MKFS_OPTIONS)' \
		SIZE='$(SIZE)' FS='$(FS)' scripts/xfstests
ltp:
	@SRC='$(SRC)' RUNTEST='$(RUNTEST)' TESTS='$(TESTS)' KERNEL='$(KERNEL)' OPTIONS='$(OPTIONS)' MKFS_OPTIONS='$(MKFS_OPTIONS)' \
		SIZE='$(SIZE)' FS='$(FS)' scripts/ltp
stress-ng:
	@TESTS='$(TESTS)' SECONDS_EACH='$(SECONDS)' KERNEL='$(KERNEL)' OPTIONS='$(OPTIONS)' MKFS_OPTIONS='$(MKFS_OPTIONS)' \
		SIZE='$(SIZE)' FS='$(FS)' scripts/stress-ng
docs:
	@scripts/docs
shell:
	@scripts/shell
deb:
	@DEB_SIGN_KEY='$(DEB_SIGN_KEY)' DEB_SIGN_CERT='$(DEB_SIGN_CERT)' scripts/deb
deb-test:
	@$(if $(KERNEL),RETRYFS_SERIES='$(KERNEL)') scripts/deb-test
buildroot:
	@scripts/buildroot
kernels:
	@scripts/kernel stock
	@scripts/kernel debug
update:
	@scripts/buildroot update
prune:
	@scripts/prune

.PHONY: help
help:
	@echo 'The module, against a kernel build tree of yours (KDIR=$(KDIR)):'
	@echo '  modules         - build retryfs.ko (the default; LLVM=1 if the kernel was built with clang)'
	@echo '  modules_install - install it (INSTALL_MOD_PATH=... below another root)'
	@echo '  clean           - remove what a build left'
	@echo '  clippy          - build with the lints of clippy'
	@echo '  rust-analyzer   - write rust-project.json for editors'
	@echo '  rustfmt         - format the Rust sources (rustfmtcheck: only look)'
	@echo ''
	@echo 'The test rig, which gets and builds all it needs in RETRYFS_CACHE (~/.cache/retryfs):'
	@echo '  run             - build the module, boot a stock kernel with it, run fio on a retryfs'
	@echo '  test            - all checks and tests, on the stock and on the debug kernel (KERNEL=stock|debug|rt|threads|7.2)'
	@echo '  quick           - what tells most of that in two minutes (tests/vm/quick)'
	@echo '  cases           - list all cases of test, for each kernel'
	@echo '  times           - the slowest cases and programs of the last run of test'
	@echo '  mutants         - show that the tests can fail: take out one protection after the other (MUTANTS=NAMES)'
	@echo '  bench           - what requests, names and volumes cost in instructions, beside ext2, ext4, xfs'
	@echo '  soak            - the random test and the flood for long (SECONDS=600 SEED= KERNEL=stock|debug)'
	@echo '  crash           - power loss at thousands of moments, and below a database: what is there then (POINTS=10000 SEED=)'
	@echo '  faults          - every bio and every allocation of every operation fails once (KERNEL=stock|debug STRIDE=)'
	@echo '  fuzz            - the parsers and damaged volumes (RUNS=1000000 IMAGES=100000 SEED= KERNEL=stock|debug)'
	@echo '  clients         - databases, QEMU and NFS on it, killed and without power: what is there then (CLIENTS= FS="retryfs ext4" OPTIONS=async_alloc ICOUNT=1)'
	@echo '  devices         - on nbd, NVMe over TCP, iSCSI, md ..., with their faults under load (DEVICES="nbd raid5")'
	@echo '  xfstests        - xfstests, from a checkout of yours (SRC=/path TESTS="generic/001" GROUP=quick KERNEL= OPTIONS= FS=)'
	@echo '  ltp             - the tests of LTP for direct and asynchronous I/O, likewise (SRC=/path RUNTEST=dio TESTS=)'
	@echo '  stress-ng       - the stressors of stress-ng that work on files (TESTS="hdd io-uring all" SECONDS=3 KERNEL= OPTIONS= FS=)'
	@echo '  docs            - the documents as pages of HTML and as manual pages; prints where they are'
	@echo '  shell           - an interactive shell in such a machine, with a retryfs mounted'
	@echo '  deb             - packages for Debian (DEB_SIGN_KEY= DEB_SIGN_CERT= sign the module)'
	@echo '  deb-test        - try them: install, mount, boot, upgrade, remove in fresh guests; dkms takes long (KERNEL=7.2)'
	@echo '  buildroot       - only make the build root, and print where it is'
	@echo '  kernels         - only make the test kernels, and print where they are'
	@echo '  update          - ask the archive for newer packages and a newer point release'
	@echo '  prune           - remove from the cache what was not used for a week'
	@echo '  Documentation/rig.rst tells more.'

.DEFAULT_GOAL := modules
