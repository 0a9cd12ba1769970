# Builds the conformance program of the kernels (Tests/KernelConformance) with the Swift toolchain's clang. Sourced by
# conformance.sh, or run: bash tools/conformance_build.sh native|serial|avxvnni|arm64, which prints the program's path.
#
#   native   this machine's architecture, with OpenMP
#   serial   the same without OpenMP, static: for running under an emulator
#   avxvnni  native, with the AVX-VNNI variants in EVEX encoding, which AVX-512-VNNI machines run
#   arm64    ARM64 without OpenMP, static; needs libc6-dev-arm64-cross and libgcc-12-dev-arm64-cross
#
# Objects are kept under .build/conformance and made anew when their source or any header is newer.

# The flags of Package.swift's kernels, warnings as errors.
conformance_flags=(
    -std=c17 -O3 -ffp-contract=off -fno-math-errno -Wall -Wextra -Werror -Wno-nullability-completeness
    -ISources/CAlbefKernels/include)

# The clang of the toolchain whose swift is on the PATH: the one that SwiftPM compiles the kernels with.
conformance_clang() {
    local swift
    swift=$(readlink -f "$(command -v swift)")
    printf '%s/clang\n' "$(dirname "$swift")"
}

# $1: kind. From the checkout's root. Sets $conformance_program.
build_conformance() {
    local kind=$1 clang folder newest source object
    local flags=("${conformance_flags[@]}") link=() skip='omp_serial.c'
    clang=$(conformance_clang)
    folder=.build/conformance/$kind
    # Without OpenMP the team's size is an unused variable.
    local serial=(-Wno-unused-variable)
    case $kind in
    native) flags+=(-fopenmp) link=(-l:libomp.so.5 -lm) ;;
    avxvnni) flags+=(-fopenmp -DALB_AVXVNNI_EVEX) link=(-l:libomp.so.5 -lm) ;;
    serial) flags+=("${serial[@]}") link=(-static -lm) skip='' ;;
    arm64)
        flags+=("${serial[@]}" --target=aarch64-linux-gnu)
        link=(--target=aarch64-linux-gnu -fuse-ld=lld -static -lm)
        skip=''
        ;;
    *) printf 'error: no build "%s" of the conformance program\n' "$kind" >&2; return 64 ;;
    esac
    mkdir -p "$folder"
    newest=$(find Sources/CAlbefKernels Tests/KernelConformance -name '*.h' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
    local stale=()
    while read -r source; do
        object=$folder/$(tr / _ <<<"$source").o
        if [ ! "$object" -nt "$source" ] || [ ! "$object" -nt "$newest" ]; then stale+=("$source" "$object"); fi
    done < <(find Sources/CAlbefKernels Tests/KernelConformance -name '*.c' ! -name "$skip" ! -name record.c)
    if [ ${#stale[@]} -gt 0 ]; then
        # The command comes first and has no argument with a space; xargs adds a source and its object.
        printf '%s\n' "${stale[@]}" |
            xargs -P "$(nproc)" -n 2 bash -c '"${@:1:$#-2}" -c "${@: -2:1}" -o "${@: -1}"' compile "$clang" "${flags[@]}" ||
            return 1
    fi
    conformance_program=$folder/conformance
    "$clang" "$folder"/*.o "${link[@]}" -o "$conformance_program"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    cd "$(dirname "$0")/.."
    build_conformance "${1:-native}"
    printf '%s\n' "$conformance_program"
fi
