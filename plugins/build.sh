#!/usr/bin/env bash
# Builds plugins written in Rust to WebAssembly components.
#
#   plugins/build.sh                       every first-party plugin, to plugins/built/NAME.wasm
#   plugins/build.sh FOLDER…               the plugin in each folder, to FOLDER/NAME.wasm
#   plugins/build.sh --into DIR [FOLDER…]  the same, to DIR/NAME.wasm
#
# NAME is the package's name. All it needs is the target, once:  rustup target add wasm32-unknown-unknown
# Where the target is not installed and can't be, the compiler, std's source and LLVM are taken from
# Debian's packages (about 140 MB, unpacked and not installed), and std is built with the plugin.
#
# What cargo is given, for whoever does the same elsewhere. SYSROOT is `rustc --print sysroot`, HOST the
# `host` line of `rustc -vV`, BIN is SYSROOT/lib/rustlib/HOST/bin.
#
#   always:
#     PATH=BIN/gcc-ld:$PATH                                             wasm-ld, which the linker calls
#     CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=BIN/wasm-component-ld  makes a component of the module
#     CARGO_ENCODED_RUSTFLAGS=--remap-path-prefix=FROM=TO…              parted by 0x1f: no machine's path
#                                                                       in the result
#     cargo build --release --target wasm32-unknown-unknown --package NAME
#   and where SYSROOT/lib/rustlib/wasm32-unknown-unknown/lib has no libstd-*.rlib, with DEBIAN the folder
#   of the unpacked packages:
#     RUSTC=DEBIAN/usr/bin/rustc
#     LD_LIBRARY_PATH=DEBIAN/usr/lib/MULTIARCH                          libLLVM and librustc_driver
#     RUSTC_BOOTSTRAP=1                                                 std builds with this version alone
#     cargo build … -Zbuild-std=std,panic_abort
#
# From outside may be set:
#   ORZE_WASM_TOOLCHAIN  where DEBIAN is, or is to be made; plugins/target/toolchain unless set
#   CARGO_TARGET_DIR, RUSTC  as for cargo
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
target=wasm32-unknown-unknown
debian=${ORZE_WASM_TOOLCHAIN:-$here/target/toolchain}

