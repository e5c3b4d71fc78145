"""An evaluation asked for by the name of a variant is that variant, on its card too."""

from __future__ import annotations

import pytest

from delineate.core.errors import InputError
from delineate.evaluation.reproduce import REPRODUCTIONS, reproduction_named

VARIANTS = [(one.name, v) for one in REPRODUCTIONS.values() for v in one.variants if v not in REPRODUCTIONS]


@pytest.mark.parametrize(("name", "variant"), VARIANTS, ids=[f"{name}-{variant}" for name, variant in VARIANTS])
def test_a_variant_is_what_was_asked_for(name: str, variant: str) -> None:
    found, whole = reproduction_named(variant), REPRODUCTIONS[name]
    assert found.protocol == variant and variant not in found.variants
    assert any(line.startswith(f"protocol  {variant}: ") for line in found.lines(None))
    if found.name == name:
        assert {found.protocol, *found.variants} == {whole.protocol, *whole.variants}


@pytest.mark.parametrize("name", REPRODUCTIONS)
def test_an_evaluation_by_its_own_name_is_as_published(name: str) -> None:
    assert reproduction_named(name) is REPRODUCTIONS[name]


def test_other_names_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        reproduction_named("guess")
    assert caught.value.code == "E-REPRODUCE" and "medsam" in caught.value.hint
