#!/bin/bash
# Lays out a CUDA toolkit whose device is emulated on the CPU:  build.sh OUT [MORE_CU_FOLDER...]
# Kernels of candle and of runtime/train/src/kernels/cuda, and of other folders that are named.
# SANITIZE=1 has undefined behaviour in kernels abort (arrays' bounds, alignment, shifts).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# -ge 1 ] || { echo "usage: build.sh OUT [MORE_CU_FOLDER...]" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
mkdir -p "$out"/{bin,lib/kernels,include,nvvm,objects}
[ -e "$out/lib64" ] || ln -s lib "$out/lib64"

# Where cargo keeps the sources of a dependency.
source_of() {
    local version
    version=$(sed -n "/^name = \"$1\"\$/{n;s/version = \"\(.*\)\"/\1/p}" "$root/Cargo.lock")
    local found
    for found in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$1-$version"; do
        [ -d "$found" ] && { echo "$found"; return; }
    done
    (cd "$root" && cargo fetch --locked >&2)
    for found in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$1-$version"; do
        [ -d "$found" ] && { echo "$found"; return; }
    done
    echo "build.sh: no sources of $1 $version" >&2
    return 1
}
candle=$(source_of candle-kernels)
cudarc=$(source_of cudarc)

# Whether a target is older than any of the files after it.
stale() {
    local target=$1 file
    shift
    [ -e "$target" ] || return 0
    for file in "$@"; do [ "$file" -nt "$target" ] && return 0; done
    return 1
}
# Runs two jobs at a time; fails when one did.
jobs_failed=0
start() {
    while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-2}" ]; do wait -n || jobs_failed=1; done
    "$@" &
}
finish() {
    while [ -n "$(jobs -p)" ]; do wait -n || { [ $? -eq 127 ] && break; jobs_failed=1; }; done
    [ "$jobs_failed" = 0 ] || { echo "build.sh: failed" >&2; exit 1; }
}

flags=(-std=c++17 -O2 -g -fPIC -fvisibility=hidden -Wall -Wextra)

