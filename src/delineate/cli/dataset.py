"""``delineate dataset``: look at labeled scans before training on them, and pack them for training at scale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json, tell
from delineate.cli.groups import request_of
from delineate.core.terminal_text import counted


def check(
    folder: Annotated[Path, typer.Argument(help="Labeled scans in any known layout.")],
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Draw a contact sheet here (.png).")] = None,
    follow_links: options.FollowLinks = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Say what a folder of labeled scans holds and what is wrong with it; exit code 1 if something is."""
    from delineate.verbs.dataset import CheckDatasetRequest, check_dataset

    request = CheckDatasetRequest(folder=folder, sheet=sheet, follow_links=follow_links, overwrite=overwrite)
    with progress_bar("Opening every case", quiet or json) as progress:
        done = check_dataset(request, progress)
    if json:
        result_json(done.as_json())
    else:
        for line in done.card.lines:
            result(line)
        if sheet is not None:
            result(f"pictures    {sheet}")
    if done.card.problems:
        raise typer.Exit(1)


def shard(
    folder: Annotated[Path, typer.Argument(help="Labeled scans in any known layout.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the tar files.")],
    size: Annotated[str, typer.Option("--size", help="Of a tar file, about: 500MB, 2GB.")] = "500MB",
    split: Annotated[
        str, typer.Option("--split", help="Shares of train, val and test, subjects kept whole: 0.8,0.1,0.1.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of the split and the order.")] = 0,
    follow_links: options.FollowLinks = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Pack labeled scans into tar files of one size (webdataset), to be read by many workers."""
    from delineate.verbs.dataset import ShardDatasetRequest, shard_dataset

    request = request_of(
        ShardDatasetRequest,
        folder=folder,
        output=output,
        size=size,
        split=options.numbers(split, (2, 3), "--split") if split else (),
        seed=seed,
        follow_links=follow_links,
    )
    with progress_bar("Packing", quiet or json) as progress:
        done = shard_dataset(request, progress)
    if json:
        result_json(done.as_json())
        return
    for part, number in done.written.samples.items():
        result(f"{part}  {counted(number, 'sample')} in {counted(done.written.shards[part], 'file')}")
    tell(f"Written: {output}")


def synthesize(
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for pictures and labels.")],
    count: Annotated[int, typer.Option(min=1, help="Pictures.")] = 100,
    size: Annotated[int, typer.Option(min=64, max=352, help="Pixels along a side.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pictures.")] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write labeled pictures of made-up organs, cells, vessels and layers, which anything may be trained on."""
    from delineate.verbs.synthetic_scans import SynthesizeDatasetRequest, synthesize_dataset

    request = SynthesizeDatasetRequest(output=output, count=count, size=size, seed=seed)
    with progress_bar("Painting", quiet or json) as progress:
        done = synthesize_dataset(request, progress)
    if json:
        result_json(done.as_json())
        return
    result(f"{counted(done.pictures, 'picture')}, {counted(done.structures, 'structure')}")
    tell(f"Written: {output}")


def prepare(
    kind: Annotated[str, typer.Argument(help="chaos, btcv or polyps.")],
    folder: Annotated[Path, typer.Argument(help="The set as it was unpacked.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder.")],
    size: Annotated[int, typer.Option("--size", help="Pixels along a side of a slice: 256 or 672.")] = 256,
    superpixels: Annotated[str, typer.Option("--superpixels", help="felzenszwalb, slic or none.")] = "felzenszwalb",
    min_size: Annotated[int, typer.Option("--min-size", help="Pixels of the smallest superpixel.")] = 400,
    sequence: Annotated[
        str, typer.Option("--sequence", help="Of CHAOS: T2SPIR, T1DUAL/InPhase, T1DUAL/OutPhase, CT.")
    ] = "T2SPIR",
    without: Annotated[list[str] | None, typer.Option("--without", help="Test sets of polyps to leave out.")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Bring a public set to the size and intensities of one-shot papers, with superpixels to train from."""
    from delineate.verbs.dataset import PrepareDatasetRequest, prepare_dataset

    request = request_of(
        PrepareDatasetRequest,
        kind=kind,
        folder=folder,
        output=output,
        size=size,
        superpixels=None if superpixels == "none" else superpixels,
        min_size=min_size,
        sequence=sequence,
        without=tuple(without or ()),
    )
    with progress_bar("Preparing", quiet or json) as progress:
        done = prepare_dataset(request, progress)
    if json:
        result_json(done.as_json())
        return
    result(counted(done.cases, "case"))
    tell(f"Written: {output}")
