# SPDX-License-Identifier: GPL-2.0
#
# The tables of scripts/bench, from its result ($now[0]) and that of the run before ($before[0]).

def right($n): tostring | " " * ([$n - length, 0] | max) + .;
def left($n): tostring | . + " " * ([$n - length, 0] | max);
def fixed($digits): if . == null then "-" else
	(. * pow(10; $digits) | round | tostring) as $all | ("0" * ([$digits + 1 - ($all | length), 0] | max) + $all)
	| if $digits == 0 then . else .[:-$digits] + "." + .[-$digits:] end end;
def ratio($a; $b): if $a == null or $b == null then "-" else $a / $b | fixed(2) end;

def targets: ["raw", "ext2", "ext4", "xfs", "retryfs"];
# Where writes to new blocks are measured.
def makers: ["ext2", "ext4", "xfs", "exfat", "btrfs", "retryfs", "retryfs-async"];
def row($head; $cells): "  " + ($head | left(24)) + ($cells | map(" " + right(8)) | add);
def heads: targets;

def cost($file; $completion; $job; $target): first($file.results[]
	| select(.what == "cost" and .completion == $completion and .job == $job and .target == $target) | .instructions) // null;

def verdict($is; $target): if $is == null then "-" elif $is <= $target then "met" else "missed" end;

# Rounded: for runs that wait for a clock.
def verdict_rounded($is; $target): if $is == null then "-" elif ($is | round) >= $target then "met" else "missed" end;

# Two thirds of what the best of the peers takes more than the raw device; polled, what that takes in all.
def goal($completion; $job; $c): [$c.ext2, $c.ext4, $c.xfs | values] as $peers
	| if $peers == [] or $c.raw == null or ($job | contains("4k") | not) then null
	elif $completion == "polled" then $peers | min
	elif $completion == "inline" or $completion == "interrupt" then
		$c.raw + (($peers | min) - $c.raw) * 2 / 3 | floor
	else null end;

