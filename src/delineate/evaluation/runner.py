"""Measuring predictors on labeled scans, case by case; what is done is kept, so a run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from delineate.core.errors import InputError, MissingExtraError, PromptError, foreseen
from delineate.core.terminal_text import command, counted
from delineate.data.cases import MANIFEST, Case, LabeledScan, Use, load_cases
from delineate.data.contents import case_content
from delineate.data.layouts import read_dataset
from delineate.data.learned_from import learned_by, was_learned
from delineate.data.relative_paths import without_folders
from delineate.data.subjects import subject_of
from delineate.evaluation.baselines import BASELINES
from delineate.evaluation.code_version import measuring_code
from delineate.evaluation.outcome_file import FinishedCases, check_outcome_file
from delineate.evaluation.outline_metrics import OUTLINE_METRICS
from delineate.evaluation.predictors import (
    SHIPPED,
    check_predictor,
    predictor_named,
    reported_names,
    variants_of,
    weights_file,
)
from delineate.evaluation.protocol import failed_outcome
from delineate.evaluation.protocols import Outcome, Protocol, protocol_named
from delineate.evaluation.report import further_files, report_files, write_report
from delineate.evaluation.tables import EvaluationReport, Failure, Measured
from delineate.io.outputs import Outputs, check_run_folder
from delineate.predictors.frame_predictor import Predictor
from delineate.systems.system import BuildOptions

Progress = Callable[[int, int], None]

DATA_VARIABLE = "DELINEATE_DATA"


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What to measure.

    data           folder of labeled scans in any known layout; by default the environment variable DELINEATE_DATA
    protocol       its name (``protocols.PROTOCOLS``)
    predictors     names; all that suit the protocol unless given
    follow_links   whether paths and links of the data may lead outside its folder (``data.confined``)
    output         folder for the tables; outcomes of earlier runs there are used again, while nothing they depend on
                   has changed
    datasets       only these
    limit          at most so many cases of each data set
    structures     at most so many structures of a case, drawn evenly over their sizes
    seed           of prompts and draws; fixed for each case, whatever else is measured
    with_training  also measure on scans a model learned from: marked so, or said beside the weights of a run
    untrained      random weights where a system has none: shows that the path runs, measures nothing
    precision      systems compute in fp32 unless another is asked for, so that tables do not depend on the machine
    variant        of the systems that have it, where their authors do a thing in two ways
    """

    data: Path | None = None
    follow_links: bool = False
    protocol: str = "box-2d"
    predictors: tuple[str, ...] = ()
    output: Path = Path("evaluation")
    datasets: tuple[str, ...] = ()
    limit: int | None = None
    structures: int = 12
    seed: int = 0
    with_training: bool = False
    untrained: bool = False
    precision: str = "fp32"
    variant: str = ""

    @property
    def building(self) -> BuildOptions:
        """How the systems are built."""
        return BuildOptions(untrained=self.untrained, precision=self.precision, variant=self.variant)

    def __post_init__(self) -> None:
        protocol = protocol_named(self.protocol)
        if self.structures < 1 or (self.limit is not None and self.limit < 1):
            raise InputError("E-EVAL-LIMIT", "A limit of cases or structures is at least 1.", "Leave it out for all.")
        if self.variant and not any(self.variant in variants_of(name) for name in self.names):
            raise InputError(
                "E-VARIANT",
                f'None of {", ".join(self.names)} has a variant "{self.variant}".',
                "See which there are: delineate bench reproduce NAME",
            )
        for name in self.predictors:
            check_predictor(name)
            if name in BASELINES and not protocol.box_alone:
                raise PromptError(
                    "E-BASELINE-PROMPT",
                    f'The baseline "{name}" takes boxes only; {protocol.name} prompts otherwise.',
                    "Leave it out, or measure it with box-2d.",
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The predictors to measure."""
        suiting = BASELINES if protocol_named(self.protocol).box_alone else ()
        return tuple(dict.fromkeys(self.predictors or (SHIPPED, *suiting)))

    @property
    def root(self) -> Path:
        """The folder of labeled scans; raises InputError where none is named."""
        named = named_data(self.data)
        if named is None:
            raise InputError(
                "E-EVAL-NO-DATA",
                "No labeled scans to measure on are named.",
                f"Name a folder of them: --data FOLDER, or the variable {DATA_VARIABLE}. "
                "Layouts: docs/reference/datasets.md",
            )
        return named


def named_data(data: Path | None) -> Path | None:
    """The folder a person named, by option or environment variable; None where neither."""
    named = data or os.environ.get(DATA_VARIABLE)
    return Path(named) if named else None


def evaluate(
    options: EvaluateOptions,
    progress: Progress | None = None,
    card: Sequence[str] = (),
    run: Mapping[str, Any] | None = None,
) -> EvaluationReport:
    """Measure predictors on labeled scans; tables and a sheet of the worst cases go to ``options.output``.

    progress  called with (done, all), counting every case once for each predictor
    card      lines to head the page with: what is reproduced
    run       what the numbers' file says of the run: the request that repeats it

    A case that fails, in whatever way, is listed in the report and does not stop the others; where the predictor failed
    and not the scan, its structures count as missed. Raises InputError without data.
    """
    protocol = protocol_named(options.protocol)
    cases, left_out = unlearned(chosen_cases(options), options)
    card = (
        [*card, f"cases {len(cases)}; {left_out} others were left out, as a model learned from them"]
        if left_out
        else card
    )
    building = options.building
    predictors = {shown: predictor_named(name, building) for name, shown in reported_names(options.names).items()}
    read = [options.root, *(weights_file(name) for name in options.names)]
    if options.follow_links:  # what is read may lie anywhere
        read += [path for case in cases for path in (case.image, case.label)]
    check_run_folder(options.output, read)
    check_outcome_file(_outcomes_file(options))
    files = (*report_files(options.output, protocol.name), *further_files(options.output, protocol))
    with Outputs(files, read, overwrite=True) as outputs:
        report = _measured(options, protocol, cases, left_out, predictors, progress)
        write_report(report, {case.key: case for case in cases}, options.output, outputs, card, run)
    return report


def _measured(
    options: EvaluateOptions,
    protocol: Protocol,
    cases: Sequence[Case],
    left_out: int,
    predictors: Mapping[str, Predictor],
    progress: Progress | None,
) -> EvaluationReport:
    """Every case with every predictor, taken from an earlier run where that is possible."""
    records = {name: predictor.record for name, predictor in predictors.items()}
    options.output.mkdir(parents=True, exist_ok=True)
    finished = FinishedCases(_outcomes_file(options))
    measured: list[Measured] = []
    failures: list[Failure] = []
    total = len(cases) * len(predictors)
    for number, case in enumerate(cases):
        opened = _Opened(case, options)
        for turn, (name, predictor) in enumerate(predictors.items(), 1):
            found, failure = _of_case(opened, protocol, name, predictor, finished)
            measured += found
            failures += [] if failure is None else [failure]
            if progress is not None:
                progress(number * len(predictors) + turn, total)
    return EvaluationReport(
        protocol,
        tuple(predictors),
        records,
        tuple(measured),
        tuple(failures),
        options.seed,
        left_out,
        finished.distrusted,
        provenance(options, cases),
    )


def _of_case(
    opened: _Opened, protocol: Protocol, name: str, predictor: Predictor, finished: FinishedCases
) -> tuple[list[Measured], Failure | None]:
    """A case with one predictor, and what stopped it; structures that it failed on count as missed."""
    case, options = opened.case, opened.options
    outcomes: list[Outcome] = []
    failed: list[Outcome] = []
    failure = None
    try:
        protocol.require(predictor)
        key = _key(options, opened.content, predictor)
        alone = not predictor.capabilities.remembers  # else a run that goes on would be another one
        known = finished.get(key) if alone else None
        outcomes = known or []
        if known is None:
            for outcome in protocol.measure(opened.scan, opened.targets, predictor, options.seed):
                outcomes.append(outcome)
            if alone:
                finished.add(key, outcomes)
    except Exception as error:
        reason = foreseen(error)
        counted = opened.is_open and not isinstance(reason, InputError | PromptError | MissingExtraError)
        failure = Failure(name, case.id, without_folders(str(reason), options.root), counted)
        if counted:
            done = {outcome.label for outcome in outcomes}
            rest = [target for target in opened.targets if target.label not in done]
            size = opened.scan.scan.height, opened.scan.scan.width
            failed = [failed_outcome(target, protocol.measured, size) for target in rest]
    subject = subject_of(case)
    measured = [Measured(name, case.id, case.dataset, outcome, subject) for outcome in outcomes]
    return measured + [Measured(name, case.id, case.dataset, one, subject, failed=True) for one in failed], failure


def provenance(options: EvaluateOptions, cases: Sequence[Case]) -> tuple[str, ...]:
    """Lines "what  words" on a run: when, with which version and command, on which scans; no folders."""
    words: list[object] = ["delineate", "evaluate", "--data", options.root.name, "--protocol", options.protocol]
    words += ["--predictors", ",".join(reported_names(options.names).values()), "--seed", options.seed]
    words += ["--datasets", ",".join(options.datasets)] if options.datasets else []
    words += ["--limit", options.limit] if options.limit is not None else []
    words += ["--structures", options.structures, *(["--with-training"] if options.with_training else [])]
    words += ["--untrained"] if options.untrained else []
    words += ["--precision", options.precision] if options.precision != EvaluateOptions.precision else []
    words += ["--variant", options.variant] if options.variant else []
    modalities = Counter(case.modality or "unknown" for case in cases)
    return (
        f"date {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"version delineate {version('delineate')}",
        f"command {command(*words)}",
        f"modalities {', '.join(f'{name} ({count})' for name, count in sorted(modalities.items()))}",
    )


def chosen_cases(options: EvaluateOptions) -> list[Case]:
    """The cases that the options name; raises InputError if there are none."""
    root, protocol = options.root, protocol_named(options.protocol)
    cases = _cases(root, protocol, options)
    there = sorted({case.dataset for case in cases})
    missing = [name for name in options.datasets if name not in there]
    if missing or not cases:
        raise InputError(
            "E-EVAL-NO-CASES",
            f"{root} has no case for {protocol.name}{' of ' + ', '.join(missing) if missing else ''}.",
            f"Data sets there: {', '.join(there) or 'none'}. Scans for training count only with --with-training.",
        )
    return [case for case in cases if case.dataset in options.datasets] if options.datasets else cases


def unlearned(cases: Sequence[Case], options: EvaluateOptions) -> tuple[list[Case], int]:
    """Cases that none of the models learned from, as many as are wanted, and how many were left out for that.

    Raises InputError if a model learned from all of them.
    """
    learned = frozenset() if options.with_training else learned_by(options.names)
    left = [case for case in cases if not was_learned(case, learned)]
    if not left:
        raise InputError(
            "E-EVAL-NO-CASES",
            f"A model learned from all there is: {counted(len(cases), 'case')}.",
            "Name other scans. --with-training measures on them all the same, which says little.",
        )
    chosen = left if options.limit is None else list(_first_of_each(left, options.limit))
    return chosen, len(cases) - len(left)


def _cases(root: Path, protocol: Protocol, options: EvaluateOptions) -> list[Case]:
    """Cases of the kinds a protocol takes.

    A layout other than the manifest need not mark any for testing; all of its cases count then.
    """
    if not root.is_dir() or (root / MANIFEST).is_file():
        uses = tuple(Use) if options.with_training else (Use.TEST,)
        return load_cases(root, protocol.tasks, uses, options.follow_links)
    found = [case for case in read_dataset(root, options.follow_links)[1] if case.task in protocol.tasks]
    marked = [case for case in found if case.use is Use.TEST]
    return found if options.with_training or not marked else marked


def _first_of_each(cases: Iterable[Case], limit: int) -> Iterable[Case]:
    taken: Counter[str] = Counter()
    for case in cases:
        taken[case.dataset] += 1
        if taken[case.dataset] <= limit:
            yield case


@dataclass(frozen=True)
class _Opened:
    """A case that is read when somebody is measured on it."""

    case: Case
    options: EvaluateOptions

    @property
    def is_open(self) -> bool:
        """Whether the scan and its structures could be read."""
        return "targets" in self.__dict__

    @cached_property
    def content(self) -> str:
        return case_content(self.case)

    @cached_property
    def scan(self) -> LabeledScan:
        return self.case.open()

    @cached_property
    def targets(self) -> tuple[Any, ...]:
        return self.scan.targets(self.options.structures, self.options.seed)


def _key(options: EvaluateOptions, content: str, predictor: Predictor) -> str:
    """What the outcomes of a case of that content depend on."""
    record = predictor.record
    known = [measuring_code(), options.protocol, options.seed, options.structures, content, *OUTLINE_METRICS]
    known += [record.name, record.version, record.sha256, record.precision, record.variant]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:20]


def _outcomes_file(options: EvaluateOptions) -> Path:
    return options.output / f"{options.protocol}.jsonl"
