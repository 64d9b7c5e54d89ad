"""The readout's derivation against differentiation, exact matrices and direct computation."""

from __future__ import annotations

import shutil
from math import prod

import autograd
import autograd.numpy as anp
import mpmath
import numpy as np
import pytest
from sympy import Matrix, Rational, S, eye, kronecker_product, simplify

from derive import latex, readout
from derive.errors import DerivationError
from derive.evaluate import evaluate
from derive.readout import features, invariance
from derive.readout.bounds import uniform_trace
from derive.readout.invariance import DATA, curvature_at
from derive.readout.spectrum import right as share
from derive.readout.symbols import K, a, d, r
from validate.simulate.curvature import last_layer_hessian
from validate.simulate.layers import softmax

CLASSES, UNITS = 4, 3


def drawn(samples: int = 7, seed: int = 0, scale: float = 1.0):
    """Features with a bias (unit, sample), weights and labels."""
    rng = np.random.default_rng(seed)
    h = np.vstack([np.abs(rng.standard_normal((UNITS, samples))), np.ones(samples)])
    return h, scale * rng.standard_normal((CLASSES, UNITS + 1)), rng.integers(0, CLASSES, samples)


def values(h, weights, label):
    """A point of the derived formulas: one sample."""
    probabilities = [mpmath.exp(z) for z in mpmath.matrix(weights) * mpmath.matrix(h)]
    total = mpmath.fsum(probabilities)
    return {"K": len(weights), "d": len(h), "h": list(h), "p": [e / total for e in probabilities],
            "y": [int(k == label) for k in range(len(weights))]}  # fmt: skip


def test_gradient_and_hessian_against_differences_at_high_precision():
    """Derivatives of the loss itself, written once more, by mpmath at 40 digits; the bias is the last feature."""
    h, weights, labels = drawn(1)
    with mpmath.workdps(60):
        sample, label = [mpmath.mpf(v) for v in h[:, 0]], int(labels[0])
        own = [[mpmath.mpf(v) for v in row] for row in weights]

        def loss(*moved):
            shifted = [row.copy() for row in own]
            for (k, i), by in zip(places, moved, strict=True):
                shifted[k][i] += by
            z = [mpmath.fsum(w * v for w, v in zip(row, sample, strict=True)) for row in shifted]
            return mpmath.log(mpmath.fsum(map(mpmath.exp, z))) - z[label]

        point = values(sample, own, label)
        for k, i, l, j in (
            (0, 0, 0, 0),
            (1, 2, 1, 3),
            (0, 1, 3, 1),
            (2, 3, 3, 0),
            (int(label), 3, int(label), 3),
        ):
            at = point | {"l": k + 1, "i": i + 1, "m": l + 1, "j": j + 1}
            places = [(k, i)]
            slope = evaluate(readout.gradient().right, at, 40)
            assert abs(slope - mpmath.diff(loss, 0)) < 1e-25
            places = [(k, i), (l, j)] if (k, i) != (l, j) else [(k, i)]
            second = mpmath.diff(loss, (0, 0), (1, 1)) if len(places) == 2 else mpmath.diff(loss, 0, 2)
            assert abs(evaluate(readout.hessian().right, at, 40) - second) < 1e-20


def derived_hessian(h, probabilities):
    """The mean over samples of the derived form, as an array."""
    total = 0
    for n in range(h.shape[1]):
        classes = np.array(curvature_at(probabilities[:, n].tolist()), dtype=float)
        total = total + np.kron(classes, np.outer(h[:, n], h[:, n])) / h.shape[1]
    return total


def test_hessian_against_its_definition_in_arrays():
    h, weights, _ = drawn()
    p = softmax(weights @ h)
    assert np.abs(derived_hessian(h, p) - last_layer_hessian(h, p, bias=False)).max() < 1e-14
    assert (
        np.abs(derived_hessian(h, p) - last_layer_hessian(h[:-1], p).reshape(len(h) * CLASSES, -1)).max()
        < 1e-14
    )


def test_hessian_against_automatic_differentiation():
    h, weights, labels = drawn(20)

    def loss(w):
        logits = anp.dot(w, h)
        return anp.mean(anp.log(anp.sum(anp.exp(logits), axis=0)) - logits[labels, np.arange(20)])

    second = autograd.hessian(loss)(weights).reshape(weights.size, weights.size)
    assert np.abs(derived_hessian(h, softmax(weights @ h)) - second).max() < 1e-12


