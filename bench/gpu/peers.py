"""The peers alone, for every row of the target table: what there is to beat on this GPU. Needs no ccdl.

    python bench/gpu/peers.py --json bench/results/h200_peers.json [--only conv,rnn_fp16] [--seconds 450]
"""

from __future__ import annotations

import sys

import run

if __name__ == "__main__":
    sys.exit(run.main(ours=False))
