"""Run files: one TOML file that says what is studied.  Plain data; no theory here.

::

    model = "committee"            # or "file.py:name", relative to the run file
    [parameters]                   # every key is optional; the defaults stand in Parameters
    [initial]                      # overlaps Q, R, T, gains g, second layers w (students) and v (teachers);
                                   # or draw = {seed, norm, size}
    [simulation]                   # statistics, shift, input_law
    [times]                        # stop and points, or list
    [tolerance]                    # relative, absolute

``load`` reads and checks one, ``with_parameters`` makes another from it, ``sweep`` makes many.
"""

from __future__ import annotations

import itertools
import math
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError, unknown_name
from numerics.runtime.userfile import is_reference, load_reference

NORMALIZATIONS = ("none", "batch", "batch-without-radial", "weight")
BATCH_STATISTICS = {"batch-statistics": "batch", "batch-statistics-uncentred": "batch-uncentred"}
"""Batch normalization whose theory holds the fluctuations of the batch's statistics to first order in 1/b, and the
statistics that a simulation of it takes."""
STATISTICS = ("population", "batch", "batch-uncentred")
LEAST_SAMPLES = {"batch": 3, "batch-uncentred": 2}
"""One sample has variance 0; after centring, two samples are +1 and -1 whatever the weights."""
INPUT_LAWS = ("gaussian", "binary", "uniform", "heavy-tailed")

START_NORM = 0.25
"""The part of Q_ii that is orthogonal to the teacher, where no Q is given."""
START_TEACHER = 1e-3
"""The first student's component along its teacher unit, where no R is given; student i has 1/i of it."""
PSD_TOLERANCE = 1e-10
"""Overlap matrices are accepted down to minus this times their trace."""


@dataclass(frozen=True)
class Parameters:
    """What defines the learning problem.  Time is steps / N; J -= (eta / N) grad."""

    students: int = 2
    teachers: int = 2
    """Default: as many as students."""
    activation: Any = "erf"
    """A name, or the object that ``"file.py:name"`` refers to."""
    normalization: str = "none"
    learning_rate: float = 1.0
    gain_learning_rate: float = 0.0
    """Default: the learning rate; 0 for the committee without normalization, which has no gains."""
    second_layer_learning_rate: float = 0.0
    input_variance: float = 1.0
    batch_size: float = 1.0
    """A whole number, or infinity."""
    label_noise: float = 0.0
    """A standard deviation."""
    weight_decay: float = 0.0
    gain_decay: float = 0.0


@dataclass(frozen=True)
class Draw:
    """Random initial students: components J_ia drawn N(0, norm^2 / size)."""

    seed: int
    norm: float = 1.0
    size: int = 1000
    """The number of inputs at which the overlaps of the draw are taken where N is infinite."""


@dataclass(frozen=True)
class Initial:
    """The state at time 0.  Where there is a ``draw``, Q and R are the overlaps of that draw."""

    Q: np.ndarray
    """Students with students, (K, K)."""
    R: np.ndarray
    """Students with teachers, (K, M)."""
    T: np.ndarray
    """Teachers with teachers, (M, M); default the identity."""
    g: np.ndarray
    """Gains, (K,); default 1."""
    w: np.ndarray
    """The students' second layer, (K,); default 1."""
    v: np.ndarray
    """The teachers' second layer, (M,); default 1."""
    draw: Draw | None = None


@dataclass(frozen=True)
class Simulation:
    """What only a simulation has: the statistics the normalization uses, and the law of the inputs."""

    statistics: str = "population"
    shift: bool = False
    """Whether batch normalization learns a shift beta_i."""
    input_law: str = "gaussian"


@dataclass(frozen=True)
class Tolerance:
    """Of the integration, per unit of the state."""

    relative: float = 1e-8
    absolute: float = 1e-10


