"""The report: what was claimed, predicted and measured, as one HTML file, JSON, LaTeX, CSV and PDF.

    report = Report(title="...", experiments=(ExperimentResult(...),), ledger=(...), environment=stamp())
    write(report, "out")          # report.html, report.json, report.tex, report.pdf, verdicts.csv, figures/

Words in a report may hold ``$...$`` (LaTeX mathematics) and indexed letters such as Q_ij.
"""

from validate.report.model import Check, ExperimentResult, Finding, Picture, Report, Table
from validate.report.write import load_json, write

__all__ = ["Check", "ExperimentResult", "Finding", "Picture", "Report", "Table", "load_json", "write"]
