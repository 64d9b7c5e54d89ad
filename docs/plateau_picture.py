"""The picture in the README: theory against simulation of two example runs.

Run from the project's folder: python docs/plateau_picture.py
"""

from pathlib import Path

from numerics.runs import solve_run
from numerics.runtime.runfile import load
from validate import plots
from validate.report import figures
from validate.runs import setup_of, simulation_backend
from validate.simulate import simulate
from validate.statistics import estimate

SIZE, REPLICAS = 1000, 32
here = Path(__file__).parent

figure, ax = figures.panels(height=3.4)
ax.set_yscale("log")
for name, label, colour in (
    ("committee", "no normalization", figures.BLUE),
    ("batchnorm", "batch normalization", figures.VERMILION),
):
    run = load(here.parent / "examples" / f"{name}.toml")
    setup = setup_of(run)
    _, _, options = simulation_backend(setup)
    measured = simulate(setup, run.times, REPLICAS, SIZE, seed=1, **options)
    mean = estimate(measured.generalization_error)
    figures.theory_with_simulation(
        ax, run.times, solve_run(run)["generalization_error"], mean.value, mean.error,
        label=label, colour=colour, simulated_at=measured.time,
    )  # fmt: skip
ax.set(xlabel="time (steps / N)", ylabel="generalization error")
ax.legend(title=f"lines: derived equations; points: {REPLICAS} networks of N = {SIZE}")
plots.save(figure, here / "images" / "plateau.svg")
