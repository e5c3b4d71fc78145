"""Pre- and post-processing against the libraries the authors call, pinned for each profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from delineate.core.frame import Frame
from delineate.predictors.postprocess import drawn_logits, masks_on_frame
from delineate.preprocess.fitting import Filter, Fit, fitted, resampled
from delineate.preprocess.intensity import eight_bit
from delineate.preprocess.profiles import (
    IMAGENET,
    IMAGENET_255,
    LITE_MEDSAM,
    MEDSAM,
    SAM,
    SAM_MED2D,
    SAM_MED2D_SCRIPTS,
    MaskDecoding,
    sam2_image,
    sam2_video,
)

RNG = np.random.default_rng(0)
PICTURE = np.clip(RNG.normal(120, 50, (300, 420, 3)), 0, 255).astype(np.uint8)
SMALL = PICTURE[:120, :90]


def test_sam_keeps_the_aspect_and_pads_after_normalizing() -> None:
    pixels, place = SAM.prepare(Frame.of(PICTURE))
    assert place.inner == (731, 1024) and pixels.shape == (3, 1024, 1024)
    assert not pixels[:, 731:].any()
    mean, deviation = (np.array(v)[:, None, None] for v in IMAGENET_255)
    back = pixels[:, :731] * deviation + mean
    assert back.min() >= -1e-3 and back.max() <= 255.001
    assert np.allclose(back, np.round(back), atol=1e-3)  # resized as an 8-bit picture


@pytest.mark.parametrize("shape", [(300, 420), (110, 150), (256, 256)], ids=str)
def test_medsam_is_scikit_images_resize_cut_to_whole_grays(shape: tuple[int, int]) -> None:
    transform = pytest.importorskip("skimage.transform")
    picture = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    picture[: shape[0] // 4] = 77  # where splines give 76.99... and 77
    resized = transform.resize(picture, (256, 256), order=3, preserve_range=True, anti_aliasing=True)
    wanted = resized.astype(np.uint8).astype(np.float32)
    assert (resampled(picture, (256, 256), Filter.CUBIC_SPLINE_8BIT) == wanted).all()
    pixels, _ = replace(MEDSAM, side=256).prepare(Frame.of(picture))
    wanted = (wanted - wanted.min()) / (wanted.max() - wanted.min())
    assert (pixels.transpose(1, 2, 0) == wanted).all()


SHRUNK = [(300, 420), (512, 512), (768, 768), (1024, 1024), (513, 400), (256, 256), (640, 480), (333, 777), (512, 511)]


@pytest.mark.parametrize("shape", SHRUNK, ids=str)
def test_lite_medsam_is_opencvs_area_resize_of_8_bits(shape: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    picture = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    pixels, place = LITE_MEDSAM.prepare(Frame.of(picture))
    height, width = place.inner
    wanted = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    assert (resampled(picture, place.inner, Filter.AREA_8BIT) == wanted).all()
    assert max(place.inner) == 256 and not pixels[:, height:].any() and pixels.max() == 1


def test_lite_medsam_enlarges_to_one_gray_of_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    wanted = cv2.resize(SMALL, (192, 256), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(resampled(SMALL, (256, 192), Filter.AREA_8BIT) - wanted).max() <= 1


def normalized(picture: np.ndarray) -> np.ndarray:
    """SAM's normalization in single precision, channels first, as SAM-Med2D's predictor computes it."""
    mean, deviation = (np.array(v, np.float32) for v in IMAGENET_255)
    return np.asarray(((picture - mean) / deviation).transpose(2, 0, 1))


@pytest.mark.parametrize(
    "picture", [PICTURE, SMALL, PICTURE[:300, :200], PICTURE[:256, :256]], ids=lambda p: str(p.shape)
)
def test_sam_med2ds_predictor_squares_every_picture_with_nearest(picture: np.ndarray) -> None:
    cv2 = pytest.importorskip("cv2")
    wanted = cv2.resize(normalized(picture).transpose(1, 2, 0), (256, 256), interpolation=cv2.INTER_NEAREST)
    pixels, place = SAM_MED2D.prepare(Frame.of(picture))
    assert (pixels == wanted.transpose(2, 0, 1)).all()
    height, width = picture.shape[:2]
    wanted = (np.array([[7.0, 9.5]]) * (256 / width, 256 / height)).astype(np.float32)
    assert (place.points(np.array([[7.0, 9.5]])) == wanted).all()


def test_sam_med2ds_scripts_pad_small_pictures_and_read_colors_in_reverse() -> None:
    cv2 = pytest.importorskip("cv2")
    wanted = cv2.resize(normalized(PICTURE[..., ::-1]).transpose(1, 2, 0), (256, 256), interpolation=cv2.INTER_NEAREST)
    pixels, _ = SAM_MED2D_SCRIPTS.prepare(Frame.of(PICTURE))
    assert (pixels == wanted.transpose(2, 0, 1)).all()
    pixels, place = SAM_MED2D_SCRIPTS.prepare(Frame.of(SMALL))
    assert (place.top, place.left) == (68, 83) and not pixels[:, :68].any()
    assert (pixels[:, 68:188, 83:173] == normalized(SMALL[..., ::-1])).all()


def test_sam2_resizes_images_as_tensors_and_frames_as_pictures() -> None:
    mean, deviation = (torch.tensor(v)[:, None, None] for v in IMAGENET)
    tensor = torch.from_numpy(PICTURE).permute(2, 0, 1)[None] / 255
    wanted = F.interpolate(tensor, size=(512, 512), mode="bilinear", antialias=True)[0]
    pixels, _ = sam2_image(512).prepare(Frame.of(PICTURE))
    assert np.abs(pixels - ((wanted - mean) / deviation).numpy()).max() < 1e-4
    pixels, _ = sam2_video(512).prepare(Frame.of(PICTURE))
    back = (pixels * deviation.numpy() + mean.numpy()) * 255
    assert np.allclose(back, np.round(back), atol=1e-3)


@pytest.mark.parametrize("answer", list(MaskDecoding))
def test_answers_are_at_the_frames_size(answer: MaskDecoding) -> None:
    fit = {
        MaskDecoding.SIGMOID_FIRST: Fit.SQUARE,
        MaskDecoding.LOGITS_DIRECT: Fit.SQUARE,
        MaskDecoding.CENTERED: Fit.CENTER,
    }.get(answer, Fit.LONGEST_SIDE)
    place = fitted(300, 420, 256, fit)
    assert masks_on_frame(
        torch.randn(3, 64 if answer is not MaskDecoding.CROPPED else 256, 64), place, answer
    ).shape == (
        3,
        300,
        420,
    )


def test_sigmoid_before_or_after_enlarging_is_not_the_same() -> None:
    logits = torch.tensor([[[9.0, -1.0], [-1.0, -1.0]]])
    place = fitted(64, 64, 64, Fit.SQUARE)
    first = masks_on_frame(logits, place, MaskDecoding.SIGMOID_FIRST)
    after = masks_on_frame(logits, place, MaskDecoding.LOGITS_DIRECT)
    assert first.sum() < after.sum()


@pytest.mark.parametrize("profile", [SAM, SAM_MED2D, LITE_MEDSAM], ids=lambda p: p.name)
def test_a_drawn_outline_comes_back_where_it_was(profile) -> None:
    """Through the padding of each profile: a mask prompt and the answer share one geometry."""
    mask = np.zeros((300, 420), bool)
    mask[60:200, 100:330] = True
    place = fitted(300, 420, profile.side, profile.fit)
    cells = profile.side if profile.answer is MaskDecoding.CROPPED else profile.side // 4
    back = masks_on_frame(drawn_logits(mask, place, cells)[0], place, profile.answer)[0].numpy()
    overlap = 2 * (back & mask).sum() / (back.sum() + mask.sum())
    assert overlap > 0.98


def test_ct_is_windowed_and_other_scans_are_scaled_by_percentiles_without_their_zeros() -> None:
    ct = np.array([[-1000, -160, 40, 240, 900]], np.int16)
    assert eight_bit(Frame.of(ct))[0, :, 0].tolist() == [0, 0, 127, 255, 255]
    mr = np.concatenate([np.zeros(500), np.linspace(100, 1100, 500)]).reshape(20, 50).astype(np.float32)
    shown = eight_bit(Frame.of(mr))[..., 0]
    assert not shown[:10].any() and shown[10:].max() == 255 and shown[15, 0] > 100
