"""ccdl against PyTorch and NumPy: interleaved in one process, outputs compared first, saved after each row.

    python bench/compare.py --set targets --json bench/results/NAME.json   # the rows of docs/speed.md, NAME.md, NAME.png
    python bench/compare.py --set races --json bench/results/NAME.json     # whole models, NAME.md with a table of their own
    python bench/compare.py --only gemm,softmax --threads 1                # families, or parts of row names
    python bench/compare.py --render bench/results/NAME.json               # the table and the chart again

Each sample set is a process of its own: one server per state of glibc's malloc imports the libraries and forks per row,
thread count and run. PyTorch is measured with malloc as it is and with malloc told to keep memory; the ratio that
counts is against the better of the two. ccdl has its own allocator and does not care.
"""

from __future__ import annotations

import sys

HERE = __file__.rpartition("/")[0]
sys.path[:] = [p for p in sys.path if p != HERE] + [HERE]  # last: random.py must not hide Python's

import argparse
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import judging
import machine
import measuring
import targets

LIMIT = 300  # seconds one process may take


def serve() -> int:
    """Answers requests on standard input, each in a fork of this process; see Server."""
    import numpy

    import ccdl

    libraries: dict[str, Any] = {"ccdl": ccdl}
    wanted = json.loads(sys.stdin.readline())
    if "numpy" in wanted:
        libraries["numpy"] = numpy
    if "torch" in wanted:
        try:
            import torch

            libraries["torch"] = torch
        except ImportError:
            print("note: PyTorch is not installed", file=sys.stderr)
    print(json.dumps(machine.environment(libraries)), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(LIMIT)
            try:
                row = measuring.find(request.pop("family"), request.pop("name"))
                answer = measuring.run(row, libraries, **request)
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"[:500]}
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        print(text or json.dumps({"error": f"the process ended with status {status}"}), flush=True)
    return 0


class Server:
    """The libraries in one state of malloc."""

    def __init__(self, state: str, peers: list[str]) -> None:
        clean = {k: v for k, v in os.environ.items() if k not in machine.KEEP}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            env={**clean, **(machine.KEEP if state == "keep" else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.environment = self.ask(peers)

    def ask(self, request: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the measuring process ended; its message is above")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def chosen(kind: str, only: list[str]) -> list[tuple[str, str]]:
    """(family, row name) of the set, narrowed to families or to rows whose name holds one of the words."""
    if kind == "targets":
        found = targets.rows()
    elif kind == "races":
        found = [(f, row.name) for f in measuring.families() if f.startswith("races_") for row in measuring.family(f).ROWS]
    elif kind == "scaling":
        found = [("scaling", row.name) for row in measuring.family("scaling").ROWS]
    else:
        wanted = [f for f in measuring.families() if f != "scaling" and (not only or f in only)] or measuring.families()
        found = [(f, row.name) for f in wanted for row in measuring.family(f).ROWS]
    words = [w for w in only if w]
    return [(f, n) for f, n in found if not words or f in words or any(w in f"{f}/{n}" for w in words)]


def measure_row(servers: dict[str, Server], family: str, name: str, options: argparse.Namespace) -> dict[str, Any]:
    row = measuring.find(family, name)
    entry: dict[str, Any] = {"family": family, "name": name, "flops": row.flops, "bytes": row.bytes, "samples": {}}
    request = {"family": family, "name": name, "rounds": options.rounds}
    first = next(iter(servers.values()))
    if row.probe is not None:
        entry |= first.ask({**request, "threads": options.threads[-1], "check": False})
        losses = [f["loss"] for f in entry.get("figures", {}).values() if "loss" in f]
        if losses and max(losses) - min(losses) > 0.01 * max(1.0, max(losses)):
            entry["error"] = f"the losses differ: {losses}"
        return entry
    for threads in options.threads:
        for state, server in servers.items():
            for run in range(options.runs):
                answer = server.ask({**request, "threads": threads, "check": run == 0 and server is first})
                if "error" in answer:
                    entry["error"] = answer["error"]
                    return entry
                entry["samples"].setdefault(str(threads), {}).setdefault(state, []).append(answer["seconds"])
    return entry


def save(path: Path, data: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(data, indent=1) + "\n")
    part.replace(path)


def render(path: Path) -> None:
    data = json.loads(path.read_text())
    path.with_suffix(".md").write_text(judging.markdown(data))
    try:
        import plots
    except ImportError:
        print("note: no chart, matplotlib is not installed")
        return
    plots.draw(data, path.with_suffix(".png"))


def publish(path: Path) -> None:
    data = json.loads(path.read_text())
    source = f"{path.name} of {data['environment']['date']}, python bench/compare.py --render FILE --publish"
    note = ["", "Recorded on a busy machine: provisional."] if judging.busy(data) else []
    readme, speed = Path(HERE).parent / "README.md", Path(HERE).parent / "docs/speed.md"
    if data["set"] == "races":
        judging.publish(speed, "races", judging.races(data) + note, source)
        return
    for page in (readme, speed):
        judging.publish(page, "models", judging.models(data) + note, source)
    judging.publish(speed, "counts", [judging.counts(data)], source)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    comma = lambda text: [part for part in text.split(",") if part]
    parser.add_argument("--set", choices=("families", "targets", "scaling", "races"), default="families")
    parser.add_argument("--only", type=comma, default=[], help="families or parts of row names, comma separated")
    parser.add_argument("--threads", type=lambda t: [int(n) for n in comma(t)], help="default 1,2 (families: 1)")
    parser.add_argument("--malloc", type=comma, help="default,keep; families: default")
    parser.add_argument("--peers", type=comma, help="torch,numpy; all but families: torch")
    parser.add_argument("--rounds", type=int, default=5, help="samples per process; their median counts")
    parser.add_argument("--runs", type=int, help="processes per row, threads and state; default 3 (families, races: 1)")
    parser.add_argument("--json", type=Path, help="results, saved after each row; .md and .png appear beside it")
    parser.add_argument("--update", action="store_true", help="keep the other rows of an existing --json file")
    parser.add_argument("--render", type=Path, help="only write the .md and .png of this file")
    parser.add_argument("--publish", action="store_true", help="write the results into README.md and docs/speed.md too")
    parser.add_argument("--list", action="store_true", help="only list the rows")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    plain = options.set == "families"
    options.threads = options.threads or ([1] if plain or (os.cpu_count() or 1) < 2 else [1, 2])
    options.malloc = options.malloc or (["default"] if plain else ["default", "keep"])
    options.peers = options.peers or (["torch", "numpy"] if plain else ["torch"])
    options.runs = options.runs or (1 if plain or options.set == "races" else 3)
    return options


def main() -> int:
    options = arguments()
    if options.serve:
        return serve()
    if options.render:
        render(options.render)
        if options.publish:
            publish(options.render)
        return 0
    rows = chosen(options.set, options.only)
    if options.list:
        print("\n".join(f"{family}/{name}" for family, name in rows))
        return 0
    if not rows:
        print("no row has that name; --list shows them")
        return 2
    if "OPENBLAS_CORETYPE" in os.environ:
        print("note: OPENBLAS_CORETYPE is left out for NumPy's own choice")
        del os.environ["OPENBLAS_CORETYPE"]
    begin = time.monotonic()
    servers = {state: Server(state, options.peers) for state in options.malloc}
    data: dict[str, Any] = {
        "set": options.set,
        "command": f"python bench/compare.py {' '.join(sys.argv[1:])}",
        "environment": next(iter(servers.values())).environment,
        "peak": {str(t): machine.peaks(t) for t in options.threads},
        "rows": [],
    }
    if options.update and options.json and options.json.exists():
        old = json.loads(options.json.read_text())
        data["rows"] = old["rows"]
        data["peak"] = {**old["peak"], **data["peak"]}
        data["command"] = old["command"]
    for key, value in data["environment"].items():
        print(f"{key}: {value}")
    if data["environment"]["load"] > machine.BUSY:
        print("note: this machine is not idle; figures on more than one thread mean little then")
    print("peak:", data["peak"], "\n", judging.HEADER, sep="")
    wrong = 0
    for family, name in rows:
        entry = measure_row(servers, family, name, options)
        wrong += "error" in entry
        data["rows"] = [r for r in data["rows"] if (r["family"], r["name"]) != (family, name)] + [entry]
        data["seconds"] = round(time.monotonic() - begin)
        for line in judging.lines(entry, data["peak"]):
            print(line, flush=True)
        if options.json:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            save(options.json, data)
    for server in servers.values():
        server.close()
    print(f"{len(rows)} rows in {data['seconds']} s" + (f", {wrong} with an error" if wrong else ""))
    if options.json:
        render(options.json)
        if options.publish:
            publish(options.json)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
