"""What a demo picture can show, and how a caption says it.

A picture is drawn from `Findings`; the same findings write its captions, so every
caption is true by construction. Nothing here comes from a real patient or data set.
"""

from dataclasses import dataclass

import numpy as np

SITES = ("scalp", "face", "trunk", "palm", "elbow crease", "lower leg")
TONES = ("I", "II", "III", "IV", "V", "VI")  # Fitzpatrick skin types
LESIONS = ("macule", "patch", "papule", "plaque", "nodule", "vesicle", "pustule")
ARRANGEMENTS = ("solitary", "grouped", "scattered")
COLOURS = ("erythematous", "brown", "black", "violaceous", "hypopigmented", "yellow", "pearly pink")
SCALES = ("none", "fine", "silvery", "greasy")
BORDERS = ("well-demarcated", "ill-defined", "irregular", "annular")


@dataclass(frozen=True)
class Pattern:
    """One way a diagnosis looks in the demo world, and where it is drawn."""

    diagnosis: str
    malignant: bool
    lesion: str
    arrangements: tuple
    colour: str
    scale: str
    border: str
    sites: tuple


# The diagnosis is a function of what can be seen: no two diagnoses share
# (lesion, colour, scale, border, site).
# fmt: off
PATTERNS = (
    Pattern("psoriasis", False, "plaque", ("solitary", "scattered"), "erythematous", "silvery", "well-demarcated",
            ("scalp", "trunk", "palm", "elbow crease", "lower leg")),
    Pattern("atopic dermatitis", False, "patch", ("solitary",), "erythematous", "fine", "ill-defined",
            ("face", "trunk", "elbow crease", "lower leg")),
    Pattern("tinea corporis", False, "plaque", ("solitary", "scattered"), "erythematous", "fine", "annular",
            ("face", "trunk", "elbow crease", "lower leg")),
    Pattern("seborrheic dermatitis", False, "patch", ("solitary",), "erythematous", "greasy", "ill-defined",
            ("scalp", "face", "trunk")),
    Pattern("herpes zoster", False, "vesicle", ("grouped",), "erythematous", "none", "ill-defined",
            ("face", "trunk", "lower leg")),
    Pattern("acne vulgaris", False, "pustule", ("scattered",), "erythematous", "none", "well-demarcated", ("face",)),
    Pattern("folliculitis", False, "pustule", ("scattered",), "erythematous", "none", "well-demarcated",
            ("scalp", "trunk", "lower leg")),
    Pattern("melanocytic nevus", False, "macule", ("solitary",), "brown", "none", "well-demarcated",
            ("face", "trunk", "palm", "elbow crease", "lower leg")),
    Pattern("melanocytic nevus", False, "papule", ("solitary",), "brown", "none", "well-demarcated",
            ("scalp", "face", "trunk", "elbow crease", "lower leg")),
    Pattern("dysplastic nevus", False, "macule", ("solitary",), "brown", "none", "irregular",
            ("trunk", "elbow crease", "lower leg")),
    Pattern("melanoma", True, "patch", ("solitary",), "black", "none", "irregular",
            ("scalp", "face", "trunk", "palm", "lower leg")),
    Pattern("melanoma", True, "nodule", ("solitary",), "black", "none", "irregular",
            ("scalp", "trunk", "lower leg")),
    Pattern("seborrheic keratosis", False, "plaque", ("solitary", "scattered"), "brown", "greasy", "well-demarcated",
            ("scalp", "face", "trunk")),
    Pattern("vitiligo", False, "patch", ("solitary", "scattered"), "hypopigmented", "none", "well-demarcated",
            ("face", "trunk", "palm", "elbow crease", "lower leg")),
    Pattern("pityriasis versicolor", False, "macule", ("scattered",), "hypopigmented", "fine", "ill-defined",
            ("face", "trunk", "elbow crease")),
    Pattern("lichen planus", False, "papule", ("grouped", "scattered"), "violaceous", "fine", "well-demarcated",
            ("trunk", "palm", "elbow crease", "lower leg")),
    Pattern("Kaposi sarcoma", True, "plaque", ("solitary", "scattered"), "violaceous", "none", "irregular",
            ("face", "trunk", "palm", "lower leg")),
    Pattern("basal cell carcinoma", True, "nodule", ("solitary",), "pearly pink", "none", "well-demarcated",
            ("scalp", "face", "trunk")),
    Pattern("xanthelasma", False, "plaque", ("solitary", "scattered"), "yellow", "none", "well-demarcated", ("face",)),
    Pattern("xanthoma", False, "plaque", ("solitary", "scattered"), "yellow", "none", "well-demarcated",
            ("palm", "elbow crease")),
    Pattern("cherry angioma", False, "papule", ("solitary", "scattered"), "erythematous", "none", "well-demarcated",
            ("scalp", "trunk", "lower leg")),
    Pattern("post-inflammatory hyperpigmentation", False, "patch", ("solitary",), "brown", "none", "ill-defined",
            ("face", "trunk", "elbow crease", "lower leg")),
)
# fmt: on

