#!/bin/sh
# Records everything docs/speed.md shows, on an idle machine, with the ccdl that python imports:
#   bench/record.sh [machine]     bench/results/<machine>_{targets,races,scaling,levels}.{json,md,png}, README.md, docs/speed.md
set -e
cd "$(dirname "$0")/.."
to=bench/results/${1:-zen5_2core}
python bench/compare.py --set targets --json "${to}_targets.json" --publish
python bench/compare.py --set races --json "${to}_races.json" --publish
python bench/compare.py --set scaling --runs 1 --rounds 3 --json "${to}_scaling.json"
python bench/levels.py --json "${to}_levels.json"
