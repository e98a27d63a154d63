"""The names that ``import gtrans`` gives, which stay, and how little it loads."""

import inspect
import subprocess
import sys

import pytest

import gtrans

NAMES = [
    "ConfigError",
    "DataError",
    "Detector",
    "GTransError",
    "Image",
    "ModelError",
    "Prediction",
    "PreemptedError",
    "Result",
    "StorageError",
    "TrackingError",
    "TrainingError",
    "WeightsError",
    "__version__",
    "load",
    "train",
]


def test_the_public_names_are_these():
    assert gtrans.__all__ == NAMES
    assert set(NAMES) <= set(dir(gtrans))
    for name in NAMES:
        assert getattr(gtrans, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gtrans.nothing


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_what_they_take_and_give_is_this():
    assert parameters(gtrans.train) == [
        *("data", "category", "config", "profile", "store", "quiet", "knobs")
    ]
    assert parameters(gtrans.load) == ["model", "profile", "store"]
    assert parameters(gtrans.Detector.predict) == ["self", "image"]
    assert parameters(gtrans.Detector.predict_many) == ["self", "images"]
    assert parameters(gtrans.Prediction.draw) == ["self"]

    def public(kind: type) -> set[str]:
        fields = getattr(kind, "__dataclass_fields__", {})
        return {name for name in {*vars(kind), *fields} if not name.startswith("_")}

    assert public(gtrans.Result) == {"category", "version", "model", "metrics", "report"}
    assert public(gtrans.Prediction) == {
        *("score", "is_anomalous", "threshold", "heat_map", "draw")
    }
    assert public(gtrans.Detector) == {
        *("category", "version", "threshold", "input_shape", "predict", "predict_many")
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_one_is_documented(name: str):
    named = getattr(gtrans, name)
    if inspect.isclass(named) or inspect.isfunction(named):
        assert named.__doc__


def test_the_import_alone_loads_next_to_nothing():
    code = (
        "import sys; before = set(sys.modules); import gtrans\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(loaded - sys.stdlib_module_names))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["gtrans", "gtrans_core"]
