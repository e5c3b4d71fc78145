"""What training from superpixels does for one-shot outlines, in docs/reference/training.md: before and after it.

    python tools/alpnet_table.py            on the data sets of ``$DELINEATE_DATA``, about ten minutes of one core

Of each set, scans marked for training are learned from (some of them choose the best weights), and those marked for
testing are measured on: each structure of a slice is shown by one slice of another test subject, and outlined by
prototypes of the features alone. ``copied`` is that slice's own mask. Labels are not learned from.

Runs are kept in ``runs/alpnet/SET``. One that was stopped goes on where it was, and with more ``--steps`` so does one
that is done.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from delineate.checkpoints.adapter_file import AdapterKind
from delineate.data.cases import Case, Task, Use, load_cases
from delineate.systems import BuildOptions, build
from delineate.training.alpnet import AlpnetObjective, AlpnetTraining, dice, preparation_of, train_alpnet
from delineate.training.encoder_adapters import AdapterOptions
from delineate.training.episodes import Slices
from delineate.training.loop import BEST
from delineate.training.recipes import alpnet
from delineate.training.run_files import LAST
from tables import DATA, ROOT, write

PAGE = ROOT / "docs" / "reference" / "training.md"
SETS = ("hippocampus_mri_msd", "nuclei_dsb2018")
Scores = Mapping[str, list[float]]  # Dice of each pair, by structure


def recipe_of(folder: Path, options: argparse.Namespace) -> AlpnetTraining:
    """The recipe ``alpnet_sam`` with low-rank matrices, shortened."""
    usual = alpnet.options(folder)
    loop = replace(usual.loop, steps=options.steps, rate=options.rate, every=options.every, tensorboard=False)
    loop = replace(loop, resume=(folder / LAST).is_file())
    adapter = AdapterOptions(AdapterKind.LORA, options.rank)
    return replace(usual, loop=loop, adapter=adapter, episodes=replace(usual.episodes, slices=options.slices))


def scores_of(checkpoint: Path | None, model: str, tests: Sequence[Case], recipe: AlpnetTraining) -> Scores:
    """What prototypes of a network's features outline on test scans."""
    predictor = build(model, BuildOptions(checkpoint, threads=1, precision="fp32", backend="torch"))
    objective = _measuring(predictor, tests, recipe)
    found: dict[str, list[float]] = {}
    for score, name in objective.scored():
        found.setdefault(name, []).append(score)
    return found


def copied(model: str, tests: Sequence[Case], recipe: AlpnetTraining) -> Scores:
    """The same of the support's mask, laid on the query."""
    predictor = build(model, BuildOptions(threads=1, precision="fp32", backend="torch"))
    found: dict[str, list[float]] = {}
    for support, query, name in _measuring(predictor, tests, recipe).pairs:
        found.setdefault(name, []).append(dice(support.masks[name], query.masks[name]))
    return found


def _measuring(predictor: object, tests: Sequence[Case], recipe: AlpnetTraining) -> AlpnetObjective:
    preparation = preparation_of(predictor)
    testing = Slices(tests, preparation, replace(recipe.episodes, labeled=True))
    return AlpnetObjective(predictor, Slices((), preparation, recipe.episodes), testing, replace(recipe, adapter=None))


def measured(name: str, cases: Sequence[Case], options: argparse.Namespace) -> dict[str, Scores]:
    """Scores of a set: copied, before and after; what is in its folder already is taken as it is."""
    folder = ROOT / "runs" / "alpnet" / name
    folder.mkdir(parents=True, exist_ok=True)
    recipe, file = recipe_of(folder, options), folder / "scores.json"
    done: dict[str, Scores] = json.loads(file.read_text()) if file.is_file() else {}
    own = [case for case in cases if case.dataset == name]
    taught = [case for case in own if case.use is Use.TRAIN][: options.most]
    tests = [case for case in own if case.use is Use.TEST][: options.tests]

    def after() -> Scores:
        predictor = build(options.model, BuildOptions(threads=1, precision="fp32", backend="torch"))
        train_alpnet(predictor, taught, recipe, lambda line: print(name, line, flush=True))
        best = folder / BEST
        return scores_of(best, options.model, tests, recipe) if best.is_file() else {}

    steps = {
        "copied": lambda: copied(options.model, tests, recipe),
        "before": lambda: scores_of(None, options.model, tests, recipe),
        f"after {options.steps}": after,
    }
    for step, made in steps.items():
        if step not in done:
            done[step] = made()
            file.write_text(json.dumps(done))
    return done


def table_of(found: Mapping[str, Mapping[str, Scores]], steps: int) -> str:
    """Mean Dice of each structure, and how many pairs of slices got better; as before where no weights were better."""
    rows = [
        f"| set | structure | pairs | mask copied | before | after {steps} steps | better |",
        "|---" * 7 + "|",
    ]
    for name, done in found.items():
        for structure, before in done["before"].items():
            after, laid = done[f"after {steps}"].get(structure, before), done["copied"][structure]
            better = sum(b > a for a, b in zip(before, after, strict=True))
            cells = [f"{np.mean(one):.3f}" for one in (laid, before, after)]
            rows.append(f"| {name} | {structure} | {len(before)} | {' | '.join(cells)} | {better} of {len(before)} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--model", default="lite_medsam")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--every", type=int, default=10, help="steps between measurements")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--slices", type=int, default=4, help="of a volume")
    parser.add_argument("--most", type=int, default=12, help="scans that are learned from, a quarter held out")
    parser.add_argument("--tests", type=int, default=6, help="scans that are measured on")
    options = parser.parse_args()
    cases = load_cases(DATA, (Task.IMAGE, Task.VOLUME), tuple(Use))
    found = {name: measured(name, cases, options) for name in options.sets}
    text = table_of(found, options.steps)
    print(text)
    write(PAGE, "alpnet", text)


if __name__ == "__main__":
    main()
