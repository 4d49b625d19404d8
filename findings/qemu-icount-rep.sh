#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
#
# To -icount of QEMU, "rep movsb" of 4096 bytes is 4096 instructions.
#
# With -icount the guest's time counts its instructions, and one with a rep prefix counts for each of its
# rounds. So the same copy takes a quarter of the time in words of four bytes, where a processor takes no
# longer for bytes. And a kernel takes what QEMU's -cpu max promises (ERMS, FSRM: bytes are fast) at its
# word: figures measured so charge a copy with an instruction per byte, unless these two are taken away.
#
# A boot sector copies a page both ways, and prints what the time stamp counter makes of it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

unpack root qemu-system-x86=1:10.0.13+ds-0+deb13u1 binutils

cat > "$tmp/root/tmp/boot.s" <<'EOF2'
	.code16
	.globl _start
_start:	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %es
	cld
	# The first time everything is new to QEMU; what counts is the last line.
	mov $3, %bp
1:	mov $4096, %cx
	call before
	rep movsb
	call after
	mov $1024, %cx
	call before
	rep movsl
	call after
	mov $'\n', %al
	out %al, $0xe9
	dec %bp
	jnz 1b
	mov $0x501, %dx
	mov $16, %al
	out %al, %dx
	hlt

before:	mov $0x8000, %si
	mov $0xa000, %di
	rdtsc
	mov %eax, %ebx
	ret

after:	rdtsc
	sub %ebx, %eax
	mov $8, %cx
2:	rol $4, %eax
	push %ax
	and $15, %al
	add $'0', %al
	cmp $'9', %al
	jbe 3f
	add $'a' - '0' - 10, %al
3:	out %al, $0xe9
	pop %ax
	loop 2b
	mov $' ', %al
	out %al, $0xe9
	ret

	.org 510
	.word 0xaa55
EOF2
inside root as -o /tmp/boot.o /tmp/boot.s
inside root ld -Ttext 0x7c00 --oformat binary -o /tmp/boot /tmp/boot.o

# One nanosecond for each instruction, and the counter has as many.
said=$(inside root qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -M pc -cpu max \
	-accel tcg -icount shift=0 -drive if=floppy,format=raw,readonly=on,file=/tmp/boot \
	-debugcon stdio -device isa-debug-exit,iobase=0x501 < /dev/null) || [ $? = 33 ] || # 16 * 2 + 1
	die "QEMU failed"
read -r bytes words <<< "$(tail -n 1 <<< "$said")"
# A few more are those around the copy.
expect "instructions for 4096 bytes by rep movsb, rounded" 4096 $((16#$bytes / 16 * 16))
expect "instructions for 1024 words by rep movsl, rounded" 1024 $((16#$words / 16 * 16))

features=$(inside root qemu-system-x86_64 -nodefaults -display none -M none -qmp stdio -accel tcg << 'EOF2'
{"execute": "qmp_capabilities"}
{"execute": "query-cpu-model-expansion", "arguments": {"type": "full", "model": {"name": "max"}}}
{"execute": "quit"}
EOF2
)
expect "erms of -cpu max" '"erms": true' "$(grep -o '"erms": [a-z]*' <<< "$features")"
expect "fsrm of -cpu max" '"fsrm": true' "$(grep -o '"fsrm": [a-z]*' <<< "$features")"
