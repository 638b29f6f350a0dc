"""What a notebook's committed outputs may hold, and how they are compared with a fresh run."""
import difflib
import json
import re
from base64 import b64decode
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from execnb.nbio import nb2str

REPO = Path(__file__).resolve().parents[1]

UNPORTABLE = {
    "a path of this machine": rf"{re.escape(str(REPO))}|site-packages|(?<![\w.])/(home|root|tmp|Users|var/folders)/",
    "a memory address": r"\b0x[0-9a-f]{8,16}\b",
    "a NumPy scalar's repr": r"\bnp\.((float|int|uint|str|bool)[\d_]*\(|True_|False_)",
    "a progress bar": r"(?<!\\)\\r(?!\\n)|\d(it/s|s/it)\b",
    "a live widget": r"jupyter\.widget-view",
}


def as_json(cell, picture):
    """The cell as readable JSON; `picture` says what stands for a PNG, whose own text is noise to a reader."""
    outputs = []
    for output in cell.get("outputs", []):
        png = output.get("data", {}).get("image/png")
        outputs.append(output | {"data": output["data"] | {"image/png": picture(png)}} if png else output)
    return json.dumps(cell | {"outputs": outputs}, indent=1, sort_keys=True, ensure_ascii=False)


def unportable(name, notebook):
    """Say which cells show what differs from machine to machine or from run to run."""
    for number, cell in enumerate(notebook["cells"]):
        shown = as_json({"outputs": cell.get("outputs", [])}, picture=lambda png: "")
        for what, pattern in UNPORTABLE.items():
            if found := re.search(pattern, shown):
                context = shown[max(found.start() - 60, 0):found.end() + 60]
                yield f"{name}, cell {number} (id {cell['id']}) shows {what}:\n{context}"


def same_picture(old, new):
    """The same size, and at most one pixel in 10,000 is off by more than 8 of 255 levels.

    Pixels and not bytes, since another processor may round a coordinate differently in the last digit.
    """
    import numpy as np
    from PIL import Image
    old, new = (np.asarray(Image.open(BytesIO(b64decode(png))).convert("RGBA"), dtype=int) for png in (old, new))
    return old.shape == new.shape and (abs(old - new).max(axis=-1) > 8).mean() <= 1e-4


def keep_same_pictures(committed, fresh):
    """Put the committed PNG in the place of a fresh one that shows the same."""
    for old_cell, new_cell in zip(committed["cells"], fresh["cells"], strict=True):
        for old, new in zip(old_cell.get("outputs", []), new_cell.get("outputs", []), strict=False):
            old_png, new_png = (output.get("data", {}).get("image/png") for output in (old, new))
            if old_png and new_png and same_picture(old_png, new_png):
                new["data"]["image/png"] = old_png


def differences(name, committed, fresh):
    """A diff for each cell that a run changes."""
    for number, (old, new) in enumerate(zip(committed["cells"], fresh["cells"], strict=True)):
        if old != new:
            title = f"{name}, cell {number} (id {new['id']})"
            texts = [as_json(cell, picture=lambda png: f"picture {sha256(png.encode()).hexdigest()[:12]}").splitlines()
                     for cell in (old, new)]
            lines = difflib.unified_diff(*texts, f"{title}: committed", f"{title}: after a run", n=1, lineterm="")
            yield "\n".join(line[:160] for line in lines)


def staleness(name, committed_text, fresh_text):
    """What is wrong with the committed notebook, when this is what a run of it gives."""
    committed, fresh = json.loads(committed_text), json.loads(fresh_text)
    keep_same_pictures(committed, fresh)
    if nb2str(fresh) == committed_text:
        return []
    return list(differences(name, committed, fresh)) or [f"{name} is not clean: its metadata or layout is not nbdev's"]
