"""Scores images with an exported model: `python example.py IMAGE ...`."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

FOLDER = Path(__file__).parent
FACTS = json.loads((FOLDER / "export.json").read_text())


def sides(fact):  # a square has one
    return (fact, fact) if isinstance(fact, int) else (fact[1], fact[0])


def view(path):
    image, size, gap = Image.open(path), sides(FACTS["resize_to"]), FACTS["reducing_gap"]
    if gap:  # a large JPEG is decoded at a half, a quarter or an eighth
        on_its_side = image.getexif().get(274, 1) in range(5, 9)
        image.draft(None, tuple(gap * side for side in size[:: -1 if on_its_side else 1]))
    image = ImageOps.exif_transpose(image)
    if FACTS["grey_levels"]:  # the model was trained on grey images of 16 bits
        low, high = FACTS["grey_levels"]
        grey = np.clip(np.asarray(image), low, high).astype(np.int64) - low
        image = Image.fromarray(((grey * 255 + (high - low) // 2) // (high - low)).astype(np.uint8))
    image = image.convert("RGB").resize(size, Image.Resampling[FACTS["filter"]], reducing_gap=gap)
    seen = sides(FACTS["input_side"])
    image = ImageOps.crop(image, tuple((a - b) // 2 for a, b in zip(size, seen, strict=True)))
    pixels = np.asarray(image).transpose(2, 0, 1)
    if even := FACTS["even_exposure"]:  # the model sees every picture equally bright
        grey = np.dot([0.299, 0.587, 0.114], pixels.mean(axis=(1, 2)))
        gain = min(even["mean_grey"] / max(grey, 1), even["most_gain"])
        pixels = np.minimum(np.rint(pixels * gain), 255).astype(np.uint8)
    return pixels[None]


if __name__ == "__main__":
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx")
    for name in sys.argv[1:]:
        _heat_map, [score] = session.run(None, {"view": view(name)})
        print("flagged" if score > FACTS["threshold"] else "ok", f"{score:.6g}", name)
