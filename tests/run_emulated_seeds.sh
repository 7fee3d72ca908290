#!/usr/bin/env bash
# The op suite and the CUDA tests on the emulated device under eight schedules, with races on global memory
# looked for as well, as one command:
#   tests/run_emulated_seeds.sh [build folder] [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
BUILD=${1:-build-emulated}
[ $# -eq 0 ] || shift
generator=(); command -v ninja >/dev/null && generator=(-G Ninja)
cmake -S . -B "$BUILD" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DCCDL_CUDA=EMULATED -DCCDL_TESTS=ON -DCCDL_PYTHON=ON \
  -Dpybind11_DIR="$(python3 -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python3)" > /dev/null
cmake --build "$BUILD" > "$BUILD/build.log" || { tail -n 60 "$BUILD/build.log"; exit 1; }

PACKAGE=$BUILD/package/ccdl  # the Python sources beside the emulated module
rm -rf "$BUILD/package" && mkdir -p "$BUILD/package"
cp -r python/ccdl "$PACKAGE" && rm -f "$PACKAGE"/_C*.so && cp "$BUILD"/_C*.so "$PACKAGE/"
for seed in 0 1 2 3 4 5 6 7; do
  echo "==== CCDL_EMULATOR_SEED=$seed"
  export CCDL_EMULATOR_SEED=$seed CCDL_EMULATOR_RACES=1 CCDL_TEST_THOROUGH=1
  ctest --test-dir "$BUILD" --output-on-failure
  PYTHONPATH="$BUILD/package" python3 -m pytest -q -n 2 -p no:cacheprovider --device cuda tests/ops tests/cuda "$@"
done
