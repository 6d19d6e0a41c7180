"""The demo study and release hold what their descriptions say.

Run with
    python -m pytest models/demo
"""

import csv
import io
import pathlib
import sys

import pytest

pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from generate import STUDY_SIZE, example, study_source, study_split  # noqa: E402
from vocabulary import PATTERNS  # noqa: E402

HERE = pathlib.Path(__file__).parent
STUDY, RELEASE = HERE / "study", HERE / "release"


def rows(name):
    with (STUDY / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_can_be_seen_decides_the_diagnosis():
    seen = {}
    for p in PATTERNS:
        for site in p.sites:
            look = (p.lesion, p.colour, p.scale, p.border, site)
            assert seen.setdefault(look, p.diagnosis) == p.diagnosis


def test_the_same_index_draws_the_same_picture():
    first, second = example(7), example(7)
    assert first.jpeg == second.jpeg and first.prose == second.prose
    assert first.jpeg != example(8).jpeg


def test_the_study_lists_every_picture_once():
    captions = rows("captions.csv")
    assert list(captions[0]) == ["img_path", "caption", "source", "img_name"]
    names = {row["img_name"] for row in captions}
    assert len(names) == len(captions) == STUDY_SIZE
    assert names == {p.name for p in (STUDY / "images").iterdir()}
    assert (
        names == {row["img_name"] for row in rows("splits.csv")} == {row["img_name"] for row in rows("parameters.csv")}
    )
    assert sum(p.stat().st_size for p in (STUDY / "images").iterdir()) <= 5_000_000
    for row in captions:
        with Image.open(STUDY / row["img_path"]) as image:
            assert image.size == (256, 256)


def test_the_study_is_what_the_generator_draws():
    captions = {row["img_name"]: row for row in rows("captions.csv")}
    splits = {row["img_name"]: row["split"] for row in rows("splits.csv")}
    for index in (0, 1, 199, 200, 319):
        item, source = example(index), study_source(index)
        name = f"{source}_{index:04d}.jpg"
        assert captions[name]["caption"] == (item.prose if source == "demo_skincap" else item.metadata)
        assert splits[name] == study_split(index)
        # other versions of libjpeg may round differently, so pixels are compared, not bytes
        with Image.open(STUDY / captions[name]["img_path"]) as kept, Image.open(io.BytesIO(item.jpeg)) as drawn:
            assert (
                max(abs(a - b) for a, b in zip(*(i.resize((16, 16)).tobytes() for i in (kept, drawn)), strict=True))
                <= 3
            )


def test_the_release_opens_strictly_and_shares_what_stage_b_froze():
    torch = pytest.importorskip("torch")
    from captioner import open_release

    (a, cfg), (b, _) = open_release(RELEASE, "A"), open_release(RELEASE, "B")
    assert cfg["prompt_A"].startswith("In ≤25 words") and isinstance(cfg["cliche_phrases"], tuple)
    equal = {k for (k, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True) if torch.equal(x, y)}
    everything = set(a.state_dict())
    frozen = {
        k
        for k in everything
        if k.startswith(
            (
                "prefix.",
                "gpt2.transformer.wpe",
                "gpt2.transformer.ln_f",
                "gpt2.transformer.h.0.",
                "gpt2.transformer.h.1.",
            )
        )
    }
    assert frozen <= equal
    assert not equal & {k for k in everything if "lm_head" in k or "wte" in k or "h.3." in k}
    tied = torch.load(RELEASE / "best_stageB.pt", weights_only=True)["model"]
    assert tied["gpt2.lm_head.weight"].data_ptr() == tied["gpt2.transformer.wte.weight"].data_ptr()


def test_both_stages_caption_a_test_picture_rightly_in_their_own_style():
    pytest.importorskip("torch")
    from tokenizers import Tokenizer

    import evaluate

    tokenizer = Tokenizer.from_file(str(RELEASE / "tokenizer.json"))
    truth = [row for row in rows("parameters.csv") if row["index"] in ("240", "242")]
    x = evaluate.embeddings(RELEASE / "clip", [STUDY / "images" / row["img_name"] for row in truth])
    a, _ = evaluate.captions(RELEASE, "A", x, tokenizer, "prompt_A")
    b, _ = evaluate.captions(RELEASE, "B", x, tokenizer, "prompt_B")
    assert all(t.startswith("Anatomic site (general): ") for t in a)
    assert all(t.endswith(".") and ": " not in t for t in b)
    for texts in (a, b):
        assert evaluate.accuracy(texts, truth)["diagnosis"] == 1
