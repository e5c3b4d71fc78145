"""Pictures that never were: shapes laid out like anatomy, painted with the looks of scanners and microscopes."""

from delineate.quill.data.synthetic.noise import use_real_textures
from delineate.quill.data.synthetic.scenes import synthetic_scene

__all__ = ["synthetic_scene", "use_real_textures"]