@dataclass(frozen=True)
class Run:
    """A checked run file."""

    parameters: Parameters
    initial: Initial
    model: Any = "committee"
    """``"committee"``, or the user's object."""
    simulation: Simulation = field(default_factory=Simulation)
    times: np.ndarray = field(default_factory=lambda: np.linspace(0.0, 100.0, 101))
    """Increasing record times, the first not before 0; default 101 from 0 to 100."""
    tolerance: Tolerance = field(default_factory=Tolerance)
    source: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The tables as written, from which ``with_parameters`` builds."""
    folder: Path = field(default_factory=Path, repr=False)
    """Where ``file.py:name`` is looked for."""


def load(path: str | os.PathLike[str]) -> Run:
    """The run in the TOML file ``path``, checked.  Raises ``InputError``."""
    name = os.fspath(path)
    try:
        with open(path, "rb") as stream:
            tables = tomllib.load(stream)
    except OSError as error:
        raise InputError(f"cannot read the run file {name}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{name} is not TOML: {error}") from None
    try:
        return build(tables, Path(path).resolve().parent)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error.__cause__


def build(tables: Mapping[str, Any], folder: str | os.PathLike[str] = ".") -> Run:
    """The run that ``tables`` (a parsed run file) describe; ``folder`` is where user files are looked for."""
    known = ("model", "parameters", "initial", "simulation", "times", "tolerance")
    _check_keys("key", tables, known)
    for key in known[1:]:
        if not isinstance(tables.get(key, {}), Mapping):
            raise InputError(f"{key} must be a table: write [{key}] on a line of its own")
    base = Path(folder)
    model = _model(tables.get("model", "committee"), base)
    own = not isinstance(model, str)
    parameters = _parameters(tables.get("parameters", {}), own, base)
    return Run(
        parameters=parameters,
        initial=_initial(tables.get("initial", {}), parameters, own),
        model=model,
        simulation=_simulation(tables.get("simulation", {}), parameters),
        times=_times(tables.get("times", {})),
        tolerance=_tolerance(tables.get("tolerance", {})),
        source=tables,
        folder=base,
    )


def with_parameters(run: Run, **changes: Any) -> Run:
    """``run`` with some parameters changed, checked again.

    What the run file left to a default follows: ``students`` moves ``teachers`` unless it is given.
    """
    return with_tables(run, parameters={**run.source.get("parameters", {}), **changes})


def with_tables(run: Run, **tables: Mapping[str, Any]) -> Run:
    """``run`` with whole tables of its run file replaced, as in ``initial={...}``, checked again."""
    return build({**run.source, **tables}, run.folder)


# --- the tables, one function each -------------------------------------------------------------------


def _parameters(table: Mapping[str, Any], own: bool, folder: Path) -> Parameters:
    _check_keys("parameter", table, [item.name for item in fields(Parameters)])
    for key in ("activation", "normalization") if own else ():
        if key in table:
            raise InputError(f"a model of your own contains its {key}; leave {key} out")
    default = Parameters()
    students = _count(table, "students", default.students)
    normalization = _choice(
        table, "normalization", (*NORMALIZATIONS, *BATCH_STATISTICS), default.normalization
    )
    rate = _nonnegative(table, "learning_rate", default.learning_rate)
    gains = own or normalization != "none"
    activation = table.get("activation", default.activation)
    if not isinstance(activation, str):
        raise InputError(f"activation must be a name or 'file.py:name', not {activation!r}")
    if not gains:
        for key in ("gain_learning_rate", "gain_decay"):
            if _nonnegative(table, key, 0.0):
                raise InputError(
                    f"{key} needs gains; set normalization to one of {', '.join(NORMALIZATIONS[1:])}"
                )
    batch_size = _batch_size(table.get("batch_size", default.batch_size))
    _check_samples(f"normalization = {normalization!r}", BATCH_STATISTICS.get(normalization), batch_size)
    return Parameters(
        students=students,
        teachers=_count(table, "teachers", students),
        activation=load_reference(activation, folder) if is_reference(activation) else activation,
        normalization=normalization,
        learning_rate=rate,
        gain_learning_rate=_nonnegative(table, "gain_learning_rate", rate if gains else 0.0),
        second_layer_learning_rate=_nonnegative(table, "second_layer_learning_rate", 0.0),
        input_variance=_positive(table, "input_variance", default.input_variance),
        batch_size=batch_size,
        label_noise=_nonnegative(table, "label_noise", 0.0),
        weight_decay=_nonnegative(table, "weight_decay", 0.0),
        gain_decay=_nonnegative(table, "gain_decay", 0.0),
    )


def _check_samples(what: str, statistics: str | None, batch_size: float) -> None:
    least = LEAST_SAMPLES.get(statistics or "", 1)
    if batch_size < least:
        raise InputError(f"{what} needs batch_size at least {least}, not {batch_size:g}")


def _initial(table: Mapping[str, Any], parameters: Parameters, own: bool) -> Initial:
    _check_keys("key of [initial]", table, [item.name for item in fields(Initial)])
    students, teachers = parameters.students, parameters.teachers
    teacher_overlaps = _array(table, "T", (teachers, teachers), "teachers, teachers")
    T = np.eye(teachers) if teacher_overlaps is None else teacher_overlaps
    _check_psd(T, "T")
    Q = _array(table, "Q", (students, students), "students, students")
    R = _array(table, "R", (students, teachers), "students, teachers")
    draw = None
    if "draw" in table:
        if Q is not None or R is not None:
            raise InputError("[initial] has both draw and overlaps (Q or R); give one of them")
        draw = _draw(table["draw"], parameters)
        Q, R = draw_overlaps(draw, students, T)
    if R is None:
        R = _start_components(students, teachers) @ T
    if Q is None:
        Q = START_NORM * np.eye(students) + R @ np.linalg.pinv(T, hermitian=True) @ R.T
    _check_psd(Q, "Q")
    _check_psd(np.block([[Q, R], [R.T, T]]), "Q, R, T together, the matrix [[Q, R], [R^T, T]],")
    if parameters.normalization != "none" and not (np.diag(Q) > 0).all():
        raise InputError("a normalization needs weights: every Q_ii must be positive")
    vectors = {}
    for key, length, kind in (
        ("g", students, "students"),
        ("w", students, "students"),
        ("v", teachers, "teachers"),
    ):
        given = _array(table, key, (length,), kind)
        vectors[key] = np.ones(length) if given is None else given
    if "g" in table and parameters.normalization == "none" and not own:
        raise InputError(
            f"g is given but there are no gains; set normalization to one of {', '.join(NORMALIZATIONS[1:])}"
        )
    return Initial(Q=Q, R=R, T=T, draw=draw, **vectors)


def _start_components(students: int, teachers: int) -> np.ndarray:
    """Small, and different for every student: student i has START_TEACHER / i along teacher i mod M.

    Equal students never part, so a symmetric start would never leave the symmetric phase.
    """
    components = np.zeros((students, teachers))
    unit = np.arange(students)
    components[unit, unit % teachers] = START_TEACHER / (1 + unit)
    return components


def _draw(table: Any, parameters: Parameters) -> Draw:
    if not isinstance(table, Mapping):
        raise InputError("draw must be a table: draw = {seed = 0, norm = 1.0}")
    _check_keys("key of draw", table, [item.name for item in fields(Draw)])
    if "seed" not in table:
        raise InputError("draw needs a seed: draw = {seed = 0, norm = 1.0}")
    size = _count(table, "size", 1000)
    if size < parameters.teachers:
        raise InputError(
            f"draw.size is {size}, but {parameters.teachers} teachers need at least as many inputs"
        )
    return Draw(seed=_whole(table, "seed", 0, least=0), norm=_positive(table, "norm", 1.0), size=size)


def draw_overlaps(draw: Draw, students: int, T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Overlaps Q and R of students drawn N(0, norm^2 / size) with teachers whose overlaps are T.

    The law of the students is isotropic, so the teachers may lie in the first M coordinates.
    """
    values, vectors = np.linalg.eigh(T)
    teachers = vectors * np.sqrt(np.maximum(values, 0.0))  # rows B_n in M coordinates, B B^T = T
    generator = np.random.default_rng(np.random.SeedSequence(draw.seed))
    weights = draw.norm / math.sqrt(draw.size) * generator.standard_normal((students, draw.size))
    return weights @ weights.T, weights[:, : len(T)] @ teachers.T