def costs($completion; $jobs):
	row(""; heads + ["/ext2", "/ext4", "/xfs", "target", "", "before"]),
	($jobs[] as [$job, $name]
	| (targets | map({ (.): cost($now[0]; $completion; $job; .) }) | add) as $c
	| goal($completion; $job; $c) as $goal
	| row($name; (targets | map($c[.] // "-"))
		+ [ratio($c.retryfs; $c.ext2), ratio($c.retryfs; $c.ext4), ratio($c.retryfs; $c.xfs)]
		+ (if $goal == null then ["", ""] else [$goal, verdict($c.retryfs; $goal)] end)
		+ [($before[0] // { results: [] } | cost(.; $completion; $job; "retryfs")) // "-"]));

def four: [["read-4k-qd1", "4 KiB read, qd 1"], ["read-4k-qd16", "4 KiB read, qd 16"],
	["write-4k-qd1", "4 KiB overwrite, qd 1"], ["write-4k-qd16", "4 KiB overwrite, qd 16"]];

def buffered: [["write", "write"], ["read", "read"], ["again", "again"]] as $what
	| [["1m", "1 MiB"], ["4k", "4 KiB"]] as $size
	| [$size[] as [$bs, $by] | $what[] as [$job, $name] | (1, 8) as $threads
	| ["\($job)-\($bs)-\($threads)", "\($name) by \($by), \($threads) thr."]];

def threads: [1, 4, 16, 64] | map(["read-4k-\(.)-threads", "\(.) thread\(if . == 1 then "" else "s" end)"]);

def growth($file; $job; $place; $size; $target): first($file.results[]
	| select(.what == "growth" and .job == $job and .place == $place and .size == $size and .target == $target)
	| .instructions) // null;
# A tenth more than in a file of 1 MiB.
def grown($job; $name; $place; $size; $placed):
	(targets | map({ (.): growth($now[0]; $job; $place; $size; .) }) | add) as $c
	| (growth($now[0]; $job; "end"; "1m"; "retryfs") | if . then . * 1.1 | floor else null end) as $goal
	| row("\($name), \($placed)"; (targets | map($c[.] // "-"))
		+ [ratio($c.retryfs; $c.ext2), ratio($c.retryfs; $c.ext4), ratio($c.retryfs; $c.xfs)]
		+ (if $size == "1m" or $goal == null then ["", ""] else [$goal, verdict($c.retryfs; $goal)] end)
		+ [growth($before[0] // { results: [] }; $job; $place; $size; "retryfs") // "-"]);

# The control block of a request comes from the aio core, whatever the target.
def per_request($file; $target; $op; $event): [$file.results[]
	| select(.what == "event" and .target == $target and .op == $op)]
	| if . == [] then null else [.[] | select((.event | startswith($event)) and .place != "io_submit_one")
		| .per_request] | add // 0 end;
def events($event; $name; $goal): ("read", "write") as $op
	| (targets | map(per_request($now[0]; .; $op; $event))) as $n
	| row("\($name), \($op | if . == "write" then "overwrite" else . end)";
		($n | map(fixed(2))) + ["", "", ""]
		+ (if $goal == null then ["", ""] else [$goal, verdict($n[-1] | if . then round else null end; $goal)] end)
		+ [if $before[0] then per_request($before[0]; "retryfs"; $op; $event) | fixed(2) else "-" end]);

def new_heads: row(""; (makers | map(if . == "retryfs-async" then "async" else . end)) + ["target", "", "before"]);
# By retryfs with async_alloc.
def new($job; $name; $completion):
	(makers | map({ (.): cost($now[0]; $completion; $job; .) }) | add) as $c
	| row($name; (makers | map($c[.] // "-"))
		+ [$c.xfs // "-", if $c.xfs then verdict($c["retryfs-async"]; $c.xfs) else "-" end,
		   cost($before[0] // { results: [] }; $completion; $job; "retryfs-async") // "-"]);

def inflight($file; $target; $job): first($file.results[]
	| select(.what == "inflight" and .target == $target and .job == $job)) // null;
def running($job; $name; $goal):
	(targets | map(inflight($now[0]; .; $job))) as $n
	| row($name; ($n | map(.mean | fixed(1))) + ["", "", ""]
		+ (if $goal == null then ["", ""] else [$goal, verdict_rounded($n[-1].mean; $goal)] end)
		+ [inflight($before[0] // { results: [] }; "retryfs"; $job).mean | fixed(1)]);

# Overwrites that are flushed: a fact has one figure for each target and depth.
def flushed($file; $depth; $target; $field): first($file.results[]
	| select(.what == "queued" and .depth == $depth and .target == $target) | .[$field]) // null;
def flushed_row($name; $depth; $field; $digits):
	(targets | map(flushed($now[0]; $depth; .; $field))) as $n
	| row($name; ($n | map(fixed($digits))) + [ratio($n[-1]; $n[1]), ratio($n[-1]; $n[2]), ratio($n[-1]; $n[3])]
		+ ["", "", (flushed($before[0] // { results: [] }; $depth; "retryfs"; $field) | fixed($digits))]);

def new_running($job; $name):
	(makers | map(inflight($now[0]; .; $job))) as $n
	| row($name; ($n | map(.mean | fixed(1)))
		+ [32, verdict_rounded($n[-1].mean; 32), (inflight($before[0] // { results: [] }; "retryfs-async"; $job).mean | fixed(1))]);

# Work with names, files and whole volumes: a fact has one figure for each target.
def one($file; $want; $field): first($file.results[]
	| . as $fact | select($want | to_entries | all(.value == $fact[.key])) | .[$field]) // null;
def work_row($name; $who; $want; $field; $goal):
	($who | map(one($now[0]; $want + { target: . }; $field))) as $n
	| one($now[0]; $want + { target: "retryfs" }; $field) as $is
	| ($goal.of | map(one($now[0]; $want + { target: . }; $field)) | map(values) | min) as $peer
	| (if $peer then $peer * $goal.times | floor else null end) as $at_most
	| row($name; ($n | map(. // "-"))
		+ [ratio($is; $peer), $at_most // "-", if $at_most then verdict($is; $at_most) else "-" end,
		   (one($before[0] // { results: [] }; $want + { target: "retryfs" }; $field) // "-")]);
def work_heads($who): row(""; ($who | map({ "ext4-volume": "ext4", "ext4-linear": "ext4-lin", "retryfs-linear": "-linear" }[.] // .))
	+ ["/peer", "target", "", "before"]);

def name_targets: ["ext2", "ext4-volume", "ext4-linear", "retryfs", "retryfs-linear"];
def volume_targets: ["ext2", "ext4-volume", "retryfs"];
# Those that have 4,096 of one or the other in flight.
def deep_targets: ["ext4", "exfat", "retryfs-async"];
def piece_targets: ["ext2", "ext4", "ext4-volume", "retryfs"];
def has($what): any($now[0].results[]; .what == $what);
# Both parts have costs: that of requests has those of the raw device.
def has_requests: any($now[0].results[]; .what == "cost" and .target == "raw");
def has_new: any($now[0].results[]; .what == "cost" and .target == "retryfs-async");

$now[0] as $r
| "retryfs \($r.commit), \($r.started), on Linux \($r.versions.kernel)",
"QEMU \($r.versions.qemu) counting instructions, \($r.versions.fio), gcc \($r.versions.gcc), rustc \($r.versions.rustc)",
if $before[0] then "before: \($before[0].commit), \($before[0].started)" else empty end,
if has_requests then
"",
"Instructions per request; the device ends it before its submission returns",
costs("inline"; four + [["read-64k", "64 KiB read, in order"], ["write-64k", "64 KiB overwrite, in order"]]),
"",
"Instructions per request; the device ends it in an interrupt 10 us later",
costs("interrupt"; four | map(select(.[0] | endswith("16")))),
"",
"The same, by io_uring in the place of libaio",
costs("uring"; four | map(select(.[0] | endswith("16")))),
"",
"The same with memory that is registered with the ring",
costs("fixed"; four | map(select(.[0] | endswith("16")))),
"",
"Instructions per request by io_uring; the device ends it when it is polled (the kernel's own ext2 cannot be)",
costs("polled"; four),
"",
"Instructions per 4 KiB read that threads make synchronously at once; the device ends it at once",
costs("threads"; threads),
"",
"Instructions per 4 KiB request to 256 blocks of a sparse file, in one place or spread; the device ends it at once",
row(""; heads + ["/ext2", "/ext4", "/xfs", "target", "", "before"]),
((["read-4k", "read"], ["write-4k", "write"]) as [$job, $name]
| (["end", "1m", "all of 1 MiB"], ["end", "1g", "end of 1 GiB"], ["end", "1t", "end of 1 TiB"],
	["spread", "64m", "over 64 MiB"], ["spread", "1g", "over 1 GiB"], ["spread", "1t", "over 1 TiB"]) as [$place, $size, $placed]
| grown($job; $name; $place; $size; $placed)),
"",
"Per 4 KiB request at qd 16, ended in an interrupt (the aio core's own allocation not counted)",
row(""; heads + ["", "", "", "target", "", "before"]),
events("km"; "allocations"; 0),
events("workqueue"; "work items"; 0),
"",
"4 KiB overwrites in flight on a device that takes 100 ms, mean",
row(""; heads + ["", "", "", "target", "", "before"]),
running("aio-qd32"; "aio, qd 32"; 32),
running("sync-8-threads"; "8 sync threads"; 8),
"",
"Where retryfs allocates and queues (per request):",
($r.results[] | select(.what == "event" and .target == "retryfs") | "  \(.op | left(6)) \(.event | left(36)) \(.per_request | fixed(2))  \(.place)")
else empty end,
if any($r.results[]; .completion == "buffered") then
"",
"Instructions per MiB through the page cache; a write is synced; the device ends a request at once",
costs("buffered"; buffered)
else empty end,
if has("queued") then
"",
"Per 4 KiB overwrite with O_DSYNC, ended in an interrupt, when the device has a volatile cache that has to be flushed",
row(""; heads + ["/ext2", "/ext4", "/xfs", "", "", "before"]),
((1, 16) as $depth | (["instructions", "instructions", 0], ["work_items", "work items", 2], ["switches", "context switches", 2])
	as [$field, $name, $digits]
| flushed_row("\($name), qd \($depth)"; $depth; $field; $digits))
else empty end,
if has_new then
"",
"4 KiB writes to new blocks in flight on a device that takes 100 ms, qd 32, mean (async: retryfs with async_alloc)",
new_heads,
((["append", "appends"], ["fill", "hole fills"]) as [$job, $name] | ("libaio", "io_uring") as $engine
| new_running("\($job)-\($engine)"; "\($name), \($engine)")),
"",
"Instructions per 4 KiB write to new blocks, aio, qd 32; the device ends it at once, or in an interrupt",
new_heads,
(("inline", "interrupt") as $completion
| (["append-4k-qd32", "append"], ["fill-4k-qd32", "hole fill"]) as [$job, $name]
| new($job; "\($name), \($completion)"; $completion)),
"",
"Instructions per 4 KiB write to new blocks when 4,096 are in flight: to submit one with some, and with nearly all of them, and to end one",
row(""; deep_targets | map(if . == "retryfs-async" then "async" else . end)),
((["append", "append"], ["fill", "hole fill"]) as [$job, $name] | (["first", "some"], ["last", "all"], ["end", "end"]) as [$field, $when]
| row("\($name), \($when)"; deep_targets | map(one($r; { what: "deep", target: ., job: $job }; $field) // "-")))
else empty end,
if has("names") then
"",
"Instructions per name in one directory; the peer is ext4, with a hash index on the same volume (-lin: without one)",
work_heads(name_targets),
(["create", "stat", "list", "unlink"][] as $job
| ([$r.results[] | select(.what == "names") | .bs] | unique)[] as $bs
| ([$r.results[] | select(.what == "names") | .count] | unique)[] as $count
| work_row("\($job), \($count), \($bs / 1024) KiB"; name_targets; { what: "names", job: $job, bs: $bs, count: $count };
	"instructions"; { of: ["ext4-volume"], times: 1 }))
else empty end,
if has("tree") then
"",
"Instructions per file of a tree of \(first($r.results[] | select(.what == "tree") | .files)) files of sources",
work_heads(volume_targets),
(["unpack-cold", "unpack-warm", "remove-cold", "remove-warm"][] as $job
| work_row($job | sub("-"; ", "); volume_targets; { what: "tree", job: $job }; "instructions";
	{ of: ["ext2", "ext4-volume"], times: 0.9 }))
else empty end,
if has("parallel") then
"",
"Instructions to create a file, or to append 4 KiB through the page cache, by threads in directories of their own",
work_heads(volume_targets),
(["create", "append"][] as $job | (1, 4, 16) as $threads
| work_row("\($job), \($threads) thr."; volume_targets; { what: "parallel", job: $job, threads: $threads }; "instructions";
	{ of: ["ext4-volume"], times: 1 }))
else empty end,
if has("pieces") then
"",
"Pieces of \(first($r.results[] | select(.what == "pieces") | "\(.files) files of \(.mib) MiB")) that grow side by side by 4 KiB, and instructions per write",
row(""; ["ext2", "ext4", "on ext2", "retryfs", "/peer", "target", "", "before"]),
(["buffered", "direct"][] as $job
| work_row("pieces, \($job)"; piece_targets; { what: "pieces", job: $job }; "pieces"; { of: ["ext4", "ext4-volume"], times: 1 }),
  work_row("instructions, \($job)"; piece_targets; { what: "pieces", job: $job }; "instructions"; { of: ["ext4-volume"], times: 1 }))
else empty end,
if has("cold") then
"",
"Milliseconds that 32 cold direct reads under different blocks of pointers take, where one of the device takes 50",
row(""; ["ext2", "ext4", "retryfs", "target", "", "before"]),
(volume_targets | map(one($r; { what: "cold", target: . }; "one_ms") // "-") | row("one alone"; .)),
(one($r; { what: "cold", target: "retryfs" }; "one_ms") as $one
| (["threads_ms", "by 32 threads"], ["aio_ms", "by one thread, aio"]) as [$field, $name]
| one($r; { what: "cold", target: "retryfs" }; $field) as $is
| row($name; (volume_targets | map(one($r; { what: "cold", target: . }; $field) // "-"))
	+ [($one * 1.2 | floor), verdict($is; $one * 1.2), one($before[0] // { results: [] }; { what: "cold", target: "retryfs" }; $field) // "-"]))
else empty end,
if has("first") then
"",
"Instructions of the first steps on a volume of \(first($r.results[] | select(.what == "first") | .gib)) GiB",
work_heads(volume_targets),
(["mount", "df", "df-again", "create"][] as $job
| work_row($job; volume_targets; { what: "first", job: $job }; "instructions"; { of: ["ext4-volume"], times: 1 }))
else empty end
