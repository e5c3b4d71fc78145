"""Every verb by the words one types: its request, its function, its result. Command line, servers and docs read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import getdoc
from typing import Any, Final

from delineate.verbs import bench, dataset, evaluate, finetune, models, systems
from delineate.verbs.auto import AutoRequest, AutoResult, auto
from delineate.verbs.batch import BatchRequest, BatchResult, batch
from delineate.verbs.clean import CleanRequest, clean
from delineate.verbs.combine import CombineRequest, combine
from delineate.verbs.compare import CompareRequest, CompareResult, compare
from delineate.verbs.compare_labels import CompareLabelsRequest, CompareLabelsResult
from delineate.verbs.compare_labels import compare as compare_labels
from delineate.verbs.convert import ConvertRequest, ConvertResult, convert
from delineate.verbs.demo import DemoRequest, DemoResult, demo
from delineate.verbs.distill import DistillRequest, DistillResult, distill
from delineate.verbs.doctor import DoctorRequest, DoctorResult, doctor
from delineate.verbs.fill_between import FillBetweenRequest, fill_between
from delineate.verbs.inspect import InspectRequest, InspectResult, inspect
from delineate.verbs.label_files import LabelResult
from delineate.verbs.measure import MeasureRequest, MeasureResult, measure
from delineate.verbs.oneshot import OneshotRequest, OneshotResult, oneshot
from delineate.verbs.repeat import call
from delineate.verbs.replay import ReplayRequest, ReplayResult, replay
from delineate.verbs.request import Progress, Request, Result, valid
from delineate.verbs.segment import SegmentRequest, SegmentResult, segment
from delineate.verbs.serve import ServeRequest, ServeResult, serve
from delineate.verbs.synthetic_scans import SynthesizeDatasetRequest, SynthesizeDatasetResult, synthesize_dataset
from delineate.verbs.train_quill import TrainQuillRequest, TrainQuillResult, train_quill


@dataclass(frozen=True)
class Verb:
    """One thing a person can ask for."""

    name: str
    request: type[Request]
    function: Callable[..., Result]
    result: type[Result]

    @property
    def summary(self) -> str:
        """One line."""
        return (getdoc(self.function) or "").partition("\n")[0]

    @property
    def schema(self) -> dict[str, Any]:
        """The request's JSON schema; strings that name files have the format "path" or "model"."""
        return self.request.model_json_schema()

    def request_of(self, data: Any) -> Request:
        """A request from plain data, as it comes from JSON. Raises InputError, naming the field, if it is none."""
        return valid(self.request, data, self.name)

    def run(self, request: Request, progress: Progress | None = None) -> Result:
        """Do it; ``progress`` is called with what is done and all there is to do, where a verb takes long."""
        return call(self.function, request, progress)


VERBS: Final[dict[str, Verb]] = {
    verb.name: verb
    for verb in (
        Verb("segment", SegmentRequest, segment, SegmentResult),
        Verb("batch", BatchRequest, batch, BatchResult),
        Verb("auto", AutoRequest, auto, AutoResult),
        Verb("oneshot", OneshotRequest, oneshot, OneshotResult),
        Verb("replay", ReplayRequest, replay, ReplayResult),
        Verb("inspect", InspectRequest, inspect, InspectResult),
        Verb("clean", CleanRequest, clean, LabelResult),
        Verb("combine", CombineRequest, combine, LabelResult),
        Verb("fill-between", FillBetweenRequest, fill_between, LabelResult),
        Verb("measure", MeasureRequest, measure, MeasureResult),
        Verb("compare", CompareLabelsRequest, compare_labels, CompareLabelsResult),
        Verb("convert", ConvertRequest, convert, ConvertResult),
        Verb("demo", DemoRequest, demo, DemoResult),
        Verb("doctor", DoctorRequest, doctor, DoctorResult),
        Verb("serve", ServeRequest, serve, ServeResult),
        Verb("open", ServeRequest, serve, ServeResult),
        Verb("systems", systems.SystemsRequest, systems.systems, systems.SystemsResult),
        Verb("evaluate", evaluate.EvaluateRequest, evaluate.evaluate, evaluate.EvaluateResult),
        Verb("distill", DistillRequest, distill, DistillResult),
        Verb("train quill", TrainQuillRequest, train_quill, TrainQuillResult),
        Verb("train finetune", finetune.FinetuneRequest, finetune.finetune, finetune.FinetuneResult),
        Verb("train recipes", finetune.ListRecipesRequest, finetune.list_recipes, finetune.ListRecipesResult),
        Verb("bench", bench.BenchRequest, bench.bench, bench.BenchResult),
        Verb("bench reproduce", evaluate.ReproduceRequest, evaluate.reproduce, evaluate.ReproduceResult),
        Verb("bench corruptions", bench.CorruptionsRequest, bench.corruptions, bench.CorruptionsResult),
        Verb("bench compare", CompareRequest, compare, CompareResult),
        Verb("dataset check", dataset.CheckDatasetRequest, dataset.check_dataset, dataset.CheckDatasetResult),
        Verb("dataset shard", dataset.ShardDatasetRequest, dataset.shard_dataset, dataset.ShardDatasetResult),
        Verb("dataset synthesize", SynthesizeDatasetRequest, synthesize_dataset, SynthesizeDatasetResult),
        Verb("dataset prepare", dataset.PrepareDatasetRequest, dataset.prepare_dataset, dataset.PrepareDatasetResult),
        Verb("models list", models.ListModelsRequest, models.list_models, models.ListModelsResult),
        Verb("models pull", models.PullModelRequest, models.pull_model, models.PullModelResult),
        Verb("models import", models.ImportModelRequest, models.import_model, models.ImportModelResult),
        Verb("models export", models.ExportModelRequest, models.export_model, models.ExportModelResult),
        Verb("models verify", models.VerifyModelsRequest, models.verify_models, models.VerifyModelsResult),
    )
}
