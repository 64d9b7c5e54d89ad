"""``orderparams average`` and the grammar of its expressions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from scipy import integrate
from scipy.special import erf
from sympy import Symbol

from derive.errors import DerivationError
from derive.grammar import parse
from orderparams import main

u, v, w = (Symbol(name, real=True) for name in "uvw")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("u + 2*v/3 - 0.1", u + 2 * v / 3 - sympy.Rational(1, 10)),
        ("-u**2", -(u**2)),
        ("2^3^2", 512),
        ("(u + v)*u", (u + v) * u),
        ("u - -v", u + v),
        ("2**-1", sympy.Rational(1, 2)),
        ("u*v/w*2", 2 * u * v / w),
        ("u - v - w", u - v - w),
        ("1.5e-3*u", sympy.Rational(3, 2000) * u),
        ("erf(u)", sympy.erf(u / sympy.sqrt(2))),
        ("erf'(u)", sympy.sqrt(2 / sympy.pi) * sympy.exp(-(u**2) / 2)),
        ("sign'(u)", 2 * sympy.DiracDelta(u)),
        ("tanh''(u)", sympy.tanh(u).diff(u, 2)),
        ("sqrt(2)*exp(-u)*pi", sympy.sqrt(2) * sympy.exp(-u) * sympy.pi),
        ("<u*v>", Symbol("C_uv", real=True)),
        ("<u**2> - C_uu", 0),
        ("<u1*u2> - C_{u1,u2}", 0),
    ],
)
def test_expressions_mean_what_they_say(text: str, meant: sympy.Expr) -> None:
    assert sympy.simplify(parse(text).expression - meant) == 0


def test_slopes_and_sizes_are_no_fields() -> None:
    assert [str(field) for field in parse("leaky_relu(u, a) * v / (K * tau)").fields] == ["u", "v"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("erf'(u * v", "expected ')': erf'(u * v -->HERE--> "),
        ("eft(u)", "did you mean 'erf'?:  -->HERE--> eft(u)"),
        ("u v", "expected an operator or the end: u  -->HERE--> v"),
        ("u + * v", "expected a number, a name or a bracket: u +  -->HERE--> * v"),
        ("u $ v", "there is no such sign here: u  -->HERE--> $ v"),
        ("", "expected a number"),
        ("erf", "needs its argument in brackets"),
        ("erf(u, v)", "erf takes one argument"),
        ("leaky_relu(u)", "an argument and a slope"),
        ("u / 0", "division by zero: u /  -->HERE--> 0"),
        ("0 ** -1", "division by zero"),
        ("Q[i]", "Q has 2 indices"),
        ("Z[i]", "unknown array 'Z'"),
        ("Q[i,-1]", "expected an index"),
        ("<<u>>", "an average inside an average"),
        ("u.real", "there is no such sign here: u -->HERE--> .real"),
        ("__import__('os')", "unknown function '__import__'"),
        ("(" * 5000, "nested brackets"),
        ("2" + "^2" * 5000, "nested powers"),
        ("9^9^9^9", "a power above 1000"),
        ("(9^900)^900", "more than 1000 digits"),
        ("1e99999999", "more than 1000 digits"),
        ("erf" + "'" * 11 + "(u)", "a derivative above order 10"),
    ],
)
def test_what_does_not_parse_points_at_the_place(text: str, words: str) -> None:
    with pytest.raises(DerivationError) as caught:
        parse(text)
    assert words in str(caught.value) and caught.value.exit_status == 2


def _json(capsys: pytest.CaptureFixture[str], *argv: str) -> dict:
    assert main(["average", *argv, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def _covariance(tmp_path: Path, fields: list[str], matrix: list[list[float]]) -> str:
    path = tmp_path / "covariance.json"
    path.write_text(json.dumps({"fields": fields, "matrix": matrix}))
    return str(path)


def test_the_number_is_the_average(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """<v erf(u/sqrt 2)> by quadrature; the file lists the fields in an order of its own, and one too many."""
    matrix = [[2.0, 0.5, 0.0], [0.5, 1.5, 0.1], [0.0, 0.1, 1.0]]
    answer = _json(capsys, "v * erf(u)", "--covariance", _covariance(tmp_path, ["v", "u", "z"], matrix))

    def integrand(x: float) -> float:  # E[v | u] = Cov(u, v) / Var(u) u
        return 0.5 / 1.5 * x * erf(x / math.sqrt(2)) * math.exp(-x * x / 3) / math.sqrt(3 * math.pi)

    expected = integrate.quad(integrand, -np.inf, np.inf, epsabs=1e-14, epsrel=1e-14)[0]
    assert answer["value"] == pytest.approx(expected, rel=1e-12)
    assert answer["closed"] is True and answer["rules"] and answer["latex"]
    assert "steps" not in answer


def test_what_no_rule_closes_is_integrated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    answer = _json(
        capsys, "v * tanh(u)", "--covariance", _covariance(tmp_path, ["u", "v"], [[1.0, 0.5], [0.5, 2.0]])
    )
    x = np.linspace(-12, 12, 2001)
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    assert answer["closed"] is False
    assert answer["value"] == pytest.approx(0.5 * (x * np.tanh(x) * density).sum() * (x[1] - x[0]), rel=1e-12)


def test_text_latex_and_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["average", "sign(u) * sign(v)", "--steps"]) == 0
    text = capsys.readouterr().out
    assert "asin" in text and "\n1. sheppard: <sign(u)*sign(v)>" in text
    assert main(["average", "sign(u) * sign(v)", "--format", "latex"]) == 0
    assert "\\arcsin" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("expression", "content", "words"),
    [
        ("3 * pi", None, "there is no field to average over"),
        ("delta(u)^2", None, "does not exist"),
        ("u*v", "not json", "is not JSON"),
        ("u*v", '{"fields": ["u", "v"]}', "and nothing else"),
        ("u*v", '{"fields": ["u", "v"], "matrix": [[1, 0]]}', "one row and one column for each"),
        ("u*v", '{"fields": ["u"], "matrix": [[1]]}', "no covariance for the field 'v'"),
        ("u*v", '{"fields": ["u", "v"], "matrix": [[1, "a"], ["a", 1]]}', "needs numbers, not 'a'"),
        ("u*v", '{"fields": ["u", "v"], "matrix": [[1, NaN], [NaN, 1]]}', "finite"),
        ("u*v", '{"fields": ["u", "v"], "matrix": [[1, 0.5], [0, 1]]}', "not symmetric"),
        ("u*v", '{"fields": ["u", "v"], "matrix": [[1, 2], [2, 1]]}', "lowest eigenvalue is -1"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, expression: str, content: str | None, words: str
) -> None:
    argv = ["average", expression]
    if content is not None:
        (tmp_path / "c.json").write_text(content)
        argv += ["--covariance", str(tmp_path / "c.json")]
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and words in captured.err and captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("delta(u)^2", "the average of delta(u)^2 does not exist"),
        ("step'(u)*delta'(u)", "the average of delta(u)*delta'(u) does not exist"),
        ("1/u", "1/u has a pole"),
        ("v/(u - v)", "has a pole"),
        ("sign(u)/u", "has a pole"),
        ("exp(u)/(1 + u)^2", "has a pole"),
        ("abs(u)^(-3/2)", "has a pole"),
        ("tan(u)", "has a pole"),
        ("1/cos(u)", "has a pole"),
        ("sqrt(u)", "cannot average sqrt(u): it is not real"),
        ("log(u)", "not real"),
        ("asin(u)", "not real"),
    ],
)
def test_averages_that_do_not_exist_are_refused_in_the_grammar_of_the_command_line(
    expression: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["average", expression]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("expression", "function"),
    [
        ("sin(u)/u", lambda x: np.sinc(x / np.pi)),
        ("(exp(u) - 1)/u", lambda x: np.expm1(x) / x),
        ("1/(2 + cos(u))", lambda x: 1 / (2 + np.cos(x))),
        ("sqrt(1 + u^2)", lambda x: np.sqrt(1 + x**2)),
        ("1/(1 + exp(u))", lambda x: 1 / (1 + np.exp(x))),
    ],
)
def test_removable_singularities_and_denominators_without_zeros_are_averaged(
    expression: str, function: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "covariance.json"
    file.write_text('{"fields": ["u"], "matrix": [[1.0]]}')
    assert main(["average", expression, "--covariance", str(file), "--format", "json"]) == 0
    wanted = integrate.quad(lambda x: function(x) * np.exp(-(x**2) / 2), 1e-300, 40, limit=200)[0]
    wanted += integrate.quad(lambda x: function(-x) * np.exp(-(x**2) / 2), 1e-300, 40, limit=200)[0]
    assert json.loads(capsys.readouterr().out)["value"] == pytest.approx(
        wanted / np.sqrt(2 * np.pi), rel=1e-9
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [("gaussian", "normal_density"), ("heaviside", "step"), ("DiracDelta", "delta"), ("reul", "relu")],
)
def test_a_function_by_another_name_is_suggested(
    name: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["average", f"{name}(u)"]) == 2
    assert f"unknown function {name!r}; did you mean {meant!r}?" in capsys.readouterr().err


def test_steps_are_comments_in_latex(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["average", "delta(u)*v^2", "--steps", "--format", "latex"]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == "% 1. pin: <v^2*delta(u)> -> condition on u = 0"
    assert not last.startswith("%")
