"""What is simulated: a student network learning from a teacher network, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from numerics.runtime.errors import InputError, unknown_name

NORMALIZATIONS = ("none", "batch", "batch-without-radial", "weight")
STATISTICS = ("population", "batch", "batch-uncentred")
INPUT_LAWS = ("gaussian", "binary", "uniform", "heavy-tailed")


@dataclass(frozen=True)
class Setup:
    """A student s = sum_i w_i phi(h_i) that learns from a teacher t = sum_n v_n phi(y_n) + label noise.

    Fields x_i = J_i.xi and y_n = B_n.xi of inputs xi with independent components of variance
    ``input_variance`` (tau). h_i is x_i (``none``), g_i x_i / sqrt(tau J_i.J_i) (``batch``: normalized by the
    population statistics, differentiated exactly; ``batch-without-radial``: without the part of the gradient
    that comes from J_i.J_i), or g_i x_i / |J_i| (``weight``). With ``statistics`` other than ``population``,
    ``batch`` normalizes by the mean and the standard deviation of the b samples themselves
    (``batch-uncentred``: by their root mean square). ``shift`` adds a learned beta_i, zero at the start.

    One step, with the loss (t - s)^2 / 2 averaged over ``batch_size`` fresh samples: J -= (learning_rate / N)
    (dloss/dJ + weight_decay J), g -= (gain_learning_rate / N) (dloss/dg + gain_decay g), beta -=
    (gain_learning_rate / N) dloss/dbeta, w -= (second_layer_learning_rate / N) dloss/dw. ``label_noise`` is a
    standard deviation.

    Initial overlaps Q (K, K), R (K, M), T (M, M; default: the identity) are realized exactly at every N; or
    ``draw`` = {"seed": ..., "norm": ...} draws the students' components from N(0, norm^2 / N), anew for each
    replica.

    ``model`` replaces the committee machine: an object whose attribute ``loss``, or which itself, is a sympy
    expression, the loss of one sample in x[i], y[n], Q[i,j], R[i,n], g[i], w[i], v[n], tau, noise, K, M.
    """

    students: int
    teachers: int
    activation: Any = "erf"
    normalization: str = "none"
    learning_rate: float = 1.0
    gain_learning_rate: float = None  # type: ignore[assignment]  # the learning rate, unless given
    second_layer_learning_rate: float = 0.0
    input_variance: float = 1.0
    batch_size: int = 1
    label_noise: float = 0.0
    weight_decay: float = 0.0
    gain_decay: float = 0.0
    statistics: str = "population"
    shift: bool = False
    input_law: str = "gaussian"
    Q: Any = None
    R: Any = None
    T: Any = None
    g: Any = None
    w: Any = None
    v: Any = None
    draw: Mapping[str, float] | None = None
    model: Any = None

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_names()
        self._check_initial()

    @property
    def has_gain(self) -> bool:
        """Whether a gain is learned by the committee machine."""
        return self.normalization != "none"

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_numbers(self) -> None:
        for name in ("students", "teachers"):
            if not _is_whole(getattr(self, name)) or getattr(self, name) < 1:
                raise InputError(f"{name} must be a whole number of at least 1, not {getattr(self, name)!r}")
            self._set(name, int(getattr(self, name)))
        if not _is_whole(self.batch_size) or self.batch_size < 1:
            raise InputError(
                f"batch_size must be a whole number of at least 1 in a simulation, not {self.batch_size!r}"
            )
        self._set("batch_size", int(self.batch_size))
        if self.gain_learning_rate is None:
            self._set("gain_learning_rate", self.learning_rate)
        for name in (
            "learning_rate", "gain_learning_rate", "second_layer_learning_rate",
            "label_noise", "weight_decay", "gain_decay",
        ):  # fmt: skip
            if not _is_finite(getattr(self, name)) or getattr(self, name) < 0:
                raise InputError(f"{name} must be a number of at least 0, not {getattr(self, name)!r}")
            self._set(name, float(getattr(self, name)))  # a numpy scalar would widen single precision
        if not _is_finite(self.input_variance) or self.input_variance <= 0:
            raise InputError(f"input_variance must be a positive number, not {self.input_variance!r}")
        self._set("input_variance", float(self.input_variance))

    def _check_names(self) -> None:
        for kind, name, known in (
            ("normalization", self.normalization, NORMALIZATIONS),
            ("statistics", self.statistics, STATISTICS),
            ("input law", self.input_law, INPUT_LAWS),
        ):
            if name not in known:
                raise unknown_name(kind, str(name), known)
        if self.model is not None and (self.normalization, self.statistics, self.shift) != (
            "none", "population", False,
        ):  # fmt: skip
            raise InputError(
                "a model of your own contains its normalization: leave out normalization, statistics, shift"
            )
        if self.statistics != "population" and self.normalization != "batch":
            raise InputError(f'statistics = "{self.statistics}" needs normalization = "batch"')
        if self.shift and self.normalization not in ("batch", "batch-without-radial"):
            raise InputError('shift = true needs normalization = "batch" or "batch-without-radial"')
        # At smaller sizes the normalized fields are signs whatever the weights are, so nothing is learned.
        needed = {"population": 1, "batch-uncentred": 2, "batch": 3}[self.statistics]
        if self.batch_size < needed:
            raise InputError(
                f'statistics = "{self.statistics}" needs a batch_size of at least {needed}: with fewer '
                "the normalized fields are +1, -1 or 0 whatever the weights are, and their gradient vanishes"
            )

    def _check_initial(self) -> None:
        K, M = self.students, self.teachers
        for name, count in (("g", K), ("w", K), ("v", M)):
            given = getattr(self, name)
            self._set(name, np.ones(count) if given is None else _array(name, given, (count,)))
        self._set("T", np.eye(M) if self.T is None else _array("T", self.T, (M, M)))
        if self.draw is not None:
            self._check_draw()
            return
        if self.Q is None or self.R is None:
            raise InputError("give the initial overlaps Q and R, or draw = {seed, norm} for random weights")
        self._set("Q", _array("Q", self.Q, (K, K)))
        self._set("R", _array("R", self.R, (K, M)))

    def _check_draw(self) -> None:
        assert self.draw is not None
        if self.Q is not None or self.R is not None:
            raise InputError("give either the initial overlaps Q, R or draw, not both")
        for key in self.draw:
            if key not in ("seed", "norm"):
                raise unknown_name("key of draw", key, ("seed", "norm"))
        norm = self.draw.get("norm", 1.0)
        if not _is_finite(norm) or norm <= 0:
            raise InputError(f"the norm of draw must be a positive number, not {norm!r}")
        self._set("draw", {"seed": int(self.draw.get("seed", 0)), "norm": float(norm)})

    def describe(self) -> dict[str, Any]:
        """The values as JSON can hold them: what identifies a run in its checkpoint."""
        described = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "model" and value is not None:
                loss = getattr(value, "loss", value)
                value = f"{loss}; {getattr(value, 'penalty', 0)}; {getattr(value, 'radial', True)}"
            if isinstance(value, np.ndarray):
                value = value.tolist()
            elif not isinstance(value, (int, float, str, bool, dict, type(None))):
                value = str(value)
            described[field.name] = value
        return described


def _is_whole(value: Any) -> bool:
    return (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and (math.isfinite(value) and value == int(value))
    )


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value)


def _array(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be an array of numbers of shape {shape}, not {value!r}") from None
    if array.shape != shape:
        raise InputError(f"{name} must have shape {shape}, not {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds a value that is not finite")
    return array
