#!/usr/bin/env bash
# Every kernel under ThreadSanitizer: the conformance program with several threads, each instruction set of this CPU. A race ends
# it with exit code 66 and a report. First a kernel that races on purpose must be caught, or the run would prove nothing.
#
#   bash tools/thread_sanitizer.sh [CASES]    CASES: random cases of each operation, every eighth with 2 to 4 threads (default 400);
#                                        edge shapes run with 1 and 3. Half a minute on two cores, with the build
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/setup.sh
source tools/setup.sh
# shellcheck source=tools/conformance_build.sh
source tools/conformance_build.sh

cases=${1:-400}
need_swift
need_packages "${runtime_packages[@]}"
say "ThreadSanitizer: build"
build_conformance threads
program=$conformance_program
# LLVM's tool that tells ThreadSanitizer of OpenMP's forks, joins and barriers, which libomp keeps in memory it does not watch.
archer=$(dirname "$(readlink -f "/usr/lib/$(uname -m)-linux-gnu/libomp.so.5")")/libarcher.so
[ -f "$archer" ] || stop "no $archer, which libomp's Debian package brings"
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# The arguments go to the program; its output is kept. Gives its exit code.
watched() {
    local code=0
    OMP_TOOL_LIBRARIES=$archer TSAN_OPTIONS="ignore_noninstrumented_modules=1 exitcode=66 halt_on_error=0" \
        "$program" "$@" >"$output" 2>&1 || code=$?
    return "$code"
}

say "ThreadSanitizer: a race on purpose"
code=0
watched --operation faulty_race --cases 0 || code=$?
if [ "$code" -ne 66 ] || ! grep -q 'WARNING: ThreadSanitizer: data race' "$output" || ! grep -q 'write_first' "$output"; then
    cat "$output"
    stop "the race of faulty_race was not reported (exit code $code)"
fi
echo "reported: $(grep -m 1 -o 'SUMMARY: ThreadSanitizer: data race.*' "$output" | sed "s|$PWD/||")"
code=0
watched --operation faulty_right --cases 0 || code=$?
[ "$code" -eq 0 ] || { cat "$output"; stop "a kernel without a race was reported (exit code $code)"; }

say "ThreadSanitizer: every kernel, with 1 to 4 threads"
watched --cases "$cases" || { tail -n 60 "$output"; stop "ThreadSanitizer or the comparison failed (exit code $?)"; }
echo "no race; $(tail -n 1 "$output")"
