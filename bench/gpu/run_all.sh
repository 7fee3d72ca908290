#!/usr/bin/env bash
# Everything a machine with a GPU can prove and measure, in parts of less than 8 minutes each.
#   bench/gpu/run_all.sh [options] [part...]
# Parts (default: all, in this order): build suite memcheck racecheck synccheck maps hopper bench peers
#   --lib FILE       a libccdl.so built elsewhere with CCDL_CUDA=ON: only the Python binding is compiled here
#   --out DIR        results (JSON after each row, readable tables); default bench/results/gpu
#   --work DIR       where the build goes; default ./build-gpu
#   --python EXE     default python3; needs numpy, and torch for bench and peers
#   --site DIR       folder with further Python packages (pytest, scipy, hypothesis, pybind11), put on PYTHONPATH
#   --arch LIST      CCDL_CUDA_ARCHITECTURES of a build from source; default 90a-real
#   --seconds N      no new row or case after N seconds of a part; default 420
#   --only LIST      targets of bench and peers
# bench and peers go on where the last run with the same --out stopped: call them again until they say all is done.
set -euo pipefail
cd "$(dirname "$0")/../.."
ROOT=$PWD
LIB='' OUT=$ROOT/bench/results/gpu WORK=$ROOT/build-gpu PY=python3 SITE='' ARCH=90a-real LIMIT=420 ONLY='' PARTS=()
ALL=(build suite memcheck racecheck synccheck maps hopper bench peers)

usage() { sed -n '2,14s/^# \{0,1\}//p' bench/gpu/run_all.sh; }
value() { [ $# -ge 2 ] || { echo "run_all.sh: $1 needs a value" >&2; exit 2; }; }
while [ $# -gt 0 ]; do
  case $1 in
    --lib) value "$@"; LIB=$(realpath -m "$2"); shift 2 ;;
    --out) value "$@"; mkdir -p "$2"; OUT=$(realpath "$2"); shift 2 ;;
    --work) value "$@"; mkdir -p "$2"; WORK=$(realpath "$2"); shift 2 ;;
    --python) value "$@"; PY=$2; shift 2 ;;
    --site) value "$@"; SITE=$(realpath -m "$2"); shift 2 ;;
    --arch) value "$@"; ARCH=$2; shift 2 ;;
    --seconds) value "$@"; LIMIT=$2; shift 2 ;;
    --only) value "$@"; ONLY=$2; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    -*) echo "run_all.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
    *) case " ${ALL[*]} " in *" $1 "*) PARTS+=("$1") ;; *) echo "run_all.sh: unknown part $1; parts are ${ALL[*]}" >&2; exit 2 ;; esac
       shift ;;
  esac