def _simulation(table: Mapping[str, Any], parameters: Parameters) -> Simulation:
    _check_keys("key of [simulation]", table, [item.name for item in fields(Simulation)])
    statistics = _choice(table, "statistics", STATISTICS, "population")
    if statistics != "population":
        if parameters.normalization != "batch":
            raise InputError(
                f"simulation.statistics = {statistics!r} needs normalization = 'batch', "
                f"not {parameters.normalization!r}"
            )
        _check_samples(f"simulation.statistics = {statistics!r}", statistics, parameters.batch_size)
    shift = table.get("shift", False)
    if not isinstance(shift, bool):
        raise InputError(f"simulation.shift must be true or false, not {shift!r}")
    if shift and statistics == "population":
        raise InputError("simulation.shift needs statistics = 'batch' or 'batch-uncentred'")
    return Simulation(statistics, shift, _choice(table, "input_law", INPUT_LAWS, "gaussian"))


def _times(table: Mapping[str, Any]) -> np.ndarray:
    _check_keys("key of [times]", table, ("stop", "points", "list"))
    if "list" in table:
        if len(table) > 1:
            raise InputError("[times] has list and also stop or points; give one of them")
        times = _numbers(table["list"], "times.list")
        if times.ndim != 1 or times.size < 2:
            raise InputError("times.list must be at least two numbers")
        if times[0] < 0 or not (np.diff(times) > 0).all():
            raise InputError("times.list must increase and not begin before 0")
        return times
    points = _whole(table, "points", 101, least=2)
    return np.linspace(0.0, _positive(table, "stop", 100.0), points)


