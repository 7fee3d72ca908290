#!/usr/bin/env bash
# The C++ tests and the op tests under AddressSanitizer and UndefinedBehaviorSanitizer, as one command:
#   tests/run_sanitized.sh [build folder]
# CCDL_SANITIZE_PYTHON=OFF leaves out the op tests (they need an interpreter with pytest, numpy and pybind11).
set -euo pipefail
cd "$(dirname "$0")/.."
BUILD=${1:-build-sanitized}
PY=${CCDL_SANITIZE_PYTHON:-ON}
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
generator=(); command -v ninja >/dev/null && generator=(-G Ninja)
extra=()
[ "$PY" = OFF ] || extra=(-Dpybind11_DIR="$(python3 -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python3)")
cmake -S . -B "$BUILD" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DCCDL_SANITIZE=address,undefined \
  -DCCDL_TESTS=ON -DCCDL_PYTHON="$PY" "${extra[@]}" > /dev/null
cmake --build "$BUILD" > "$BUILD/build.log" || { tail -n 60 "$BUILD/build.log"; exit 1; }
ctest --test-dir "$BUILD" --output-on-failure
[ "$PY" != OFF ] || exit 0

PACKAGE=$BUILD/package/ccdl  # the Python sources beside the sanitized module
rm -rf "$BUILD/package" && mkdir -p "$BUILD/package"
cp -r python/ccdl "$PACKAGE" && rm -f "$PACKAGE"/_C*.so && cp "$BUILD"/_C*.so "$PACKAGE/"
LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" \
  PYTHONMALLOC=malloc PYTHONPATH="$BUILD/package" python3 -m pytest -q -p no:cacheprovider tests/ops -m "not slow"