DIAGNOSES = tuple(dict.fromkeys(p.diagnosis for p in PATTERNS))


@dataclass(frozen=True)
class Findings:
    """Everything a reader of the picture can see, and what it is called."""

    site: str
    tone: str
    lesion: str
    arrangement: str
    colour: str
    scale: str
    border: str
    diagnosis: str
    malignant: bool

    @property
    def tone_group(self) -> str:
        """The pairs of Fitzpatrick types that skin-tone studies report: 12, 34, 56."""
        return ("12", "34", "56")[TONES.index(self.tone) // 2]


ATTRIBUTES = {
    "site": SITES,
    "tone_group": ("12", "34", "56"),
    "lesion": LESIONS,
    "arrangement": ARRANGEMENTS,
    "colour": COLOURS,
    "scale": SCALES,
    "border": BORDERS,
    "diagnosis": DIAGNOSES,
}


def draw_findings(rng: np.random.Generator) -> Findings:
    """Diagnoses are drawn evenly, then one of the looks, a site and a skin type."""
    diagnosis = DIAGNOSES[rng.integers(len(DIAGNOSES))]
    looks = [p for p in PATTERNS if p.diagnosis == diagnosis]
    look = looks[rng.integers(len(looks))]
    return Findings(
        site=look.sites[rng.integers(len(look.sites))],
        tone=TONES[rng.integers(len(TONES))],
        lesion=look.lesion,
        arrangement=look.arrangements[rng.integers(len(look.arrangements))],
        colour=look.colour,
        scale=look.scale,
        border=look.border,
        diagnosis=diagnosis,
        malignant=look.malignant,
    )


def metadata_caption(f: Findings) -> str:
    """A list of labels, as image archives export them."""
    return (
        f"Anatomic site (general): {f.site}, Skin tone: {f.tone_group}, Primary lesion: {f.lesion}, "
        f"Arrangement: {f.arrangement}, Color: {f.colour}, Scale: {f.scale}, Border: {f.border}, "
        f"Malignant: {'Yes' if f.malignant else 'No'}, Diagnosis: {f.diagnosis}"
    )


TONE_WORDS = {"12": "light", "34": "medium", "56": "dark"}
SCALE_WORDS = {
    "none": "without scale",
    "fine": "with fine white scale",
    "silvery": "with thick silvery scale",
    "greasy": "with greasy yellow scale",
}


def prose_caption(f: Findings, rng: np.random.Generator) -> str:
    """One or two sentences as a clinician might write them; the wording varies, the findings do not."""
    described = f"{f.border} {f.colour} {f.lesion}"
    if f.arrangement == "solitary":
        what = f"a solitary {described}"
    else:
        what = f"{f.arrangement} {described}{'es' if f.lesion.endswith('ch') else 's'}"
    scale, tone = SCALE_WORDS[f.scale], TONE_WORDS[f.tone_group]
    verdict = "suspicious for" if f.malignant else "consistent with the clinical presentation of"
    templates = (
        f"This is a photo of {what} {scale} on the {f.site} of a person with {tone} skin, {verdict} {f.diagnosis}.",
        f"The photo shows {what} {scale}, located on the {f.site} in {tone} skin. "
        f"The appearance is {verdict} {f.diagnosis}.",
        f"On the {f.site}, in {tone} skin, this photo shows {what} {scale}. "
        f"The most likely diagnosis is {f.diagnosis}.",
    )
    return templates[rng.choice(3, p=(0.6, 0.2, 0.2))]
