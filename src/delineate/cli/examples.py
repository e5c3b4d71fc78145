"""Three real command lines for each verb; ``--help`` and the page of commands end with them."""

from __future__ import annotations

from typing import Final

SECTIONS: Final[dict[str, tuple[str, ...]]] = {  # of `delineate --help`
    "Outline": ("segment", "batch", "oneshot", "auto", "inspect", "replay", "open", "serve"),
    "Work on outlines": ("clean", "combine", "fill-between", "measure", "compare", "convert"),
    "Models": ("systems", "models", "evaluate", "bench"),
    "Train": ("dataset", "train", "distill"),
    "This program": ("demo", "doctor"),
}
EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "segment": (
        "delineate segment liver.nii.gz --box 120,80,210,190 --frame 40 --label liver",
        "delineate segment clip.mp4 --point 320,200 --label tool --film -o tool",
        "delineate segment heart.nii.gz --frame 3 --label LV --box 73,104,129,160 --label RV --box 53,106,96,174",
    ),
    "batch": (
        "delineate batch pictures --box 40,30,200,180 --label lesion -o outlined",
        'delineate batch "scans/*.nii.gz" --frame 40 --point 120,80 --label liver --format .seg.nrrd -o outlined',
        "delineate batch --list prompts.csv -o outlined --resume",
    ),
    "oneshot": (
        "delineate oneshot --support case01.png case01_mask.png images -o outlined",
        "delineate oneshot --support case01.nii.gz case01_labels.nii.gz scans --structure liver -o outlined",
        "delineate oneshot --support a.png a_mask.png --support b.png b_mask.png images -m lite_medsam -o outlined",
    ),
    "auto": (
        "delineate auto slide.png -m sam_vit_b",
        "delineate auto slide.png -m sam2.1_tiny --points-per-side 64 -o cells.json",
        "delineate auto ct.nii.gz --frame 40 -m mobile_sam -o slice40.png",
    ),
    "inspect": (
        "delineate inspect scan.nii.gz",
        "delineate inspect dicom_folder --series 3 --json",
        "delineate inspect heart.nii.gz --picture where.png --frame 3",
    ),
    "replay": (
        "delineate replay liver.manifest.json --input ct.nii.gz -o liver-again.nii.gz",
        "delineate replay report/box-2d.json --input data",
        "delineate replay liver.manifest.json --input ct.nii.gz --model medsam_vit_b.pth --force -o other.nii.gz",
    ),
    "open": (
        "delineate open",
        "delineate open scan.nii.gz",
        "delineate open --no-browser --port 8765",
    ),
    "serve": (
        "delineate serve",
        "delineate serve --root /data/scans --port 8765",
        "delineate serve --smoke",
    ),
    "demo": (
        "delineate demo",
        "delineate demo -o elsewhere",
        "delineate demo --json",
    ),
    "evaluate": (
        "delineate evaluate --data DIR --predictors quill,ellipse",
        "delineate evaluate --data DIR --protocol volume-box --limit 3 -o volumes",
        "delineate evaluate --data DIR --predictors quill,mine/quill.onnx --datasets liver",
    ),
    "distill": (
        "delineate distill DIR --teacher medsam --student mobile_sam --recipe kd_sam",
        "delineate distill DIR --teacher medsam_vit_b.pth --student mobile_sam --steps 5000 -o student",
        "delineate distill DIR --teacher medsam --student mobile_sam -o student --resume",
    ),
    "doctor": (
        "delineate doctor",
        "delineate doctor --json",
        "delineate doctor --debug",
    ),
    "systems": (
        "delineate systems",
        "delineate systems show medsam",
        "delineate systems --json",
    ),
    "bench": (
        "delineate bench",
        "delineate bench --quick",
        "delineate bench --systems --budget 600",
    ),
    "bench reproduce": (
        "delineate bench reproduce",
        "delineate bench reproduce medsam --data DIR --predictors quill",
        "delineate bench reproduce box-2d --data DIR --predictors quill,ellipse --limit 3 -o reproduced",
    ),
    "bench corruptions": (
        "delineate bench corruptions polyp.png -o corruptions.png",
        "delineate bench corruptions slice.png --seed 1 -o other.png",
        "delineate bench corruptions frame.jpg -o corruptions.png --overwrite",
    ),
    "bench compare": (
        "delineate bench compare --data DIR",
        "delineate bench compare --data DIR --models quill,lite_medsam,ellipse --limit 2 -o compared",
        "delineate bench compare --data DIR --without liver,spleen",
    ),
    "models list": (
        "delineate models list",
        "delineate models list --json",
        "delineate models list --json > models.json",
    ),
    "models import": (
        "delineate models import medsam_vit_b.pth",
        "delineate models import weights.pt --system sam2.1_tiny",
        "delineate models import lite_medsam.whl",
    ),
    "models export": (
        "delineate models export mobile_sam -o mobile_sam_onnx",
        "delineate models export medsam_vit_b.pth -o medsam_onnx --no-check",
        "delineate models export lite_medsam -o lite_medsam_onnx",
    ),
    "models verify": (
        "delineate models verify",
        "delineate models verify --json",
        "delineate models verify --json > verified.json",
    ),
    "models pull": (
        "delineate models pull lite_medsam",
        "delineate models pull sam2.1_small",
        "delineate models pull medsam --offline",
    ),
    "dataset check": (
        "delineate dataset check DIR",
        "delineate dataset check DIR --sheet sheet.png",
        "delineate dataset check DIR --json",
    ),
    "dataset shard": (
        "delineate dataset shard DIR -o shards",
        "delineate dataset shard DIR --size 2GB -o shards",
        "delineate dataset shard DIR --split 0.8,0.1,0.1 --seed 1 -o shards",
    ),
    "dataset synthesize": (
        "delineate dataset synthesize -o made",
        "delineate dataset synthesize -o made --count 500 --size 320",
        "delineate dataset synthesize -o made --seed 7",
    ),
    "dataset prepare": (
        "delineate dataset prepare chaos CHAOS -o chaos",
        "delineate dataset prepare btcv BTCV -o btcv --size 672",
        "delineate dataset prepare polyps POLYPS -o polyps --superpixels none",
    ),
    "train quill": (
        "delineate train quill -o runs/quill",
        "delineate train quill --data DIR --minutes 9 --batch 128 --rate 1.2e-3 -o runs/quill",
        "delineate train quill --data DIR -o runs/quill --resume",
    ),
    "train recipes": (
        "delineate train recipes",
        "delineate train recipes --json",
        "delineate train recipes --json > recipes.json",
    ),
    "train finetune": (
        "delineate train finetune DIR -m quill -o mine",
        "delineate train finetune DIR -m medsam --recipe medsam --peft lora --memory 8GB -o mine",
        "delineate train finetune DIR -m medsam -o mine --resume",
    ),
    "clean": (
        "delineate clean organs.nii.gz --largest --holes -o tidy.nii.gz",
        "delineate clean organs.seg.nrrd --label liver --islands 0.5 --smooth 1.5 -o tidy.seg.nrrd",
        "delineate clean tumor.nii.gz --grow 5 --inside-file brain.nii.gz -o margin.nii.gz",
    ),
    "combine": (
        "delineate combine lv.nii.gz rv.nii.gz -o heart.nii.gz",
        'delineate combine heart.nii.gz --make "wall = outer - inner" --remove outer -o wall.nii.gz',
        "delineate combine reader1.nii.gz reader2.nii.gz reader3.nii.gz --how majority -o agreed.nii.gz",
    ),
    "fill-between": (
        "delineate fill-between drawn.nii.gz -o filled.nii.gz",
        "delineate fill-between drawn.nii.gz --label prostate --largest-gap 5 -o filled.nii.gz",
        "delineate fill-between drawn.seg.nrrd --axis S -o filled.seg.nrrd",
    ),
    "measure": (
        "delineate measure organs.nii.gz",
        "delineate measure lesion.nii.gz --scan ct.nii.gz -o lesion.csv --slices slices.csv",
        "delineate measure organs.seg.nrrd --label liver --space LPS --json",
    ),
    "compare": (
        "delineate compare truth.nii.gz mine.nii.gz",
        "delineate compare reader1.seg.nrrd reader2.seg.nrrd --label liver --tolerance 1 -o compared.csv",
        "delineate compare truth.nii.gz mine.nii.gz --scan ct.nii.gz --picture differences.png",
    ),
    "convert": (
        "delineate convert organs.nii.gz -o organs.seg.nrrd",
        "delineate convert dicom_folder -o ct.nii.gz",
        "delineate convert organs.nii.gz --like other_ct.nii.gz -o organs_there.nii.gz",
    ),
}
