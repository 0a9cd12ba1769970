#!/usr/bin/env bash
# Tests the kernel conformance program itself: kernels that are wrong on purpose (Tests/KernelConformance/faulty.c) must fail with
# the message that says how, and right ones must pass. Part of conformance.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/setup.sh
source tools/setup.sh
# shellcheck source=tools/conformance_build.sh
source tools/conformance_build.sh

build_conformance native
best=$("$conformance_program" --operation faulty_right | sed -n 's/^best instruction set: //p')
seen=0

# $1: exit code; $2: a line of the output, as an extended regular expression that must match it whole; then the arguments.
expect_run() {
    local expected=$1 line=$2 output code=0
    shift 2
    output=$("$conformance_program" "$@" 2>&1) || code=$?
    [ "$code" -eq "$expected" ] || { printf '%s\n' "$output"; stop "conformance $*: exit code $code, expected $expected"; }
    grep -qxE -- "$line" <<<"$output" || { printf '%s\n' "$output"; stop "conformance $*: no line '$line'"; }
    seen=$((seen + 1))
}

# $1: operation; $2: exit code; $3: the line.
expect() { expect_run "$2" "$3" --operation "faulty_$1" --cases 0 --isa scalar --isa "$best"; }

if [ "$best" = scalar ]; then
    echo "conformance program: not tested, since this processor runs only the scalar variants"
    exit 0
fi
case="edge 0, $best, 1 threads"
number='-?[0-9.e+-]+ \(-?0x[0-9a-fp.+-]+\)'
fault='memory fault \(read or write outside of an operand, or an illegal instruction\)'

expect right 0 '[0-9]+ passed, 0 failed'
expect another_nan 0 '[0-9]+ passed, 0 failed'
expect one_bit 1 "faulty_one_bit, $case: c->dst\[1\]\[3\] of 3 x 5 is $number, expected $number"
expect sign_of_zero 1 "faulty_sign_of_zero, $case: c->dst\[0\]\[0\] of 3 x 5 is -0 \(-0x0p\+0\), expected 0 \(0x0p\+0\)"
expect number_for_nan 1 "faulty_number_for_nan, $case: c->dst\[0\]\[1\] of 3 x 5 is 1 \(0x1p\+0\), expected nan \(nan\)"
expect one_byte 1 "faulty_one_byte, $case: c->bytes\[2\]\[0\] of 3 x 5 is 21, expected 20"
expect left_out 1 "faulty_left_out, $case: c->dst\[2\]\[4\] of 3 x 5 is -?nan \(-?nan\), expected $number"
expect write_before 1 "faulty_write_before, $case: wrote outside of c->dst, -1 bytes from its start"
expect write_between 1 "faulty_write_between, $case: wrote outside of c->dst, 21 bytes from its start"
expect write_input 1 "faulty_write_input, $case: c->src\[2\]\[4\] of 3 x 5 is $number, expected $number"
expect write_behind 139 "$fault: faulty_write_behind, $case"
expect read_behind 139 "$fault: faulty_read_behind, $case"
expect scalar_writes 1 "faulty_scalar_writes, edge 0, scalar, 1 thread: wrote outside of c->bytes, 12 bytes from its start"
expect threads 1 "faulty_threads, edge 0, scalar, 3 threads: c->dst\[1\]\[0\] of 3 x 5 is $number, expected $number"
# Both halves of what is said at the end: how many differ, and that others do not.
expect one_bit 1 '[1-9][0-9]* passed, [1-9][0-9]* failed'

# Recordings: one call of the right one, with a wrong digest of its outputs, cut short, and of an operation that there is not.
recording=$(mktemp)
trap 'rm -f "$recording"' EXIT
replays() { expect_run 1 "$1" --operation faulty_right --no-edges --cases 0 --replay "$recording"; }
{ printf 'albefcalls 1\n\014faulty_right'; head -c 68 /dev/zero; } >"$recording"
replays 'faulty_right, recorded 0: outputs differ from those of the recorded run'
truncate -s -1 "$recording"
replays "$recording: damaged at call 0"
printf 'albefcalls 1\n\014faulty_wrong' >"$recording"
replays "recorded call 0 is of an unknown operation 'faulty_wrong'"
printf 'albefcalls 2\n' >"$recording"
replays "$recording: not a recording"

echo "conformance program: $seen of $seen expectations of wrong and right kernels met"
