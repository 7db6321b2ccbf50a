"""The native trainer is left for a GPU only where TensorFlow can use one."""

import pytest

from hpsearch import machine
from hpsearch.training import trainer as kinds

LARGE = {"hidden_layers": 2, "units": 1024, "batch_size": 1024}


@pytest.fixture(autouse=True)
def _device(monkeypatch, tmp_path):
    """A machine with an NVIDIA GPU, as far as its device file says."""
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(machine, "_DEVICE_FILES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    kinds._has_cudnn.cache_clear()


def test_a_tensorflow_without_cuda_leaves_the_native_trainer(digits, monkeypatch):
    monkeypatch.setattr(kinds, "_CUDNN", "libcudnn.so.none")
    assert digits.trainer(LARGE, 0).kind == "native"


@pytest.mark.parametrize("visible", ["", "-1", "0"])
def test_a_tensorflow_with_cuda_trains_large_layers(digits, monkeypatch, tmp_path, visible):
    installed = tmp_path / "nvidia_cudnn_cu12-9.1.dist-info" / "METADATA"
    installed.parent.mkdir()
    installed.write_text("Metadata-Version: 2.1\nName: nvidia-cudnn-cu12\nVersion: 9.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    large = digits.trainer(LARGE, 0).kind
    assert (large != "native") == (visible == "0")
    assert digits.trainer({"units": 16}, 0).kind == "native"
