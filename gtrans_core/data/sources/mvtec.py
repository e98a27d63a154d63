"""MVTec AD: the official archives, downloaded with resume, checked, and safely unpacked.

Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129 (2021) 1038-1059,
doi 10.1007/s11263-020-01400-4. The data are CC BY-NC-SA 4.0: not for commercial use.
"""

from __future__ import annotations

from pathlib import Path

from gtrans_core.data.fetching.published import Publication, archive_of, unpack_published
from gtrans_core.data.sources.known import OnProgress, Say
from gtrans_core.storage import prepare_folder

DOWNLOAD_PAGE = "https://www.mvtec.com/research-teaching/datasets/mvtec-ad/downloads"

# The links of that page, which MVTec renews from time to time (the earlier ones answer 404).
_SHARES = "https://www.mydrive.ch/shares"
_ARCHIVES = {
    "bottle": "150452/132a93367fb17cdf968dfb5c4013f6e7/download/420937370-1629958698",
    "cable": "150453/10f960e07fec2838b2cd512586633a32/download/420937413-1629958794",
    "capsule": "150454/e0ce6dd74eb150f46c0d98131b3703f2/download/420937454-1629958872",
    "carpet": "150455/eac7fbce84d93a5094e13f391170eca4/download/420937484-1629959013",
    "grid": "150456/bb0b2e3dc804ccb8b4485e01f8e4493b/download/420937487-1629959044",
    "hazelnut": "150457/51d49f65e84bdc100ff8035d7dd783ea/download/420937545-1629959162",
    "leather": "150458/923030ce14e10a7d147e95d0f8885f6b/download/420937607-1629959262",
    "metal_nut": "150459/c68856a21dca589b0f8ff6d4ee0f18f4/download/420937637-1629959294",
    "pill": "150460/d4f1c04da67034ccc8d8b5fa3e73f244/download/420938129-1629960351",
    "screw": "150461/242f454cc6385e5693c4fd4b94567d1e/download/420938130-1629960389",
    "tile": "150462/5479f0fdc97bc6fa16eab0cb0cf0109f/download/420938133-1629960456",
    "toothbrush": "150463/895a1a5fb84b958f07417784b060434b/download/420938134-1629960477",
    "transistor": "150464/99b8ea0332438d64fcc2475ee73f9c29/download/420938166-1629960554",
    "wood": "150465/d5b4115b720cdb54d217e75636e6e374/download/420938383-1629960649",
    "zipper": "150466/bd155b557520edaf692d9bfdb915c24a/download/420938385-1629960680",
}
CATEGORIES = tuple(_ARCHIVES)
TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
OBJECTS = tuple(category for category in CATEGORIES if category not in TEXTURES)

# All categories in one archive of 5,264,982,680 bytes; its digest is the one public code pins.
# No digest is published for the single archives: theirs is told, to be pinned by whoever wants to.
WHOLE_ARCHIVE_URL = (
    f"{_SHARES}/150996/b52ecdcbf521176e9db9c731f2304b27/download/420938113-1629960298/"
    "mvtec_anomaly_detection.tar.xz"
)
WHOLE_ARCHIVE_SHA256 = "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d"

PUBLICATION = Publication(
    name="mvtec",
    title="MVTec AD",
    licence="CC BY-NC-SA 4.0: not for commercial use",
    page=DOWNLOAD_PAGE,
    marker="train/good",
    pins={WHOLE_ARCHIVE_URL: WHOLE_ARCHIVE_SHA256},
)


def fetch_mvtec(category: str, store: Path, *, say: Say, on_progress: OnProgress) -> Path:
    """The local folder of an official category; downloaded and unpacked once.

    An archive of all categories (``GTRANS_MVTEC_URL`` without ``{category}``) is kept for the next
    one.

    Raises:
        DataError: when the archive is not the pinned one, is damaged, is not safe to unpack, or
            does not hold the category.
        ConfigError: when the URL or the digest in the environment is invalid.
        StorageError: when the server refuses or does not answer, or the disk is full.
    """
    archive = archive_of(
        PUBLICATION, category, f"{_SHARES}/{_ARCHIVES[category]}/{{category}}.tar.xz"
    )
    folder = store / "datasets" / archive.identity / category

    def build(unfinished: Path) -> None:
        unpack_published(
            archive,
            unfinished,
            store,
            say=say,
            on_progress=on_progress,
            subfolder=category,
            keep=not archive.is_single,
        )

    if not prepare_folder(folder, build):
        say(f"MVTec AD {category}: downloaded earlier")
    return folder
