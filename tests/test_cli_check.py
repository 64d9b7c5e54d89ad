"""``orderparams check``: formulas that are the same, and formulas that are not."""

from __future__ import annotations

import mpmath
import pytest

from derive.check import read, same
from orderparams import main

SAME = [
    ("<erf(u)*erf(v)>", "2/pi*asin(C_uv/sqrt((1+C_uu)*(1+C_vv)))"),
    (
        "<relu(u)*relu(v)>",
        "<relu(u)*v>/2 + (sqrt(C_uu*C_vv-C_uv^2) + C_uv*asin(C_uv/sqrt(C_uu*C_vv)))/(2*pi)",
    ),
    ("(exp(2*a)-1)/(exp(2*a)+1)", "tanh(a)"),
    ("sin(a)^2 + cos(a)^2", "1"),
    ("Q[i,j]*tau/(1 + 1)", "tau*Q[i,j]/2"),
    ("u", "u"),
]
DIFFERENT = [
    ("<erf(u)*erf(v)>", "2/pi*asin(C_uv/sqrt((1+C_uu)*(1+C_uu)))"),
    ("<erf(u)*erf(v)>", "2/pi*asin(2*C_uv/sqrt((1+2*C_uu)*(1+2*C_vv)))"),
    ("sqrt(a^2 + c^2)", "a + c"),
    ("Q[i,j]", "R[i,n]"),
    ("a + 1/10^40", "a"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same(one: str, other: str) -> None:
    result = same(read(one), read(other))
    assert result.equal and result.counterexample is None


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different(one: str, other: str) -> None:
    result = same(read(one), read(other))
    assert not result.equal
    assert result.counterexample is not None
    printed, derived = result.counterexample["printed"], result.counterexample["derived"]
    with mpmath.workdps(50):
        assert mpmath.mpf(printed) != mpmath.mpf(derived)


def test_the_command_prints_a_counterexample(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "sqrt(a^2)", "--equals", "2*a"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "verdict: refuted"
    point = dict(line.split(" = ") for line in lines[3:])
    with mpmath.workdps(60):
        numerator, denominator = point["  a"].split("/") if "/" in point["  a"] else (point["  a"], "1")
        a = mpmath.mpf(numerator) / mpmath.mpf(denominator)
        assert abs(mpmath.mpf(point["  sqrt(a^2)"]) - a) < mpmath.mpf(10) ** -48
        assert abs(mpmath.mpf(point["  2*a"]) - 2 * a) < mpmath.mpf(10) ** -48


def test_the_command_confirms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "a*(a + 1)", "--equals", "a^2 + a"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("verdict: confirmed\n") and "counterexample" not in out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["check", "a"], "required: --equals"),
        (["check", "a +", "--equals", "a"], "a + -->HERE-->"),
        (["check", "a", "--equals", "takagi2020.eq_"], "did you mean 'takagi2020.eq"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], argv: list[str], words: str) -> None:
    try:
        status = main(argv)
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    captured = capsys.readouterr()
    assert status == 2 and captured.out == "" and words in captured.err and captured.err.count("\n") == 1
