# What the demo and the tests need on a machine, installed only where missing. Sourced by demo.sh and test.sh; bash.

say() { printf '\n== %s\n' "$*"; }
stop() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Stops with a clear message where there is no Swift toolchain: that one is not in Debian's stable archive.
need_swift() {
    command -v swift >/dev/null 2>&1 ||
        stop "no 'swift' on the PATH. Install a Swift 6.2 or newer toolchain from https://www.swift.org/install/linux/ first."
    local version
    version=$(swift --version 2>/dev/null | grep -oE 'Swift version [0-9]+\.[0-9]+' | grep -oE '[0-9]+\.[0-9]+' | head -n 1)
    case "$version" in
    6.[2-9]* | 6.[1-9][0-9]* | [7-9].*) ;;
    *) stop "found Swift '${version:-unknown}', but 6.2 or newer is needed." ;;
    esac
}

# Installs the Debian packages among the arguments that are missing, after saying which and how large they are.
need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    command -v apt-get >/dev/null 2>&1 || stop "please install these packages by hand (no apt-get here): ${missing[*]}"
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || stop "not root and no sudo here; please install: apt-get install ${missing[*]}"
        sudo=(sudo)
    fi
    say "installing Debian packages: ${missing[*]}"
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" |
        grep -E '^(Need to get|After this operation)' || true
    for package in "${missing[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
            stop "the package '$package' could not be installed"
    done
}

# The libraries that the runtime links: threads, zstd, JPEG and PNG.
runtime_packages=(libomp-dev libzstd-dev libjpeg62-turbo-dev libpng-dev)

# What the kernel conformance needs for other processors: C libraries of ARM64, and an emulator.
emulation_packages=(libc6-dev libc6-dev-arm64-cross libgcc-12-dev-arm64-cross qemu-user-static)

# Makes (once) the pinned Python environment in a cache outside of the checkout and sets $python to its interpreter.
# $1: the checkout's tools/ folder.
need_python() {
    need_packages python3 python3-venv
    local key cache
    key=$(sha256sum "$1/requirements.txt" | cut -c1-12)
    cache=${ALBEF_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/albef}/python-$key
    python=$cache/bin/python
    if [ -f "$cache/complete" ]; then return 0; fi
    say "making a Python environment with a CPU build of torch in $cache (about 1.2 GB on disk, 300 MB to download)"
    rm -rf "$cache"
    mkdir -p "$(dirname "$cache")"
    python3 -m venv "$cache"
    # A CPU build, wherever one is found: pip's configured sources first, then PyTorch's own index. PyPI's default build
    # would bring gigabytes of CUDA libraries.
    "$python" -m pip install -q --disable-pip-version-check -r "$1/requirements.txt" ||
        "$python" -m pip install -q --disable-pip-version-check -r "$1/requirements.txt" \
            --extra-index-url https://download.pytorch.org/whl/cpu ||
        stop "could not install tools/requirements.txt: no CPU build of torch was found by pip"
    touch "$cache/complete"
    du -sh "$cache" | awk '{print "installed: " $1}'
}

# Makes (once) the environment of the comparison with other runtimes, on top of the one that need_python makes, and sets
# $peers_python to its interpreter. $1: the checkout's tools/ folder.
need_peers_python() {
    need_python "$1"
    local key cache folders
    key=$(cat "$1/requirements.txt" "$1/peers-requirements.txt" | sha256sum | cut -c1-12)
    cache=${ALBEF_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/albef}/peers-python-$key
    peers_python=$cache/bin/python
    if [ -f "$cache/complete" ]; then return 0; fi
    say "making the peers' environment in $cache (about 700 MB on disk, 200 MB to download)"
    rm -rf "$cache"
    python3 -m venv "$cache"
    # torch and the rest come from the other environment: a path file makes its packages visible here, to pip too.
    folders='import sysconfig; print(sysconfig.get_paths()["purelib"])'
    "$python" -c "$folders" >"$("$peers_python" -c "$folders")/albef.pth"
    "$peers_python" -m pip install -q --disable-pip-version-check -r "$1/peers-requirements.txt" ||
        stop "could not install tools/peers-requirements.txt"
    touch "$cache/complete"
    du -sh "$cache" | awk '{print "installed: " $1}'
}
