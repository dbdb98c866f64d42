import pytest
import torch

from ssae_kit import storage
from ssae_kit.storage import load_tensors, save_tensors

TENSORS = {"a": torch.arange(6).view(2, 3), "b": torch.randn(4)}


def test_what_is_saved_comes_back_with_its_metadata(tmp_path):
    save_tensors(tmp_path / "new" / "x.safetensors", TENSORS, {"step": 3, "names": ["é"]})
    tensors, metadata = load_tensors(tmp_path / "new" / "x.safetensors")
    assert metadata == {"step": 3, "names": ["é"]}
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_an_interrupt_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, error):
    path = tmp_path / "x.safetensors"
    save_tensors(path, TENSORS, 1)
    before = path.read_bytes()

    def half_write(_tensors, file, metadata):
        file.write_bytes(b"half")
        raise error

    monkeypatch.setattr(storage, "save_file", half_write)
    with pytest.raises(type(error)):
        save_tensors(path, TENSORS, 2)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_explained(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "save_file", full)
    with pytest.raises(OSError, match=r"could not write .*Nothing was changed.*Free some disk"):
        save_tensors(tmp_path / "x", TENSORS, {})


def test_a_missing_truncated_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(FileNotFoundError, match="is not a file"):
        load_tensors(path)
    save_tensors(path, TENSORS, {})
    whole = path.read_bytes()
    for damaged in (whole[:-8], whole[:4], b"", b"not a safetensors file at all"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="not a complete file of this kit"):
            load_tensors(path)
    storage.save_file(TENSORS, path)  # safetensors, but without our metadata
    with pytest.raises(ValueError, match="not a complete file of this kit"):
        load_tensors(path)
