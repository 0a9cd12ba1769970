# Builds the conformance program of the kernels (Tests/KernelConformance) with the Swift toolchain's clang. Sourced by
# conformance.sh, or run: bash tools/conformance_build.sh native|serial|avxvnni|arm64|threads, which prints the program's path.
#
#   native   this machine's architecture, with OpenMP
#   serial   the same without OpenMP, static: for running under an emulator
#   avxvnni  native, with the AVX-VNNI variants in EVEX encoding, which AVX-512-VNNI machines run
#   threads  native, with ThreadSanitizer
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
    threads)
        # The toolchain's ThreadSanitizer also watches dispatch, which must be there to link.
        local libraries=${clang%/bin/clang}/lib/swift/linux
        flags+=(-fopenmp -fsanitize=thread -g)
        link=(-fsanitize=thread -l:libomp.so.5 -lm -L"$libraries" -Wl,-rpath,"$libraries" -ldispatch -lBlocksRuntime)
        ;;
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

# Links a built command once more, with the recorder around its kernel calls. $1: its file of objects, as SwiftPM leaves it in
# albef-infer.product. Sets $recording_program; needs a native build of the conformance program.
build_recorder() {
    local folder=.build/conformance/recorder native=.build/conformance/native name
    mkdir -p "$folder"
    "$(conformance_clang)" "${conformance_flags[@]}" -c Tests/KernelConformance/record.c -o "$folder/record.o" || return 1
    local wrap=() objects=()
    for name in $(nm "$folder/record.o" | grep -oE '__wrap_alb_[a-z0-9_]+' | sort -u); do
        wrap+=(-Xlinker "--wrap=${name#__wrap_}")
    done
    for name in "$native"/Tests_KernelConformance_*.o; do
        case $name in *_main.c.o | *_replay.c.o) ;; *) objects+=("$name") ;; esac
    done
    recording_program=$folder/albef-infer
    # SwiftPM names the entry point of a command after it.
    swiftc "@$1" -Xlinker --defsym=main=albef_infer_main "${objects[@]}" "$folder/record.o" "${wrap[@]}" -l:libomp.so.5 -lm -ljpeg -lpng -lzstd -o "$recording_program"
}

# Links a built albef-infer once more, with the kernels of the avxvnni build: the AVX-VNNI variants in EVEX encoding. $1: its file
# of objects. Sets $evex_program; needs an avxvnni build of the conformance program.
build_evex() {
    local folder=.build/conformance/evex
    mkdir -p "$folder"
    grep -v '/CAlbefKernels\.build/' "$1" >"$folder/objects"
    evex_program=$folder/albef-infer
    swiftc "@$folder/objects" .build/conformance/avxvnni/Sources_CAlbefKernels_*.o \
        -Xlinker --defsym=main=albef_infer_main -l:libomp.so.5 -lm -ljpeg -lpng -lzstd -o "$evex_program"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    cd "$(dirname "$0")/.."
    build_conformance "${1:-native}"
    printf '%s\n' "$conformance_program"
fi