# A library: its soname, the part of cudarc whose names it must have, what it links to, its sources.
library() {
    local soname=$1 part=$2 links=$3
    shift 3
    local so=$out/lib/$soname name=${soname%%.so*}
    stale "$so" "$@" "$here"/*.h "$here/build.sh" || return 0
    local objects=() file
    for file in "$@"; do
        g++ "${flags[@]}" -c "$file" -o "$out/objects/$name-$(basename "$file" .cpp).o"
        objects+=("$out/objects/$name-$(basename "$file" .cpp).o")
    done
    # What cudarc declares and nobody wrote aborts by name.
    {
        echo 'extern void emulated_abort(const char*, ...);'
        if [ -n "$part" ]; then
            grep -ohE 'fn (cu|nvrtc)[A-Za-z0-9_]+ *\(' "$cudarc/src/$part/sys/mod.rs" | sed -E 's/fn ([A-Za-z0-9_]+).*/\1/' | sort -u |
                { [ ${#objects[@]} -gt 0 ] && grep -vxFf <(nm --defined-only "${objects[@]}" | awk 'NF == 3 { print $3 }') || cat; } |
                sed -E 's/.*/__attribute__((visibility("default"))) void &(void) { emulated_abort("%s is not emulated", "&"); }/'
        fi
    } > "$out/objects/$name-rest.c"
    gcc -O1 -fPIC -fno-builtin -c "$out/objects/$name-rest.c" -o "$out/objects/$name-rest.o"
    g++ -shared -Wl,-soname,"$soname" -o "$so.new" "${objects[@]}" "$out/objects/$name-rest.o" -L"$out/lib" $links -ldl -pthread
    mv "$so.new" "$so"
    ln -sf "$soname" "$out/lib/$name.so"
}
library libcuda.so.1 driver "" "$here"/{memory,counters,fault,fiber,grid,modules,driver}.cpp
library libcublas.so.13 cublas -lcuda "$here/cublas.cpp"
library libcublasLt.so.13 cublaslt -lcuda
library libcurand.so.10 curand -lcuda "$here/curand.cpp"
library libnvrtc.so.13 nvrtc -lcuda
library libcudart.so.13 "" -lcuda

# candle's kernels that are linked in statically: none is emulated.
if stale "$out/lib/static_kernels.o" "$here/build.sh" "$candle/src/ffi.rs"; then
    {
        echo '#include <stdio.h>'
        echo '#include <stdlib.h>'
        grep -oE 'pub fn [A-Za-z0-9_]+' "$candle/src/ffi.rs" | sed -E 's/pub fn (.*)/void \1(void) { fputs("emulated GPU: \1 is not emulated\\n", stderr); abort(); }/'
    } > "$out/objects/static_kernels.c"
    gcc -O1 -fPIC -c "$out/objects/static_kernels.c" -o "$out/lib/static_kernels.o"
fi
cp "$here/include/cuda.h" "$out/include/"
stale "$out/bin/nvcc" "$here/nvcc" && install -m 755 "$here/nvcc" "$out/bin/nvcc"

# A library of the kernels of one `.cu` file.
sanitize=()
[ -z "${SANITIZE:-}" ] || sanitize=(-fsanitize=undefined -fno-sanitize=vptr -fno-sanitize-recover=all)
kernels() {
    local file=$1 arch=$2 name base
    name=$(basename "$(dirname "$file")")+$(basename "$file" .cu)
    base=$out/objects/$name
    g++ -x c++ -E -std=c++17 -D__CUDA_ARCH__="$arch" -include "$here/shim.h" -I "$here" -I "$here/include" "$file" > "$base.raw"
    # Kernels by name, each with its launch bound; only those with C linkage can be looked up.
    sed '/^#/d' "$base.raw" | tr '\n' ' ' > "$base.flat"
    local linkage='extern *"C" *'
    grep -qE 'extern *"C" *\{' "$base.flat" && linkage='(extern *"C" *)?'
    { grep -oE "$linkage(__emulated_bounds__ *\(([^()]|\([^()]*\))*\) *)?__emulated_kernel__ [^;{}]*\(" "$base.flat" || true; } |
        sed -nE '/__emulated_bounds__/! s/^/__emulated_bounds__(0) /
            s/(.*)__emulated_bounds__ *\( *([^,()]+)([^()]|\([^()]*\))*\)(.*)/\1 \4 #\2/
            s/.*void +([A-Za-z_][A-Za-z0-9_]*) *\(.*#(.*)$/\1 \2/p' | sort -u > "$base.names"
    sed -E 's/__emulated_kernel__//g
        s/__emulated_bounds__ *\(([^()]|\([^()]*\))*\)//g
        s/extern +__emulated_shared__ +(alignas *\([^()]*\) *)?([^;]*[^;A-Za-z0-9_])([A-Za-z_][A-Za-z0-9_]*) *\[ *\] *;/\2 * const \3 = reinterpret_cast<\2 *>(emulated_dynamic_shared);/g
        s/__emulated_shared__/static/g' "$base.raw" > "$base.ii"
    {
        echo '# 1 "table of kernels"'
        echo 'namespace { constexpr emulated::Kernel kernels[] = {'
        sed -E 's/^([^ ]+) (.*)$/emulated::Threads<\1>::kernel("\1", \2),/' "$base.names"
        echo '{nullptr, nullptr, 0, nullptr, 0}}; }'
        echo 'extern "C" __attribute__((visibility("hidden"))) char __bss_start[], _end[];'
        echo 'extern "C" __attribute__((visibility("default"))) const emulated::Module emulated_module = {kernels, sizeof kernels / sizeof *kernels - 1, __bss_start, _end};'
    } >> "$base.ii"
    g++ -x c++-cpp-output -std=c++17 -O2 -g -fPIC -fvisibility=hidden -fno-exceptions -fno-rtti -fno-gnu-unique \
        -fno-strict-aliasing -w "${sanitize[@]}" -c "$base.ii" -o "$base.o"
    g++ -shared -nostartfiles "${sanitize[@]}" -o "$base.so" "$base.o" -L"$out/lib" -lcuda -lm
    mv "$base.so" "$out/lib/kernels/$name.so"
    echo "$name: $(wc -l < "$base.names") kernels"
}
# The kernels of the files of a folder that changed.
folder() {
    local from=$1 arch=$2 file headers
    shift 2
    [ -d "$from" ] || return 0
    from=$(cd "$from" && pwd)
    headers=$(find "$from" -maxdepth 1 \( -name '*.cuh' -o -name '*.h' \))
    for file in "$@"; do
        file=$from/$file.cu
        stale "$out/lib/kernels/$(basename "$from")+$(basename "$file" .cu).so" "$file" $headers "$here"/{shim.h,kernel.h} "$here"/include/*.h "$mode" || continue
        start kernels "$file" "$arch"
    done
}
# Another way to compile makes all kernels stale.
mode=$out/objects/mode
[ "$(cat "$mode" 2>/dev/null)" = "sanitize=${SANITIZE:-}" ] || echo "sanitize=${SANITIZE:-}" > "$mode"

folder "$candle/src" 900 affine binary cast conv fill indexing reduce sort ternary unary
for more in "$root/runtime/train/src/kernels/cuda" "$@"; do
    [ -d "$more" ] || continue
    mapfile -t stems < <(find "$more" -maxdepth 1 -name '*.cu' -exec basename {} .cu \; | sort)
    # A file that is gone takes its kernels with it.
    for old in "$out/lib/kernels/$(basename "$more")"+*.so; do
        stem=$(basename "$old" .so)
        [ ! -e "$old" ] || [ -e "$more/${stem#*+}.cu" ] || rm "$old"
    done
    [ ${#stems[@]} -eq 0 ] || folder "$more" 900 "${stems[@]}"
done
finish
