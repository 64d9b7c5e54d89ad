"""The average of four signs of correlated Gaussian fields, to the last digits everywhere.

For unit-variance fields, 16 P = 1 + sum_{i<j} s_i s_j (2/pi) asin c_ij + s_1 s_2 s_3 s_4 S, where P is the
probability of the orthant with signs s and S the average of the four signs: it suffices to find P for one
orthant.  The one chosen closes (P = 0) when a single correlation c_ij moves to the edge of the cone of
positive semidefinite matrices, so by Price's rule, with l_ij = acos c_ij an edge of a spherical
tetrahedron and b_ij its dihedral angle there (Schlaefli's differential),

    P = 1/(4 pi^2) * integral of b_ij dl_ij  from the edge of the cone to the actual l_ij.

With k, l the other two fields and psi the dihedral angle at l_kl, put x = tan(psi/2).  Then
c_ij = (c_edge + c_opposite x^2)/(1 + x^2), everything is rational in x^2 up to one square root, the
integrand is even in x, and its only singularities lie on the imaginary axis at distances >= tau.  x = tau
sinh(v) opens those cuts into the strip |Im v| < pi/2, where Gauss-Legendre converges at a rate that
depends on v_end = asinh(x_end/tau) alone; that number picks the pair (i, j), the end of the cone, and the
count of nodes.

Accuracy: S has slope at most 2/pi in every angle l_ij, so the function is as well conditioned as the angles.
The geometry is built from bordered minors with one rounding each and from sums of squares, which keeps it
that way when fields are nearly collinear or coplanar.  Measured over 1e5 matrices of each of 28 ensembles,
down to angles of 1e-12: at most 2e-15 beyond what rounding the correlations alone does; 2e-13 for fields in a
plane whose matrix rounding made indefinite.
"""

from __future__ import annotations

from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numerics.special.legendre import gauss_legendre

#: (largest x_end/tau, nodes on half the interval): truncation below 1e-15 of S, measured over the cone.
_RULES = ((np.sinh(1.1), 8), (np.sinh(2.9), 16), (np.sinh(4.6), 24), (np.sinh(8.5), 40), (np.inf, 72))
#: Beyond this ratio the singularities no longer matter to the last digit.
_LARGEST_RATIO = 1e17
#: A hinge (k, l) is used only if its squared sine is at least this fraction of the largest: a hinge of two
#: nearly collinear fields would spoil the angles of the others.
_HINGE = 1 / 16
#: Correlations may exceed one by rounding up to this much; beyond, the result is NaN.
_SLACK = 1e-10
#: Points evaluated at a time: their temporaries stay in cache.
_CHUNK = 1024
#: (atan(t)/t - 1)/t^2 in powers of t^2 for |t| <= tan(pi/8): a Chebyshev fit, relative error 6e-18 of atan.
_ATAN = (
    -0.3333333333333333,
    0.19999999999995516,
    -0.14285714284665682,
    0.11111111015187018,
    -0.0909090457530649,
    0.07692183125376892,
    -0.06664510525508936,
    0.05858140904866328,
    -0.050854078345894844,
    0.03923044778479309,
    -0.019175404711104935,
)

_EDGES = {pair: position for position, pair in enumerate(combinations(range(4), 2))}
#: For each moving pair (i, j) with hinge (k, l), the positions of c_ij, c_ik, c_il, c_jk, c_jl, c_kl.
_ORDERS = np.array(
    [
        [_EDGES[min(a, b), max(a, b)] for a, b in combinations((*pair, *sorted({0, 1, 2, 3} - {*pair})), 2)]
        for pair in _EDGES
    ]
)


