"""Fixed points and slopes of the recursions against iteration, differences, and exact cases."""

from __future__ import annotations

import json
import math

import pytest
import sympy
from scipy import integrate

import orderparams
from derive.activation import activation
from derive.wide import network
from derive.wide.fixed_points import equations
from derive.wide.propagation import q
from numerics.runtime.errors import InputError
from numerics.wide import order_parameters
from numerics.wide.fixed_points import edge_of_chaos, fixed_point


def gauss(f, variance: float) -> float:  # type: ignore[no-untyped-def]
    """<f(u)> by scipy."""
    weight = lambda u: f(u) * math.exp(-u * u / 2 / variance) / math.sqrt(2 * math.pi * variance)  # noqa: E731
    return integrate.quad(weight, -9 * math.sqrt(variance), 9 * math.sqrt(variance), epsabs=1e-13, epsrel=1e-13)[0]


@pytest.mark.parametrize(("name", "weight", "bias"), [("tanh", 1.2, 0.05), ("tanh", 4.0, 0.3), ("erf", 6.0, 0.1)])
def test_deep_signals_end_at_the_fixed_point(name: str, weight: float, bias: float) -> None:
    """Sixty layers, and the rates of the last ones."""
    found, _, _ = order_parameters(network(60, name, weight, bias))
    point = fixed_point(activation(name), weight, bias)
    variance, correlation = float(found.q_t[-1]), float(found.q_st[-1] / found.q_t[-1])
    assert point.variance == pytest.approx(variance, rel=1e-9)
    assert point.correlation == pytest.approx(correlation, abs=30 * point.correlation_slope**60)
    gaps = [1 - float(found.q_st[k] / found.q_t[k]) - (1 - point.correlation) for k in (20, 21)]
    assert gaps[1] / gaps[0] == pytest.approx(point.correlation_slope, abs=0.02)
    assert float(found.tilde_t[50] / found.tilde_t[51]) == pytest.approx(point.chi_1, rel=1e-8)
    assert point.phase == ("chaotic" if point.chi_1 > 1 else "ordered")
    assert (point.correlation == 1) == (point.chi_1 < 1)


@pytest.mark.parametrize("name", ["relu", "leaky-relu", "erf", "gelu", "identity"])
def test_the_slope_of_the_variance_is_the_derivative(name: str) -> None:
    found = equations(activation(name))
    difference = found["variance"].right.diff(q) - found["variance_slope"].right
    assert sympy.simplify(difference) == 0


def test_slopes_of_tanh_against_scipy() -> None:
    point = fixed_point(activation("tanh"), 2.0, 0.2)
    power = lambda v: 2.0 * gauss(lambda u: math.tanh(u) ** 2, v) + 0.2  # noqa: E731
    assert power(point.variance) == pytest.approx(point.variance, rel=1e-12)
    h = 1e-4
    difference = (power(point.variance + h) - power(point.variance - h)) / (2 * h)
    assert point.variance_slope == pytest.approx(difference, abs=1e-7)
    assert point.chi_1 == pytest.approx(2 * gauss(lambda u: math.cosh(u) ** -4, point.variance), rel=1e-12)


def test_relu_is_linear_in_the_variance() -> None:
    """V = sigma_w^2 q/2 + sigma_b^2: the fixed point and every slope by hand."""
    point = fixed_point(activation("relu"), 1.5, 0.3)
    assert point.variance == pytest.approx(0.3 / 0.25, rel=1e-14)
    assert (point.variance_slope, point.chi_1, point.correlation) == (pytest.approx(0.75), pytest.approx(0.75), 1.0)
    assert fixed_point(activation("relu"), 2, 0).phase == "critical"
    assert fixed_point(activation("relu"), 1, 0).variance == 0
    with pytest.raises(InputError, match="without bound"):
        fixed_point(activation("relu"), 2.5, 0.1)


def test_odd_activations_without_biases_decorrelate_above_the_edge() -> None:
    point = fixed_point(activation("tanh"), 1.5, 0)
    assert point.phase == "chaotic"
    assert point.correlation == 0
    assert fixed_point(activation("tanh"), 0.8, 0).variance == 0


@pytest.mark.parametrize("variance", [0.05, 0.7, 3.0])
def test_on_the_edge_chi_1_is_one(variance: float) -> None:
    weight, bias = edge_of_chaos(activation("tanh"), variance)
    point = fixed_point(activation("tanh"), weight, bias)
    assert point.variance == pytest.approx(variance, rel=1e-9)
    assert point.chi_1 == pytest.approx(1, abs=1e-9)
    for change, phase in ((0.99, "ordered"), (1.01, "chaotic")):
        assert fixed_point(activation("tanh"), change * weight, bias).phase == phase


def test_the_edge_of_relu_is_a_point() -> None:
    assert edge_of_chaos(activation("relu"), 0.3) == (2, 0)
    found, _, _ = order_parameters(network(9, "relu", 2))
    assert [float(x) for x in found.tilde_t] == [1] * 9
    with pytest.raises(InputError, match="positive"):
        edge_of_chaos(activation("relu"), 0)


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    command = "kappa --activation tanh --weight-variance 3 --bias-variance 0.64 --fixed-point"
    assert orderparams.main([*command.split(), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["fixed_point"]
    assert found["phase"] == "ordered"
    slope = 3 * gauss(lambda u: math.cosh(u) ** -4, found["variance"])
    assert found["chi_1"] == pytest.approx(slope, rel=1e-12)
    assert orderparams.main(command.split()) == 0
    assert "chi_1" in capsys.readouterr().out
    assert orderparams.main(["kappa", "--activation", "relu", "--weight-variance", "3", "--fixed-point"]) == 2
