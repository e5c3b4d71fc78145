"""Training on some of the cells sees what lies in them, where it lies."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from delineate.models.cells import Cells  # noqa: E402
from delineate.models.sam import SamPrompts  # noqa: E402
from tiny_networks import tiny_sam  # noqa: E402


@pytest.mark.parametrize("cells", [Cells(), Cells(2, 1, 0), Cells(4, 2, 3)], ids=str)
def test_pixels_and_places_are_of_the_chosen_cells(cells: Cells) -> None:
    f, k = 8, 4
    numbers = np.arange((f * k) ** 2).reshape(1, f * k, f * k)
    seen = cells.pixels(numbers, f)
    assert torch.equal(cells.pixels(torch.from_numpy(numbers), f), torch.from_numpy(seen))
    side = seen.shape[-1]
    y, x = np.mgrid[:side, :side]
    there = cells.places(np.stack([x, y], axis=-1).astype(float), k).astype(int)
    assert np.array_equal(numbers[0][there[..., 1], there[..., 0]], seen[0])
    grid = torch.arange(f * f).view(1, f, f)
    assert torch.equal(
        cells.pixels(grid.repeat_interleave(k, 1).repeat_interleave(k, 2), f)[:, ::k, ::k], cells.of(grid)
    )


def test_where_cells_are_alike_a_part_of_them_gives_the_same_logits() -> None:
    """Attention to equal cells is the same for fewer of them; what is left are their places."""
    network = tiny_sam().eval()
    with torch.no_grad():
        network.host.shared_image_embedding.positional_embedding.zero_()
        f = network.shape.side // network.shape.patch
        embedding = torch.randn(1, 256, 1, 1).expand(-1, -1, f, f)
        for masks in (None, torch.zeros(1, 1, 4 * f, 4 * f)):
            prompts = SamPrompts(boxes=torch.tensor([[3.0, 4.0, 20.0, 30.0]]), masks=masks)
            whole, iou = network.decode(embedding, prompts, False)
            cells = Cells(2, 1, 0)
            part = SamPrompts(boxes=prompts.boxes, masks=None if masks is None else cells.pixels(masks, f))
            logits, other = network.decode(embedding, part, False, cells=cells)
            assert torch.allclose(logits, cells.pixels(whole, f), atol=1e-5) and torch.allclose(iou, other, atol=1e-5)