def four_signs(
    c12: ArrayLike, c13: ArrayLike, c14: ArrayLike, c23: ArrayLike, c24: ArrayLike, c34: ArrayLike
) -> Any:
    """<sign z1 sign z2 sign z3 sign z4> of zero-mean unit-variance Gaussian fields with these correlations.

    Scalars or arrays that broadcast; float64 in, the broadcast shape out (a float for scalars).  Every
    positive semidefinite correlation matrix is legal, singular ones and c = +-1 included; one indefinite
    by rounding counts as a semidefinite one nearby.  A correlation beyond [-1, 1] by more than 1e-10, or
    NaN, gives NaN.
    """
    given = np.array(np.broadcast_arrays(c12, c13, c14, c23, c24, c34), dtype=np.float64)
    flat = given.reshape(6, -1)
    legal = (np.abs(flat) <= 1 + _SLACK).all(axis=0)
    c = np.where(legal, np.clip(flat, -1, 1), 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        parts = [_evaluate(c[:, start : start + _CHUNK]) for start in range(0, c.shape[1], _CHUNK)]
    value = np.where(legal, np.concatenate([np.empty(0), *parts]), np.nan).reshape(given.shape[1:])
    return value if value.ndim else float(value)


def _evaluate(c: np.ndarray) -> np.ndarray:
    """S for correlations (6, n) in [-1, 1]."""
    sines = (1 - c) * (1 + c)
    ratio, pair, path, signs = _best_path(c, sines)
    orthant = np.zeros(c.shape[1])
    lower = 0.0
    for upper, nodes in _RULES:
        rows = np.flatnonzero((ratio > lower) & (ratio <= upper))
        lower = upper
        if rows.size:
            orthant[rows] = _integral(path[:, rows], nodes)
    s1, s2, s3, s4 = signs
    a12, a13, a14, a23, a24, a34 = np.take_along_axis(2 / np.pi * np.arcsin(c), _ORDERS.T[:, pair], axis=0)
    pairs = s1 * s2 * a12 + s1 * s3 * a13 + s1 * s4 * a14 + s2 * s3 * a23 + s2 * s4 * a24 + s3 * s4 * a34
    value = s1 * s2 * s3 * s4 * (4 / np.pi**2 * orthant - 1 - pairs)
    return np.where(sines.max(axis=0) == 0, np.sign(c[0] * c[5]), value)


def _integral(path: np.ndarray, half: int) -> np.ndarray:
    """The integral of b dl from the edge of the cone (x = 0) to x_end, with ``half`` nodes in x > 0."""
    end, tau, swing, hinge, near1, far1, near2, far2, m0, m1, m2 = path[:, :, None]
    nodes, weights = (part[half:] for part in gauss_legendre(2 * half))
    v_end = np.arcsinh(end / tau)
    v = v_end * nodes
    x = tau * np.sinh(v)
    y = x * x
    root = np.sqrt((near1 + far1 * y) * (near2 + far2 * y))  # (1 + y) sin l
    minor = m0 + (2 * m1 + m2 * y) * y
    angle = np.arctan2(2 * swing * hinge * x * root, np.where(m0 < 0, -minor, minor))
    slope = 4 * swing * x / ((1 + y) * root) * (tau * np.cosh(v))  # dl / dv
    return v_end[:, 0] * ((angle * slope) @ weights)


def _best_path(c: np.ndarray, sines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of the 12 paths (6 pairs, 2 ends of the cone) the one that needs fewest nodes, for each point.

    Returns x_end/tau (0 where the path has no length), the pair's index, what ``_integral`` needs (11, n),
    and the signs (4, n) of the orthant that closes, in the pair's order of fields.
    """
    ratios, paths, signs = _candidates(c[_ORDERS], sines[_ORDERS], sines.max(axis=0))
    best = np.argmin(ratios, axis=0)[None]

    def pick(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, np.broadcast_to(best, (len(values), *best.shape)), axis=1)[:, 0]

    return pick(ratios[None])[0], best[0] % len(_ORDERS), pick(paths), pick(signs)


def _candidates(
    c: np.ndarray, sines: np.ndarray, widest: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x_end/tau (12, n), path parameters (11, 12, n) and signs (4, 12, n); c and sines (pair, edge, n)."""
    c12, c13, c14, c23, c24, c34 = np.moveaxis(c, 1, 0)
    # 1 - c12 is exact for c12 > 0; a minus sign on field 2 brings the other half there.
    flip = np.where(c12 < 0, -1.0, 1.0)
    c12, c23, c24 = flip * c12, flip * c23, flip * c24
    _, q13, q14, q23, q24, q34 = np.moveaxis(sines, 1, 0)

    # Fields 1 and 2 = (c_i3 along field 3, b_i in the plane of 3 and 4, a_i >= 0 across it); h_i: b_i as 4
    # sees it.
    sine34 = np.sqrt(q34)
    k1, k2 = _minor(c14, c13, c34), _minor(c24, c23, c34)
    l1, l2 = _minor(c13, c14, c34), _minor(c23, c24, c34)
    b1, b2, h1, h2 = k1 / sine34, k2 / sine34, l1 / sine34, l2 / sine34
    a1 = np.sqrt(_volume(q13, q14, q34, k1, l1, _minor(c34, c13, c14))) / sine34
    a2 = np.sqrt(_volume(q23, q24, q34, k2, l2, _minor(c34, c23, c24))) / sine34

    # With 1 and 2 on the same side of the plane (34), and on opposite sides: 1 - c12 and 1 + c12.
    a_sum, a_gap, c_gap = a1 + a2, a1 - a2, c13 - c23
    b_gap = _minor(c14 - c24, c_gap, c34) / sine34
    in_plane_gap, in_plane_sum = b_gap**2 + c_gap**2, (b1 + b2) ** 2 + (c13 + c23) ** 2
    minus_same, minus_opposite = (a_gap**2 + in_plane_gap) / 2, (a_sum**2 + in_plane_gap) / 2
    plus_same, plus_opposite = (a_sum**2 + in_plane_sum) / 2, (a_gap**2 + in_plane_sum) / 2
    swing = a1 * a2
    from_same = np.maximum(1 - c12 - minus_same, 0)  # c_same - c12
    from_opposite = np.maximum(minus_opposite - (1 - c12), 0)

    # Triple products det(1, 2, 3) and det(1, 2, 4) at both ends; where a1 = a2 = 0 only their signs matter.
    t1, t2 = np.where(a_sum > 0, a1, 1), np.where(a_sum > 0, a2, 1)
    v3_same, v4_same = t2 * b1 - t1 * b2, t1 * h2 - t2 * h1
    v3_opposite, v4_opposite = -(t2 * b1 + t1 * b2), t1 * h2 + t2 * h1
    # The minor M_34 = det C[12 3, 12 4] along the path is m_same, m_middle, m_opposite in Bernstein form.
    m_same, m_opposite = v3_same * v4_same, v3_opposite * v4_opposite
    m_middle = 2 * c34 * swing**2 - (a2 * a2 * b1 * h1 + a1 * a1 * b2 * h2)

    # tau^2 at each end: the nearest zero of (1 - c^2) M_33 M_44.
    r3, r4 = np.sqrt(q13 * q23), np.sqrt(q14 * q24)
    d3, d4 = b1 * b2, h1 * h2
    tau2_same = np.fmin(
        minus_same / minus_opposite,
        np.fmin(
            _gap(r3, swing + d3, v3_same) / _gap(r3, d3 - swing, v3_opposite),
            _gap(r4, swing + d4, v4_same) / _gap(r4, d4 - swing, v4_opposite),
        ),
    )
    tau2_opposite = np.fmin(
        plus_opposite / plus_same,
        np.fmin(
            _gap(r3, swing - d3, v3_opposite) / _gap(r3, -swing - d3, v3_same),
            _gap(r4, swing - d4, v4_opposite) / _gap(r4, -swing - d4, v4_same),
        ),
    )

    ratios, paths, signs = [], [], []
    for near, far, tau2, near1, far1, near2, far2, m0, m2, v3, v4, s1 in (
        (from_same, from_opposite, tau2_same, minus_same, minus_opposite, plus_same, plus_opposite,
         m_same, m_opposite, v3_same, v4_same, -1.0),
        (from_opposite, from_same, tau2_opposite, minus_opposite, minus_same, plus_opposite, plus_same,
         m_opposite, m_same, v3_opposite, v4_opposite, 1.0),
    ):  # fmt: skip
        end = np.sqrt(near / far)
        tau = np.fmax(np.sqrt(tau2), end / _LARGEST_RATIO)
        no_length = (swing == 0) | (near == 0)
        ratio = np.where(no_length, 0.0, end / tau)
        ratios.append(np.where((q34 < _HINGE * widest) | np.isnan(ratio), np.inf, ratio))
        paths.append(np.stack([end, tau, swing, sine34, near1, far1, near2, far2, m0, m_middle, m2]))
        s3, s4 = np.where(v4 < 0, 1.0, -1.0), np.where(v3 < 0, -1.0, 1.0)
        signs.append(np.stack([np.full_like(flip, s1), flip, s3, s4]))
    return np.concatenate(ratios), np.concatenate(paths, axis=1), np.concatenate(signs, axis=1)


def _gap(length: np.ndarray, dot: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """length - dot >= 0, where length^2 = dot^2 + cross^2, without cancellation."""
    return np.where(dot > 0, cross * cross / np.where(dot > 0, length + dot, 1), length - dot)


def _volume(
    qa: np.ndarray, qb: np.ndarray, qc: np.ndarray, ac: np.ndarray, bc: np.ndarray, ab: np.ndarray
) -> np.ndarray:
    """The 3x3 minor of three fields from the squared sines of its edges a, b, c.

    ``ac`` is the bordered minor at the field where edges a and c meet, and so on.  The field between the two
    shortest edges gives the smallest rounding error.
    """
    pac, pbc, pab = qa * qc, qb * qc, qa * qb
    at_ab, at_ac = (pab <= pac) & (pab <= pbc), pac <= pbc
    return np.maximum(np.where(at_ab, pab - ab * ab, np.where(at_ac, pac - ac * ac, pbc - bc * bc)), 0)


def _minor(c: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """c - a b with the product taken exactly (Dekker's splitting: numpy has no fused multiply-add)."""
    product = a * b
    a_high, b_high = _high(a), _high(b)
    a_low, b_low = a - a_high, b - b_high
    return (c - product) - (((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low)


def _high(a: np.ndarray) -> np.ndarray:
    """The upper 26 bits of a."""
    scaled = 134217729.0 * a
    return scaled - (scaled - a)


def _four_signs_c() -> str:
    """The C body of ``four_signs``: the same rules, orders and thresholds, written into four_signs.c."""

    def table(kind: str, name: str, values: Any) -> str:
        return f"FOUR_SIGNS_TABLE {kind} four_signs_{name}[] = {{{', '.join(str(v) for v in values)}}};"

    def horner(coefficients: list[str]) -> str:
        *rest, text = coefficients
        for coefficient in reversed(rest):
            text = f"({coefficient} + u * {text})"
        return text

    halves = [half for _, half in _RULES]
    rules = [[part[half:] for part in gauss_legendre(2 * half)] for half in halves]
    reach = [repr(float(largest)) for largest, _ in _RULES[:-1]]
    v_end = np.arcsinh(np.minimum([largest for largest, _ in _RULES], _LARGEST_RATIO))
    tables = [
        table("double", "nodes", (repr(float(x)) for nodes, _ in rules for x in nodes)),
        table("double", "weights", (repr(float(w)) for _, weights in rules for w in weights)),
        table("int", "start", np.cumsum([0, *halves])),
        table("double", "reach", [*reach, "1e300"]),
        table("int", "triplings", np.ceil(np.log(v_end / 0.52) / np.log(3)).astype(int)),
    ]
    rows = ", ".join("{" + ", ".join(str(k) for k in row) + "}" for row in _ORDERS)
    filled = {
        "LONGEST": str(max(halves)),
        "TABLES": "\n".join(tables),
        "ORDERS": f"FOUR_SIGNS_TABLE int four_signs_orders[6][6] = {{{rows}}};",
        "ATAN": horner([repr(c) for c in _ATAN]),
        "SINH": horner([repr(1 / factorial(k)) for k in range(3, 16, 2)]),
    }
    text = Path(__file__).with_name("four_signs.c").read_text(encoding="utf-8")
    for name, value in filled.items():
        text = text.replace(f"@{name}@", value)
    return text


#: C99 and CUDA source that defines ``four_signs(c12, c13, c14, c23, c24, c34)``; needs nothing but math.h.
FOUR_SIGNS_C = _four_signs_c()