def _tolerance(table: Mapping[str, Any]) -> Tolerance:
    _check_keys("key of [tolerance]", table, [item.name for item in fields(Tolerance)])
    relative = _positive(table, "relative", Tolerance.relative)
    if relative < 1e-14 or relative >= 1:
        raise InputError(f"tolerance.relative is {relative:g}; double precision serves 1e-14 to 1")
    return Tolerance(relative, _positive(table, "absolute", Tolerance.absolute))


def _model(value: Any, folder: Path) -> Any:
    if value == "committee":
        return value
    if isinstance(value, str) and is_reference(value):
        return load_reference(value, folder)
    raise InputError(f"model must be 'committee' or 'file.py:name', not {value!r}")


# --- single values -------------------------------------------------------------------------------------


def _check_keys(kind: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    names = list(known)
    for key in table:
        if key not in names:
            raise unknown_name(kind, key, names)


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{key} must be a number, not {value!r}")
    if not math.isfinite(value):
        raise InputError(f"{key} is {value}; it must be finite")
    return float(value)


def _nonnegative(table: Mapping[str, Any], key: str, default: float) -> float:
    value = _number(table.get(key, default), key)
    if value < 0:
        raise InputError(f"{key} is {value:g}; it must not be negative")
    return value


def _positive(table: Mapping[str, Any], key: str, default: float) -> float:
    value = _number(table.get(key, default), key)
    if value <= 0:
        raise InputError(f"{key} is {value:g}; it must be positive")
    return value


def _whole(table: Mapping[str, Any], key: str, default: int, least: int) -> int:
    value = _number(table.get(key, default), key)
    if value != int(value) or value < least:
        raise InputError(f"{key} is {value:g}; it must be a whole number, at least {least}")
    return int(value)


def _count(table: Mapping[str, Any], key: str, default: int) -> int:
    return _whole(table, key, default, least=1)


def _batch_size(value: Any) -> float:
    if value == "inf" or value == math.inf:
        return math.inf
    if isinstance(value, str):
        raise InputError(f"batch_size must be a whole number or 'inf', not {value!r}")
    return float(_whole({"batch_size": value}, "batch_size", 1, least=1))


def _choice(table: Mapping[str, Any], key: str, known: tuple[str, ...], default: str) -> str:
    value = table.get(key, default)
    if value not in known:
        raise unknown_name(key, str(value), known)
    return str(value)


def _numbers(value: Any, key: str) -> np.ndarray:
    try:
        array = np.array(value)
    except ValueError:
        raise InputError(f"{key} must be an array with rows of equal length") from None
    if array.dtype.kind not in "iuf":
        raise InputError(f"{key} must hold numbers only, not {value!r}")
    if not np.isfinite(array).all():
        raise InputError(f"{key} holds a number that is not finite: {value!r}")
    return array.astype(float)


def _array(table: Mapping[str, Any], key: str, shape: tuple[int, ...], meaning: str) -> np.ndarray | None:
    if key not in table:
        return None
    array = _numbers(table[key], f"initial.{key}")
    if array.shape != shape:
        raise InputError(f"initial.{key} has shape {array.shape}; it must be {shape} ({meaning})")
    return array


def _check_psd(matrix: np.ndarray, name: str) -> None:
    asymmetry = float(np.abs(matrix - matrix.T).max())
    if asymmetry > PSD_TOLERANCE * max(1.0, float(np.abs(matrix).max())):
        raise InputError(f"the overlaps {name} are not symmetric (by {asymmetry:.3g})")
    least = float(np.linalg.eigvalsh(matrix)[0])
    if least < -PSD_TOLERANCE * float(np.trace(matrix)):
        raise InputError(
            f"the overlaps {name} are not positive semidefinite: the smallest eigenvalue is {least:.6g}; "
            "no weight vectors have these overlaps"
        )


# --- sweeps ----------------------------------------------------------------------------------------------

_WHOLE = ("students", "teachers", "batch_size")
_REAL = (
    "learning_rate", "gain_learning_rate", "second_layer_learning_rate", "input_variance", "label_noise",
    "weight_decay", "gain_decay",
)  # fmt: skip


def parse_vary(text: str) -> tuple[str, list[float]]:
    """``KEY=a:b`` (whole numbers, ends included) or ``KEY=start:stop:count`` (reals, equally spaced)."""
    key, equals, values = text.partition("=")
    key = key.strip()
    if not equals:
        raise InputError(
            f"--vary {text!r}: write KEY=a:b for whole numbers or KEY=start:stop:count for reals"
        )
    if key not in _WHOLE + _REAL:
        raise unknown_name("parameter to vary", key, _WHOLE + _REAL)
    parts = values.split(":")
    try:
        if len(parts) == 2:
            first, last = int(parts[0]), int(parts[1])
            if last < first:
                raise InputError(f"--vary {text!r}: the range is empty, {first} is above {last}")
            return key, list(range(first, last + 1))
        if len(parts) == 3:
            if key in _WHOLE:
                raise InputError(f"--vary {text!r}: {key} is a whole number; write {key}=a:b")
            start, stop, count = float(parts[0]), float(parts[1]), int(parts[2])
            if count < 1 or not (math.isfinite(start) and math.isfinite(stop)):
                raise InputError(f"--vary {text!r}: the ends must be finite and the count at least 1")
            return key, np.linspace(start, stop, count).tolist()
    except InputError:
        raise
    except ValueError:
        pass
    raise InputError(
        f"--vary {text!r}: write {key}=a:b for whole numbers or {key}=start:stop:count for reals"
    )


def sweep(run: Run, varied: Mapping[str, Iterable[float]]) -> list[tuple[dict[str, float], Run]]:
    """Every combination of the ``varied`` values, the last key fastest, with its run."""
    points = []
    for values in itertools.product(*varied.values()):
        changes = dict(zip(varied, values, strict=True))
        points.append((changes, with_parameters(run, **changes)))
    return points
