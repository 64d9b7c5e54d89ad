"""Write a report and everything beside it; read its JSON twin back."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from derive.latex import compile_pdf
from numerics.runtime.errors import InputError
from numerics.runtime.results import check_folder
from validate.report import figures, html, tables, twin
from validate.report.model import Picture, Report, anchor

HINT = "it should be the report.json that validate writes"


def write(report: Report, out_dir: str | os.PathLike[str]) -> dict[str, Path]:
    """Write the report into ``out_dir`` and return the paths by kind: html, json, csv, table, tex, pdf.

    Files are made in a folder beside the old ones and renamed into place when all of them are there, so that
    nothing half-written ever stands under its name.  ``pdf`` is missing where LaTeX is not installed.

    Raises InputError when the folder cannot be written.
    """
    target = check_folder(out_dir)
    pictures = {name: p for experiment in report.experiments for name, p in experiment.figures.items()}
    if len({anchor(name) for name in pictures}) < sum(
        len(experiment.figures) for experiment in report.experiments
    ):
        raise ValueError("two experiments gave a figure the same name")
    with tempfile.TemporaryDirectory(dir=target, prefix=".report.") as folder:
        staged = Path(folder)
        (staged / "figures").mkdir()
        drawings = {
            name: _draw(anchor(name), picture, staged / "figures") for name, picture in pictures.items()
        }
        source = tables.report_tex(report)
        made = {
            "csv": _text(staged / "verdicts.csv", tables.verdicts_csv(report)),
            "table": _text(staged / "verdicts.tex", tables.verdicts_tex(report)),
            "tex": _text(staged / "report.tex", source),
            "json": _text(
                staged / "report.json", json.dumps(twin.twin(report), indent=1, allow_nan=False) + "\n"
            ),
            "html": _text(staged / "report.html", html.render(report, drawings)),
        }
        pdf = compile_pdf(source, staged / "report.pdf")
        if pdf is not None:
            made["pdf"] = pdf
        (target / "figures").mkdir(exist_ok=True)
        for drawn in sorted((staged / "figures").iterdir()):
            drawn.replace(target / "figures" / drawn.name)
        return {kind: path.replace(target / path.name) for kind, path in made.items()}


def load_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON twin of a report, as ``write`` made it.

    Raises InputError when there is no such file or it is not a report of this program.
    """
    try:
        loaded = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); {HINT}") from None
    if not isinstance(loaded, dict) or "orderparams_report" not in loaded:
        raise InputError(f"{path} is not a report; {HINT}")
    if loaded["orderparams_report"] != twin.FORMAT:
        raise InputError(
            f"{path} has the report format {loaded['orderparams_report']}, this program reads {twin.FORMAT}; "
            "run validate again"
        )
    return loaded


def _draw(name: str, picture: Picture, folder: Path) -> str | bytes:
    """Save a picture for the browser and for LaTeX; what the page embeds is returned."""
    if isinstance(picture.content, bytes):
        (folder / f"{name}.png").write_bytes(picture.content)
        return picture.content
    if picture.raster:
        image = figures.png(picture.content)
        (folder / f"{name}.png").write_bytes(image)
        return image
    drawing = figures.svg(picture.content, name)
    (folder / f"{name}.svg").write_text(drawing, encoding="utf-8")
    (folder / f"{name}.pdf").write_bytes(figures.pdf(picture.content))
    return drawing


def _text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path