fail() {
    printf 'error: %s\n\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

# Packages are named by their version, which dependencies tell.
depends_on() { # PACKAGE PATTERN
    # Of a package that there is not, nothing.
    { apt-cache depends --no-recommends --no-suggests "$1" 2>/dev/null || true; } |
        sed -n "s/^ *Depends: \($2\)\$/\1/p" | head -n 1
}

# The version that the plugins ask for, which is this script's also.
needed=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$here/Cargo.toml")

is_older() { # VERSION
    [[ $(printf '%s\n' "$1" "$needed" | sort -V | head -n 1) != "$needed" ]]
}

unpack_debian() {
    local hint="run \`rustup target add $target\`, or build on Debian"
    for tool in apt-get apt-cache dpkg-deb; do
        command -v "$tool" >/dev/null ||
            fail "the target $target is not installed, and there is no $tool to take it from Debian" "$hint"
    done
    local std llvm
    std=$(depends_on libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')
    # Lists that are months old offer an older compiler than is needed, or none.
    if { [[ -z $std ]] || is_older "${std##*-}"; } && [[ $(id -u) == 0 ]]; then
        echo "reading Debian's package lists" >&2
        apt-get update -qq >&2
        std=$(depends_on libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')
    fi
    llvm=$(depends_on "$std" 'libllvm[0-9]*')
    [[ -n $std && -n $llvm ]] ||
        fail "the target $target is not installed, and this system's packages have no rustc-web" "$hint"
    ! is_older "${std##*-}" ||
        fail "the target $target is not installed, and this system's packages have rustc-web ${std##*-}: it takes $needed" \
            "run \`apt-get update\` as root if its lists are old; or $hint"
    echo "taking Rust from Debian's packages into ${debian#"$PWD/"}" >&2
    rm -rf "$debian.part"
    mkdir -p "$debian.part/packages"
    (
        cd "$debian.part/packages"
        # A sandboxed downloader can't write here, and says so for each package.
        apt-get download -qq -o APT::Sandbox::User=root \
            rustc-web libstd-rust-web-dev "$std" "$llvm" rust-web-src >&2
    ) || fail "Debian's packages could not be downloaded" "is there a network? Or $hint"
    for package in "$debian.part"/packages/*.deb; do
        dpkg-deb -x "$package" "$debian.part"
    done
    rm -r "$debian.part/packages"
    # Only now is it whole.
    rm -rf "$debian"
    mv "$debian.part" "$debian"
}

rustc=${RUSTC:-rustc}
command -v cargo >/dev/null && command -v "$rustc" >/dev/null ||
    fail "there is no cargo" "install Rust: https://rustup.rs"
sysroot=$("$rustc" --print sysroot)
host=$("$rustc" -vV | sed -n 's/^host: //p')
bin=$sysroot/lib/rustlib/$host/bin
[[ -x $bin/wasm-component-ld ]] ||
    fail "this Rust has no wasm-component-ld ($bin)" "take a toolchain of rustup's, 1.95 or later"
export PATH="$bin/gcc-ld:$PATH"
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$bin/wasm-component-ld"

into=
folders=()
while (($#)); do
    case $1 in
    --into)
        [[ -n ${2:-} ]] || fail "--into needs a folder" "plugins/build.sh --into DIR"
        mkdir -p "$2"
        into=$(cd "$2" && pwd -P)
        shift 2
        ;;
    -*) fail "unknown flag $1" "plugins/build.sh [--into DIR] [FOLDER…]" ;;
    *)
        [[ -f $1/Cargo.toml ]] || fail "there is no $1/Cargo.toml" "name the folder of a plugin"
        folders+=("$(cd "$1" && pwd -P)")
        shift
        ;;
    esac
done
if ((${#folders[@]} == 0)); then
    into=${into:-$here/built}
    mkdir -p "$into"
    for manifest in "$here"/*/Cargo.toml; do
        ! grep -q '^crate-type *=.*"cdylib"' "$manifest" || folders+=("$(dirname "$manifest")")
    done
fi

build=(cargo build --release --target "$target")
remaps=("${CARGO_HOME:-$HOME/.cargo}=/cargo" "$here=/plugins" "$sysroot=/rust")
if ! compgen -G "$sysroot/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null; then
    # An earlier run may have unpacked one that is too old by now.
    unpacked=$(compgen -G "$debian/usr/share/doc/libstd-rust-web-[0-9]*" | head -n 1 || true)
    [[ -n $unpacked ]] && ! is_older "${unpacked##*-}" || unpack_debian
    debian=$(cd "$debian" && pwd -P)
    libraries=("$debian"/usr/lib/*-linux-gnu)
    export RUSTC="$debian/usr/bin/rustc" RUSTC_BOOTSTRAP=1
    export LD_LIBRARY_PATH="${libraries[0]}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    build+=(-Zbuild-std=std,panic_abort)
    # Cargo names what is below the workspace from there.
    remaps+=("$debian=/rust" "${debian#"$here/"}=/rust")
fi

for folder in "${folders[@]}"; do
    name=$(sed -n '/^\[package\]/,/^\[[^p]/s/^name *= *"\(.*\)"/\1/p' "$folder/Cargo.toml" | head -n 1)
    [[ -n $name ]] || fail "$folder/Cargo.toml names no package" "name = \"…\" under [package]"
    flags=
    # Other flags would build std again, so the plugins in here share theirs.
    own=("$folder=/plugin")
    [[ $folder != "$here"/* ]] || own=()
    # Of several prefixes that fit, rustc takes the last.
    for remap in "${own[@]}" "${remaps[@]}"; do
        flags+=${flags:+$'\x1f'}--remap-path-prefix=$remap
    done
    # One at a time: built together, plugins would share the features of what they depend on.
    (cd "$folder" && CARGO_ENCODED_RUSTFLAGS=$flags "${build[@]}" --package "$name")
    artefacts=$(cd "$folder" && cargo metadata --no-deps --format-version 1 |
        sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    built=${into:-$folder}/$name.wasm
    cp "$artefacts/$target/release/${name//-/_}.wasm" "$built"
    echo "${built#"$PWD/"}"
done
