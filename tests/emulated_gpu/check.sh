#!/bin/bash
# Builds the emulated GPU with its faulty kernels into OUT and checks that each fault is seen.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:?usage: check.sh OUT}
"$here/build.sh" "$out" "$here/faults"
g++ ${SANITIZE:+-DSANITIZED} -std=c++17 -O1 -Wall -Wextra "$here/check.cpp" -o "$out/objects/check" -L"$out/lib" -lcuda
LD_LIBRARY_PATH=$out/lib "$out/objects/check"