done
[ -z "$LIB" ] || [ -f "$LIB" ] || { echo "run_all.sh: --lib $LIB is not a file" >&2; exit 2; }
[ ${#PARTS[@]} -gt 0 ] || PARTS=("${ALL[@]}")
mkdir -p "$OUT" "$WORK"
export PYTHONPATH=$WORK/package${SITE:+:$SITE} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
JOBS=$(nproc)
PACKAGE=$WORK/package/ccdl

assemble() {  # $1: libccdl.so, $2: the extension
  rm -rf "$PACKAGE" && mkdir -p "$PACKAGE/lib"
  cp -r python/ccdl/. "$PACKAGE" && rm -f "$PACKAGE"/_C.*.so
  local name
  name=$(readelf -d "$1" | sed -n 's/.*SONAME.*\[\(.*\)\].*/\1/p')
  cp -L "$1" "$PACKAGE/lib/${name:-libccdl.so}"
  [ "${name:-libccdl.so}" = libccdl.so ] || ln -sf "$name" "$PACKAGE/lib/libccdl.so"
  cp -L "$2" "$PACKAGE/"
  "$PY" -c 'import ccdl; print("ccdl", ccdl.__version__, "cuda", ccdl.cuda.is_available(), ccdl.__file__)'
}

build_binding() {  # against the library that was built elsewhere
  local version suffix include objects=$WORK/binding
  mkdir -p "$objects"
  version=$(sed -n 's/^project(ccdl VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
  suffix=$("$PY" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
  include=$("$PY" -c 'import pybind11, sysconfig; print("-I" + pybind11.get_include(), "-I" + sysconfig.get_paths()["include"])')
  export FLAGS="-std=c++20 -O2 -fPIC -fvisibility=hidden -ffp-contract=off -DCCDL_VERSION=\"$version\" -DCCDL_WITH_CUDA -Icsrc $include"
  export OBJECTS=$objects
  printf '%s\n' csrc/python/*.cpp | xargs -P "$JOBS" -I{} sh -c '${CXX:-c++} $FLAGS -c {} -o $OBJECTS/$(basename {}).o'
  mkdir -p "$WORK/link" && cp -L "$LIB" "$WORK/link/libccdl.so"
  ${CXX:-c++} -shared "$objects"/*.o -L"$WORK/link" -lccdl -Wl,-rpath,'$ORIGIN/lib' -pthread -o "$WORK/_C$suffix"
  assemble "$LIB" "$WORK/_C$suffix"
}

build_all() {
  cmake -S . -B "$WORK/cmake" -DCMAKE_BUILD_TYPE=Release -DCCDL_CUDA=ON -DCCDL_CUDA_ARCHITECTURES="$ARCH" -DCCDL_PYTHON=ON \
    -DPython_EXECUTABLE="$(command -v "$PY")" -Dpybind11_DIR="$("$PY" -m pybind11 --cmakedir)"
  cmake --build "$WORK/cmake" --parallel "$JOBS" --target _C
  assemble "$WORK/cmake/libccdl.so" "$(ls "$WORK"/cmake/_C*.so)"
}

part_build() { if [ -n "$LIB" ]; then build_binding; else build_all; fi; }

part_suite() {
  local many=()
  "$PY" -c 'import xdist' 2>/dev/null && many=(-n 4)
  timeout 470 "$PY" -m pytest tests --device cuda -q -p no:cacheprovider "${many[@]}" 2>&1 | tee "$OUT/suite.log" | tail -n 40
  "$PY" bench/gpu/suite_json.py "$OUT/suite.log" "$OUT/suite.json"
}

sanitizer() {
  CCDL_CUDA_CACHE=0 timeout 475 compute-sanitizer --tool "$1" --error-exitcode 9 "$PY" bench/gpu/sanitize.py \
    --json "$OUT/$1.json" --seconds "$LIMIT" 2>&1 | tee "$OUT/$1.log" | tail -n 40
}
part_memcheck() { sanitizer memcheck; }
part_racecheck() { sanitizer racecheck; }
part_synccheck() { sanitizer synccheck; }

part_maps() {
  nvcc -std=c++20 -arch=native --fmad=false -Icuda -Icsrc bench/gpu/lane_maps.cu -o "$WORK/lane_maps" \
    -L"$PACKAGE/lib" -lccdl -Xlinker -rpath="$PACKAGE/lib"
  "$WORK/lane_maps" > "$OUT/lane_maps.txt"
  "$PY" bench/gpu/lane_maps.py --json "$OUT/lane_maps.json" < "$OUT/lane_maps.txt"
}

part_hopper() {  # the layouts of sm_90 on which the emulator's model of wgmma and TMA rests
  nvcc -std=c++20 -gencode=arch=compute_90a,code=sm_90a --fmad=false -DNDEBUG -Icuda -Icsrc \
    bench/gpu/hopper_layouts.cu -o "$WORK/hopper_layouts" -L"$PACKAGE/lib" -lccdl -Xlinker -rpath="$PACKAGE/lib"
  "$WORK/hopper_layouts" > "$OUT/hopper_layouts.txt"
}

part_bench() { "$PY" bench/gpu/run.py --json "$OUT/bench.json" --seconds "$LIMIT" --only "$ONLY"; }
part_peers() { "$PY" bench/gpu/peers.py --json "$OUT/peers.json" --seconds "$LIMIT" --only "$ONLY"; }

failed=()
for part in "${PARTS[@]}"; do
  printf '\n==== %s\n' "$part"
  began=$SECONDS
  # a subshell of its own keeps -e in force inside the part
  set +e
  (set -e; "part_$part")
  status=$?
  set -e
  printf '%s: %s after %d s\n' "$part" "$([ $status = 0 ] && echo ok || echo "FAILED ($status)")" $((SECONDS - began))
  [ $status = 0 ] || { failed+=("$part"); [ "$part" != build ] || break; }
done
[ ${#failed[@]} = 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