def exact_softmax(h: Matrix, integers: Matrix) -> list[list[Rational]]:
    """Probabilities of weights log(integers) at whole features: exact fractions."""
    found = []
    for n in range(h.cols):
        powers = [prod(integers[k, i] ** h[i, n] for i in range(h.rows)) for k in range(integers.rows)]
        found.append([power / sum(powers) for power in powers])
    return found


def exact_hessian(h: Matrix, probabilities: list[list[Rational]]) -> Matrix:
    blocks = (kronecker_product(curvature_at(p), h[:, n] * h[:, n].T) for n, p in enumerate(probabilities))
    return sum(blocks, start=Matrix.zeros(len(probabilities[0]) * h.rows)) / h.cols


INTEGERS = Matrix([[2, 1, 3, 2], [1, 5, 1, 1], [3, 2, 2, 7]])
CASES = {
    "generic": (Matrix([[1, 0, 2, 3, 1], [0, 2, 1, 1, 3], [2, 1, 0, 1, 1], [1, 1, 1, 1, 1]]), ()),
    "dead unit": (Matrix([[1, 0, 2, 3, 1], [0, 0, 0, 0, 0], [2, 1, 0, 1, 1], [1, 1, 1, 1, 1]]), ((0, 1, 0, 0),)),
    "constant unit": (Matrix([[1, 0, 2, 3, 1], [3, 3, 3, 3, 3], [2, 1, 0, 1, 1], [1, 1, 1, 1, 1]]), ((0, 1, 0, -3),)),
    "twin units": (Matrix([[1, 0, 2, 3, 1], [1, 0, 2, 3, 1], [2, 1, 0, 1, 1], [1, 1, 1, 1, 1]]), ((1, -1, 0, 0),)),
    "few samples": (Matrix([[1, 0], [0, 2], [2, 1], [1, 1]]), ((2, 1, 0, -2), (0, 1, 2, -4))),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_null_space_and_rank_exactly(case):
    """In exact fractions, at the softmax of weights that are logarithms of whole numbers."""
    h, relations = CASES[case]
    hessian = exact_hessian(h, exact_softmax(h, INTEGERS))
    basis = readout.null_vectors(4, 3, relations)
    assert all((hessian * Matrix(vector)).is_zero_matrix for vector in basis)
    sizes = {K: 3, d: 4, r: h.rank()}
    assert Matrix(basis).rank() == len(basis) == readout.nullity().right.subs(sizes)
    assert hessian.rank() == readout.rank().right.subs(sizes)


def test_labels_drop_out():
    assert not any(str(e.base) == "y" for e in readout.hessian().right.atoms(type(a[1])))


@pytest.mark.parametrize(
    ("samples", "alive", "constant", "centred", "expected"),
    [
        (50, 10, True, False, 11), (5, 10, True, False, 5), (5, 10, False, True, 4), (5, 10, True, True, 5),
        (1, 3, False, True, 0),
    ],
)  # fmt: skip
def test_rank_of_generic_features(samples, alive, constant, centred, expected):
    assert readout.generic_feature_rank(samples, alive, constant, centred) == expected
    drawn = np.abs(np.random.default_rng(1).standard_normal((alive, samples)))
    drawn = np.vstack(
        [drawn - centred * drawn.mean(axis=1, keepdims=True), np.ones((int(constant), samples))]
    )
    assert np.linalg.matrix_rank(drawn) == expected


def test_numbers_that_cannot_be():
    with pytest.raises(DerivationError, match="samples must be a whole number of at least 1, not 0"):
        readout.generic_feature_rank(0, 3, True)
    with pytest.raises(DerivationError, match="units must be a whole number of at least 0, not -1"):
        readout.generic_feature_rank(3, -1, True)


def test_uniform_spectrum():
    h, weights, _ = drawn(9)
    measured = np.sort(np.linalg.eigvalsh(last_layer_hessian(h, softmax(0 * weights @ h), bias=False)))[::-1]
    moments = np.linalg.eigvalsh(h @ h.T / 9)[::-1]
    law = readout.uniform_spectrum()
    at = {"K": CLASSES, "mu": moments.tolist()}
    predicted = [float(evaluate(law.eigenvalue(rank), at)) for rank in range(1, (CLASSES - 1) * len(h) + 1)]
    assert measured[: len(predicted)] == pytest.approx(predicted, rel=1e-12)
    assert np.abs(measured[len(predicted) :]).max() < 1e-15
    assert law.multiplicity == K - 1
    assert simplify(readout.uniform_classes().trace - uniform_trace()) == 0


def test_classes_have_a_secular_equation_and_interlace():
    p = np.random.default_rng(2).dirichlet(np.ones(6))
    found = np.linalg.eigvalsh(np.array(curvature_at(p.tolist()), dtype=float))
    assert abs(found[0]) < 1e-16
    for value in found[1:]:
        terms = [t / (t - value) for t in p]
        assert abs(sum(terms)) < 1e-11 * max(map(abs, terms))
        assert (
            abs(evaluate(readout.secular_equation().right, {"K": 6, "p": p.tolist(), "lambda": value}))
            < 1e-10
        )
    ordered = np.sort(p)
    assert (ordered[:-1] < found[1:]).all() and (found[1:] < ordered[1:]).all()


@pytest.mark.parametrize("one", [Rational(1, 2), Rational(9, 10)])
def test_one_class_against_the_rest(one):
    exact = curvature_at([one] + [(1 - one) / 4] * 4).eigenvals()
    derived: dict = {}
    for space in readout.lopsided_classes():
        at = {K: 5, share: one}
        value = space.value.subs(at)
        derived[value] = derived.get(value, 0) + S(space.multiplicity).subs(at)
    assert exact == derived


def test_traces():
    h, weights, _ = drawn()
    p = softmax(weights @ h)
    matrix = last_layer_hessian(h, p, bias=False)
    own = [float(evaluate(readout.trace().right, {"K": CLASSES, "p": p[:, n].tolist()})) for n in range(7)]
    assert np.trace(matrix) == pytest.approx(np.mean(own * (h**2).sum(axis=0)), rel=1e-12)
    form = readout.trace_of_square().right
    pairs = [
        [
            float(evaluate(form, {"K": CLASSES, "p": p[:, n].tolist(), "q": p[:, s].tolist()}))
            for s in range(7)
        ]
        for n in range(7)
    ]
    assert (matrix**2).sum() == pytest.approx((np.array(pairs) * (h.T @ h) ** 2).mean(), rel=1e-12)


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_bounds_hold_and_are_attained(scale):
    h, weights, labels = drawn(30, seed=3, scale=scale)
    p = softmax(weights @ h)
    found = np.sort(np.linalg.eigvalsh(last_layer_hessian(h, p, bias=False)))[::-1]
    uniform = np.sort(np.linalg.eigvalsh(last_layer_hessian(h, 0 * p + 1 / CLASSES, bias=False)))[::-1]
    places = slice(0, (CLASSES - 1) * len(h))
    ratio = found[places] / uniform[places]
    assert CLASSES * p.min() * (1 - 1e-9) <= ratio.min() and ratio.max() <= CLASSES * p.max() * (1 + 1e-9)
    assert found[0] <= float(readout.steepest()) * np.linalg.eigvalsh(h @ h.T / 30)[-1]
    right = p[labels, np.arange(30)]
    bound = [float(evaluate(readout.loss_bound().right, {"p": q})) for q in right]
    assert found.sum() <= np.mean(np.array(bound) * (h**2).sum(axis=0))


def test_bounds_are_the_best_of_their_kind():
    """Two even classes reach the circle; uniform predictions both sides of the sandwich; nearly right ones the
    loss bound to first order."""
    assert max(curvature_at([Rational(1, 2), Rational(1, 2)]).eigenvals()) == readout.steepest()
    small = Rational(1, 10**6)
    trace = sum(q * (1 - q) for q in (1 - small, small))
    bound = readout.loss_bound().right.subs(next(iter(readout.loss_bound().right.free_symbols)), 1 - small)
    assert 0 < 1 - float(trace / bound) < 1e-5


def test_mean_square_about_any_number():
    point = {"K": 3, "p": [0.2, 0.5, 0.3], "a": [1.0, -2.0, 0.5], "c": 0.7}
    equation = readout.sandwich()
    assert evaluate(equation.left, point) == pytest.approx(evaluate(equation.right, point), abs=1e-14)
    form = readout.quadratic_form().right
    assert evaluate(form, point) == pytest.approx(np.array([1, -2, 0.5]) @ np.array(
        curvature_at(point["p"]), dtype=float) @ np.array([1, -2, 0.5]), abs=1e-14)  # fmt: skip


def test_centring_and_the_trace():
    h, weights, _ = drawn(11)
    p = softmax(weights @ h)
    units = h[:-1]
    sample = 1 - (p**2).sum(axis=0)
    point = {"M": UNITS, "t": sample.mean(), "u": (sample * units).mean(axis=1).tolist()}

    def trace(c):
        return np.trace(last_layer_hessian(units - np.array(c)[:, None], p, bias=False))

    by = units.mean(axis=1).tolist()
    predicted = float(evaluate(readout.centred_trace().right, point | {"c": by}))
    assert trace(by) - trace([0] * UNITS) == pytest.approx(predicted, rel=1e-12)
    best = [float(evaluate(features.flattest_centre(), point | {"i": i})) for i in range(1, UNITS + 1)]
    assert all(trace(best) < trace(np.array(best) + step) for step in (0.01 * np.eye(UNITS)).tolist())


def test_uniform_traces_of_centred_and_normalized_units():
    rng = np.random.default_rng(4)
    units = np.abs(rng.standard_normal((1, 12)))
    uniform = np.full((CLASSES, 12), 1 / CLASSES)
    change = features.uniform_centred_trace().subs(K, CLASSES)
    (mean,) = change.atoms(type(features.c[1]))
    centred = units - units.mean()
    measured = [np.trace(last_layer_hessian(x, uniform, bias=False)) for x in (units, centred)]
    assert measured[1] - measured[0] == pytest.approx(float(change.subs(mean, units.mean())), rel=1e-12)
    normalized = 0.7 * centred / np.sqrt(units.var() + 0.1) + 0.3
    point = {"K": CLASSES, "gamma": 0.7, "beta": 0.3, "epsilon": 0.1, "v": units.var()}
    predicted = float(evaluate(readout.batch_normalized_trace().right, point))
    assert np.trace(last_layer_hessian(normalized, uniform, bias=False)) == pytest.approx(
        predicted, rel=1e-12
    )


@pytest.mark.parametrize("change", readout.exchangeable())
def test_units_that_are_alike(change):
    mean, variance, covariance, units = 0.8, 1.5, 0.4, 5
    moments = (variance - covariance) * np.eye(units) + covariance
    shift = 0 if "centred" in change else mean
    moments = (moments + shift**2) / (variance if "scaled" in change else 1)
    blocks = readout.exchangeable()[change]
    at = {"v": variance, "s": covariance, "m": mean, "M": units}
    found = np.linalg.eigvalsh(moments)
    assert found[-1] == pytest.approx(float(evaluate(blocks.uniform, at)), rel=1e-12)
    assert found[:-1] == pytest.approx([float(evaluate(blocks.rest, at))] * (units - 1), rel=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_effects_are_what_happens(bias):
    """Factors hold in both exact examples, and every other effect has an example in which the quantity changes."""
    measured = {
        t.name: [invariance._measured(data, t.matrix, bias) for data in DATA] for t in readout.TRANSFORMATIONS
    }
    for effect in readout.effects(bias):
        if effect.factor is not None:
            factor = evaluate(effect.factor, {"c": Rational(1, 2)}, 50)
            for before, after in measured[effect.transformation]:
                if before[effect.quantity] != mpmath.inf:
                    assert abs(after[effect.quantity] / before[effect.quantity] / factor - 1) < 1e-40
        else:
            assert effect.example is not None and abs(effect.example[1] / effect.example[0] - 1) > 1e-3


def test_what_belongs_to_the_function():
    """With the bias, rank and Newton decrement are invariant under everything; eigenvalues are not."""
    moved = {effect.quantity for effect in readout.effects(True) if effect.factor != 1}
    assert {quantity.name for quantity in readout.QUANTITIES} - moved == {"rank", "Newton decrement"}
    weights = {(e.transformation, e.quantity): e.factor for e in readout.effects(False)}
    assert weights["all units times c", "lambda_1"] == invariance.c**2
    assert weights["all units times c", "lambda_1/lambda_K"] == 1
    assert weights["each unit times its own factor", "lambda_1/lambda_K"] is None


def test_a_transformation_that_changes_the_function_is_refused(monkeypatch):
    class Careless(invariance.Transformation):
        def keeps_probabilities(self):
            return False

    monkeypatch.setattr(invariance, "TRANSFORMATIONS", (Careless("careless", eye(3)),))
    invariance.effects.cache_clear()
    with pytest.raises(DerivationError, match="changes the function"):
        invariance.effects(True)
    invariance.effects.cache_clear()


def test_the_derivation_is_a_document(tmp_path):
    """Every equation with its steps; where LaTeX is installed it compiles."""
    assert all(equation.steps for equation in readout.equations())
    text = latex.document(readout.equations(), "The last layer")
    assert text.count("Derivation") == len(readout.equations())
    if shutil.which("pdflatex"):
        assert latex.compile_pdf(text, tmp_path / "readout.pdf") is not None
