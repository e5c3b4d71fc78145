"""What Quill's features are brought onto those of LiteMedSAM by: ``python tools/correspondence.py`` writes it anew.

Learned from made-up scenes, and from pictures and slices of openly licensed items marked ``train`` in
``$DELINEATE_DATA``, without their labels. LiteMedSAM's published weights have to be there: ``delineate models pull
lite_medsam``. Ten minutes of one core.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from delineate.core.frame import Frame
from delineate.data.cases import Case, Use
from delineate.data.layouts import read_dataset
from delineate.fewshot.feature_map import Array
from delineate.fewshot.features import extractor_of
from delineate.quill.correspondence import FITTED, CorrespondenceMap
from delineate.quill.data.synthetic import synthetic_scene
from delineate.quill.dense_features import QuillExtractor
from delineate.quill.predictor import QuillPredictor
from delineate.systems import BuildOptions, build
from tables import DATA

SIDE, SEED = 256, 23
CASES, SLICES = 40, 2  # of a data set, and of a volume


def made_up(count: int) -> Iterator[Frame]:
    for number in range(count):
        picture = synthetic_scene(np.random.default_rng([SEED, number]), SIDE).frames[0]
        yield Frame.of(np.rint(255 * picture).astype(np.uint8))


def real() -> Iterator[Frame]:
    """Frames of the first cases of each set; of a volume or video, those at its thirds."""
    sets: dict[str, list[Case]] = defaultdict(list)
    for case in sorted(read_dataset(DATA)[1], key=lambda one: one.id):
        if case.use is Use.TRAIN:
            sets[case.dataset].append(case)
    for case in [case for own in sets.values() for case in own[:CASES]]:
        opened = case.open()
        count = len(opened.frames)
        for n in {(k + 1) * count // (SLICES + 1) for k in range(SLICES)}:
            yield opened.scan.frame(opened.frames[min(n, count - 1)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=260)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    quill = QuillPredictor(threads=options.threads)
    own = QuillExtractor(quill.path, threads=options.threads)
    other = extractor_of(build("lite_medsam", BuildOptions(threads=options.threads)))
    cells = own.side // own.stride

    def pairs() -> Iterator[tuple[Array, Array]]:
        for number, frame in enumerate([*made_up(options.scenes), *real()]):
            yield own.levels(frame).resampled(cells), other.features(frame).resampled(cells)
            if number % 50 == 0:
                print(f"{number} pictures", flush=True)

    CorrespondenceMap.fitted(pairs(), quill.record.sha256).write(FITTED)
    print(f"{FITTED.name}: {FITTED.stat().st_size} bytes")


if __name__ == "__main__":
    main()
