"""``delineate dataset``: look at labelled scans before training on them, and pack them for training at scale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json, tell
from delineate.core.errors import PromptError


def check(
    folder: Annotated[Path, typer.Argument(help="Labelled scans in any known layout.")],
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Draw a contact sheet here (.png).")] = None,
    follow_links: options.FollowLinks = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Say what a folder of labelled scans holds and what is wrong with it; exit code 1 if something is."""
    from delineate.data.check import check_dataset

    with progress_bar("Opening every case", quiet or json) as progress:
        card = check_dataset(folder, sheet, progress, overwrite, follow_links)
    if json:
        result_json(
            {
                "layout": card.layout,
                "cases": card.cases,
                "sizes": dict(card.sizes),
                "structures": dict(card.structures),
                "problems": [{"case": p.case, "what": p.what, "detail": p.detail} for p in card.problems],
            }
        )
    else:
        for line in card.lines:
            result(line)
        if sheet is not None:
            result(f"pictures    {sheet}")
    if card.problems:
        raise typer.Exit(1)


def shard(
    folder: Annotated[Path, typer.Argument(help="Labelled scans in any known layout.")],
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
    """Pack labelled scans into tar files of one size (webdataset), to be read by many workers."""
    from delineate.data.layouts import read_dataset
    from delineate.data.shards import bytes_of, write_shards

    size_in_bytes = bytes_of(size)
    shares = options.numbers(split, (2, 3), "--split") if split else ()
    if shares and (abs(sum(shares) - 1) > 1e-6 or min(shares) < 0):
        raise PromptError("E-OPTION", f'--split "{split}" does not sum to 1.', "Write it as 0.8,0.1,0.1.")
    layout, cases = read_dataset(folder, follow_links)
    with progress_bar("Packing", quiet or json) as progress:
        written = write_shards(cases, output, size_in_bytes, shares, seed, progress)
    if json:
        result_json({"layout": layout, "samples": dict(written.samples), "shards": dict(written.shards)})
        return
    for part, number in written.samples.items():
        result(f"{part}  {number} samples in {written.shards[part]} files")
    tell(f"Written: {output}")
