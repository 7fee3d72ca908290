"""The command line: ``ccdl`` and ``python -m ccdl``.

Without arguments a report of the installation; ``--cmake-dir`` for C++ projects; ``train NAME`` runs a
recipe.
"""

import argparse
import importlib.util
import os
import sys

from . import _C, cuda

__all__ = ["main", "cmake_dir", "report"]

_EXTRAS = ("numpy", "tqdm", "matplotlib", "sklearn", "torch", "hypothesis", "pytest")


def cmake_dir():
    """Folder of the installed CMake package configuration, for ``-Dccdl_DIR=``.

    Raises:
        FileNotFoundError: this installation carries none (a source tree without ``cmake --install``).
    """
    here = os.path.dirname(os.path.abspath(__file__))
    for part in (
        ("lib", "cmake", "ccdl"),
        ("cmake",),
        ("share", "cmake", "ccdl"),
        ("lib64", "cmake", "ccdl"),
    ):
        folder = os.path.join(here, *part)
        if os.path.exists(os.path.join(folder, "ccdlConfig.cmake")) or os.path.exists(
            os.path.join(folder, "ccdl-config.cmake")
        ):
            return folder
    raise FileNotFoundError(
        f"ccdl: no CMake configuration below {here}; install the wheel or run cmake --install"
    )


def report():
    """Version, instruction-set level, threads, devices and optional packages, as text."""
    found = [name for name in _EXTRAS if importlib.util.find_spec(name) is not None]
    missing = [name for name in _EXTRAS if name not in found]
    count = cuda.device_count()
    return "\n".join(
        (
            f"ccdl {_C.__version__}",
            f"python {sys.version.split()[0]} ({sys.executable})",
            f"ISA level {_C._isa_level()}",
            f"threads {_C.get_num_threads()}",
            f"devices {', '.join(['cpu'] + [f'cuda:{i} ({cuda.get_device_name(i)})' for i in range(count)])}",
            'cuda: available' if count else _C._cuda_unavailable_reason(),
            f"extras found: {', '.join(found) or 'none'}",
            f"extras missing: {', '.join(missing) or 'none'}",
        )
    )


def _parser():
    from .train import RECIPES, recipe

    parser = argparse.ArgumentParser(prog="ccdl", description="A deep-learning engine with PyTorch's names.")
    parser.add_argument("--version", action="version", version=f"ccdl {_C.__version__}")
    parser.add_argument(
        "--cmake-dir", action="store_true", help="print the folder of the CMake configuration"
    )
    commands = parser.add_subparsers(dest="command")
    train = commands.add_parser("train", help="run a training recipe")
    names = train.add_subparsers(dest="recipe", required=True)
    for name, text in RECIPES.items():
        recipe(name).add_arguments(
            names.add_parser(name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        )
    return parser


def main(argv=None):
    """Runs the command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        print(report())
        return 0
    arguments = _parser().parse_args(argv)
    if arguments.cmake_dir:
        print(cmake_dir())
        return 0
    if arguments.command == "train":
        from .train import recipe

        try:
            return recipe(arguments.recipe).run(arguments)
        except KeyboardInterrupt:
            print("interrupted; --resume continues after the last finished epoch", file=sys.stderr)
            return 130
        except (ValueError, RuntimeError, OSError) as error:
            print(f"ccdl train {arguments.recipe}: {error}", file=sys.stderr)
            return 1
    print(report())
    return 0
