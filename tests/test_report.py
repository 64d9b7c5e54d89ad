"""The report: all that it must hold, the same bytes for the same results.  The data here is made up."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from sympy import Symbol, asin, pi, sqrt, symbols

from derive.equation import Equation, LedgerEntry, Step, Verdict
from derive.latex import latex, layout
from derive.ledger import with_evidence
from derive.model import committee
from derive.online import derive_flow
from numerics.runtime.errors import InputError
from validate.report import Check, ExperimentResult, Finding, Picture, Report, Table, load_json, write
from validate.report.figures import panels, spectrum_plot, svg, theory_with_simulation, trend, z_scores
from validate.report.mathml import equation, mathml, words
from validate.report.text import duration, listed, number, probability

u, v = symbols("u v", real=True)
TIMES = np.linspace(0.0, 10.0, 201)


def curves() -> Picture:
    figure, (left, right) = panels(2)
    theory_with_simulation(left, TIMES, np.exp(-TIMES), np.exp(-TIMES), np.full(201, 0.01), label="$N=100$")
    theory_with_simulation(right, TIMES, TIMES, TIMES, np.ones(201), band=True)
    left.set_xlabel("time")
    left.legend()
    return Picture(figure, "Made up. Criterion |z| < 3; result: passed.")


def cloud() -> Picture:
    figure, axes = panels(height=2.0)
    spectrum_plot(axes, [2, 3, 4], [[0.1, -0.2], [0.2, -0.1], [0.3, 0.1]], labels=["a", "b"], whole=True)
    return Picture(figure, "Made up.", raster=True)


def report() -> Report:
    i2 = Equation(
        "I2", Symbol("I_2"), 2 * asin(u) / pi, {u: "a correlation"}, "derived", (Step("sheppard", u * v, u),)
    )
    wrong = replace(i2, right=i2.right / 2, source="paper2020 (8)", steps=())
    misprint = Verdict("misprint", "half of it", i2.right, {"u": "0.5"}, {"digits": 50})
    ledger = (
        LedgerEntry("paper2020.eq8", "paper2020", "An average <of> two & more", misprint, wrong, i2),
        LedgerEntry("paper2020.eq1", "paper2020", "The model", Verdict("definition", "the model"), wrong),
        LedgerEntry("paper2020.claim-slow", "paper2020", "It is slow", Verdict("open", "to be measured")),
        LedgerEntry("paper2020.claim-flat", "paper2020", "It is flat", Verdict("confirmed", "by algebra")),
    )
    checks = (
        Check(
            "a", "Q_11 at the end", 0.5, 0.512, "|z| < 3", True, 0.01, 1.2, 0.23, {"no $\\eta^2$ term": 0.97}
        ),
        Check("tails: M = 3", "light tails", 1.0, 1.1, "|z| < 3", True, 0.1, 1.0),
        Check("tails: M = 4", "light tails", 1.0, 1.0, "|z| < 3", True, 0.1, 4e-15),
        Check("b", "heavy tails", np.array([1.0, 2.0]), None, "|z| < 3", None, details={"why": "left out"}),
    )
    findings = (
        Finding("paper2020.claim-slow", "It is slow", "It is fast.", "refuted", {"z": np.float64(9.5)}),
        Finding("paper2020.claim-flat", "It is flat", "It is.", "confirmed"),
        Finding("paper2020.claim-new", "Unlisted", "Holds at large $N$.", "conditional"),
    )
    experiment = ExperimentResult(
        name="made-up", title="Made up", question="Is $a < b$?", answer="Yes.",
        settings={"sizes": [100, 300], "rates": {"eta": 0.1}, "batch": float("inf")}, seeds={"master": 7},
        checks=checks, findings=findings, equations=(i2,),
        figures={"made-up.curves": curves(), "cloud": cloud()},
        tables=(Table("Times", ("K", "t"), ((2, 1.5e-7),)),), seconds=3.2,
    )  # fmt: skip
    return Report(
        "A report & more", {"Which?": "That."}, ledger, (experiment,), {"backend": "c", "reason": "gcc"}
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write(report(), tmp_path_factory.mktemp("report") / "out")


class Page(HTMLParser):
    """Tags, identifiers and addresses of a page; complains about tags that do not close."""

    VOID = ("meta", "img", "br", "wbr", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for key, value in attributes if key == "id"]
        self.addresses += [value or "" for key, value in attributes if key in ("href", "src", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()


def test_the_page_is_whole_and_needs_nothing_else(written: dict[str, Path]) -> None:
    text = written["html"].read_text()
    page = Page(text)
    assert "script" not in page.tags and "link" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    for address in page.addresses:
        assert address.startswith(("#", "data:image/png;base64,")), address
        assert not address.startswith("#") or address[1:] in page.ids, address
    assert not re.search(r"@import|url\((?!#)", text)
    assert 'class="unrendered"' not in text
    assert page.tags.count("math") > 5 and page.tags.count("svg") == 1 and page.tags.count("img") == 1
    assert "details" in page.tags
    assert "An average &lt;of&gt; two &amp; more" in text
    assert text.index("<h2>Verdicts</h2>") < text.index("<h2>Made up</h2>") < text.index("<h2>Equations</h2>")


def test_it_says_what_was_stated_measured_and_decided(written: dict[str, Path]) -> None:
    text = written["html"].read_text()
    for expected in (
        "0.512 ± 0.010",
        "|z| &lt; 3",
        "with probability 0.97",
        "left out",
        '>light tails<span class="case">M = 3</span><',
        '<td class="figure">0.00</td>',
        "paper2020.<wbr>claim-<wbr>flat",
        "batch",
        "gcc",
        "3.2 s",
        "rates.eta",
    ):
        assert expected in text, expected
    assert not re.search(r"probability [^;]*\d\.<span", text)  # a space after the power
    assert text.count("not tested</span>") == 3  # in the tally, the list of checks and the experiment


def test_measured_claims_replace_open_ones_only() -> None:
    rows = {row.name: row for row in report().verdicts()}
    assert list(rows) == [
        "paper2020.eq8", "paper2020.eq1", "paper2020.claim-slow", "paper2020.claim-flat",
        "paper2020.claim-new",
    ]  # fmt: skip
    assert (rows["paper2020.claim-slow"].verdict, rows["paper2020.claim-slow"].where) == (
        "refuted",
        "made-up",
    )
    assert (rows["paper2020.claim-flat"].verdict, rows["paper2020.claim-flat"].reason) == (
        "confirmed",
        "by algebra",
    )
    assert rows["paper2020.claim-new"].verdict == "conditional"


def test_the_json_twin_feeds_the_ledger(written: dict[str, Path]) -> None:
    loaded = load_json(written["json"])
    assert loaded["passed"] and loaded["complete"]
    found = loaded["evidence"]["paper2020.claim-slow"]
    assert found["experiment"] == "made-up" and found["evidence"] == {"z": 9.5}
    merged = with_evidence(report().ledger[2], {"paper2020.claim-slow": {"reason": found["answer"], **found}})
    assert (merged.verdict.kind, merged.verdict.reason) == ("refuted", "It is fast.")
    experiment = loaded["experiments"][0]
    assert experiment["settings"] == {"sizes": [100, 300], "rates": {"eta": 0.1}, "batch": "inf"}
    assert [check["outcome"] for check in experiment["checks"]] == ["passed", "passed", "passed", "not tested"]
    assert experiment["checks"][3]["predicted"] == [1.0, 2.0]
    assert experiment["figures"][0]["name"] == "made-up.curves"
    assert loaded["ledger"][0]["derived"]["srepr"].startswith("Equality(")
    assert loaded["ledger"][0]["corrected"]["latex"] == latex(2 * asin(u) / pi)


def test_a_failed_check_fails_the_report_and_a_refuted_claim_does_not() -> None:
    whole = report()
    assert whole.passed
    failed = replace(whole.experiments[0].checks[0], passed=False)
    broken = replace(whole, experiments=(replace(whole.experiments[0], checks=(failed,), complete=False),))
    assert not broken.passed and not broken.complete


def test_tables_of_verdicts(written: dict[str, Path]) -> None:
    rows = list(csv.DictReader(written["csv"].read_text().splitlines()))
    assert [row["verdict"] for row in rows] == [
        "misprint",
        "definition",
        "refuted",
        "confirmed",
        "conditional",
    ]
    assert rows[0]["claim"] == "An average <of> two & more"
    assert r"An average $<$of$>$ two \& more & misprint" in written["table"].read_text()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_pdf_is_made(written: dict[str, Path]) -> None:
    assert written["pdf"].read_bytes().startswith(b"%PDF")
    assert r"{figures/made-up-curves}" in written["tex"].read_text()  # a dot would read as an extension


def test_the_same_results_give_the_same_bytes(written: dict[str, Path], tmp_path: Path) -> None:
    again = write(report(), tmp_path)
    for kind in ("html", "json", "csv", "tex", "table"):
        assert again[kind].read_bytes() == written[kind].read_bytes(), kind
    for drawn in (tmp_path / "figures").iterdir():
        assert drawn.read_bytes() == (written["html"].parent / "figures" / drawn.name).read_bytes(), (
            drawn.name
        )


class Broken:
    def savefig(self, *arguments: object, **options: object) -> None:
        raise RuntimeError("no figure")

    def findobj(self, kind: object) -> list[object]:
        return []


def test_a_report_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    paths = write(Report("first"), tmp_path)
    before = {path.name: path.read_bytes() for path in paths.values()}
    broken = ExperimentResult("b", "b", "?", "!", figures={"f": Picture(Broken(), "")})  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="no figure"):
        write(Report("second", experiments=(broken,)), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "figures"])


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("{")
    with pytest.raises(InputError, match="cannot make the folder"):
        write(Report("x"), file / "out")
    with pytest.raises(InputError, match="not JSON"):
        load_json(file)
    with pytest.raises(InputError, match="cannot read"):
        load_json(tmp_path / "missing.json")
    file.write_text("[]")
    with pytest.raises(InputError, match="not a report"):
        load_json(file)
    file.write_text(json.dumps({"orderparams_report": 99}))
    with pytest.raises(InputError, match="run validate again"):
        load_json(file)
    with pytest.raises(ValueError, match="unknown verdict"):
        Finding("a", "b", "c", "perhaps")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 entries"):
        Table("t", ("a", "b"), ((1,),))
    twice = tuple(ExperimentResult(n, n, "?", "!", figures={"f": cloud()}) for n in "ab")
    with pytest.raises(ValueError, match="same name"):
        write(Report("x", experiments=twice), tmp_path)


# Formulas -------------------------------------------------------------------------------------------


def test_every_row_of_a_flow_converts() -> None:
    for shown in derive_flow(committee("erf")).equations:
        html = equation(shown)
        assert "unrendered" not in html
        broken = layout(shown, 46.0)
        rows = sum(
            len(block.left) * (not block.inline) + len(block.right)
            for block in (broken.equation, *broken.where)
        )
        assert html.count("<tr>") == rows
        assert not re.search(r">[^<]*(\\|&(?!\w+;|#))[^<]*<", html)


def test_what_cannot_be_converted_is_shown_as_source() -> None:
    assert mathml(r"\unheard{x}") == r'<code class="unrendered">\unheard{x}</code>'
    assert "unrendered" in mathml(r"a & b")
    assert "unrendered" in mathml(r"\frac{a")


def test_signs_limits_and_functions_are_mended() -> None:
    assert 'form="infix">−' in mathml("- a") and 'form="infix"' not in mathml("- a", inline=True)
    assert "munderover" in mathml(r"\left(a + \sum_{k=1}^{K} b\right)")
    assert '<mspace width="0.17em" /><mi>arcsin' in mathml(r"b \arcsin{\left(x\right)}")
    assert "−" in mathml("a - b") and "-" not in re.sub(r"<[^>]*>", "", mathml("a - b"))


def test_words_are_escaped_and_hold_formulas() -> None:
    html = words("<b>at</b> $N \\to \\infty$, Q_ij")
    assert html.startswith("&lt;b&gt;at&lt;/b&gt; <math") and html.count("<math") == 2


# Numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.123456, 0.0123, "0.123 ± 0.012"),
        (-0.123456, 0.00021, "−0.12346 ± 0.00021"),
        (123.456, 1.9, "123.5 ± 1.9"),
        (123.456, 37.0, "123 ± 37"),
        (1.3e-5, 1e-6, r"(1.30 ± 0.10) $\times 10^{-5}$"),
        (0.0, 0.01, "0.000 ± 0.010"),
        (2.0, None, "2"),
        (1234567.0, None, r"$1.23 \times 10^{6}$"),
        (None, None, "—"),
        (True, None, "yes"),
        (float("nan"), 0.1, "nan"),
        ([1.0, 2.0], [0.1, 0.1], "1.00 ± 0.10, 2.00 ± 0.10"),
        (list(range(20)), None, "0, 1, 2, …, 19"),
        ([[1, 2], [3, 4]], None, "[1, 2], [3, 4]"),
        ([], None, "none"),
        (sqrt(2), None, r"$\sqrt{2}$"),
    ],
)
def test_numbers_carry_as_many_digits_as_their_error(value: object, error: object, expected: str) -> None:
    assert number(value, error) == expected


def test_probabilities_durations_and_settings() -> None:
    assert [probability(p) for p in (None, 1e-9, 0.031, 0.995, 1.0)] == [
        "—",
        "< 0.0001",
        "0.031",
        "0.995",
        "> 0.999",
    ]
    assert [duration(s) for s in (None, 0.02, 3.21, 600.0, 9000.0)] == [
        "—",
        "20 ms",
        "3.2 s",
        "10.0 min",
        "2.5 h",
    ]
    assert listed({"a": {"b": 1}, "c": [{"d": 2}]}) == [("a.b", "1"), ("c.0.d", "2")]


# Figures --------------------------------------------------------------------------------------------


def test_figures_are_byte_stable_and_fluid() -> None:
    first, second = (svg(curves().content, "name") for _ in range(2))  # type: ignore[arg-type]
    assert first == second
    head = first[: first.index(">")]
    assert "viewBox" in head and " width=" not in head and " height=" not in head
    assert "<dc:date>" not in first


def test_points_are_thinned_along_the_axis_as_scaled() -> None:
    for scale, decades in (("linear", False), ("log", True)):
        _, axes = panels()
        axes.set_xscale(scale)
        theory_with_simulation(axes, TIMES, TIMES, TIMES, np.ones(201), marks=10)
        drawn = axes.containers[0].lines[0].get_xdata()
        assert 5 <= len(drawn) <= 10
        assert (drawn > 0).all() == decades
        assert drawn[-1] == TIMES[-1]


def test_bars_are_the_stated_number_of_standard_errors() -> None:
    _, (left, right) = panels(2)
    theory_with_simulation(left, [0.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.1, 0.1], sigmas=3.0)
    (lower, upper), *_ = (segment[:, 1] for segment in left.containers[0].lines[2][0].get_segments())
    assert (lower, upper) == pytest.approx((0.7, 1.3))
    trend(right, [0.1, 0.2], [1.0, 2.0], [0.1, 0.1], fit=(0.5, 5.0))
    assert right.lines[-2].get_ydata() == pytest.approx([0.5, 1.5])
    z_scores(left, ["a", "b"], [0.5, 4.0], 3.0)
