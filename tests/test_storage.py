import errno
import os
import threading
from pathlib import Path

import pytest
import torch

from ssae_kit import storage
from ssae_kit.storage import digest, load_tensors, replacing, save_tensors

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


def test_a_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "x.safetensors"
    save_tensors(path, TENSORS, {"step": 3})
    whole = path.read_bytes()
    for place in (whole.index(b"step"), len(whole) - 1):
        path.write_bytes(whole[:place] + b"!" + whole[place + 1 :])
        with pytest.raises(ValueError, match="checksum differs"):
            load_tensors(path)


def test_one_tensor_may_stand_under_two_names(tmp_path):
    a = torch.randn(3, 4)
    save_tensors(tmp_path / "x", {"a": a, "b": a, "turned": a.mT}, None)
    tensors, _ = load_tensors(tmp_path / "x")
    assert torch.equal(tensors["b"], a)
    assert torch.equal(tensors["turned"], a.mT)


@pytest.mark.parametrize(
    ("tensors", "metadata", "words"),
    [
        ({"a": [1.0]}, {}, r"must map names to dense tensors; got \{'a': 'list'\}"),
        (TENSORS, {"a": torch.ones(1)}, "must be what JSON can hold"),
    ],
)
def test_what_cannot_be_written_is_refused_in_words(
    no_shape_checks, tmp_path, tensors, metadata, words
):
    with pytest.raises(TypeError, match=words):
        save_tensors(tmp_path / "x", tensors, metadata)


def test_threads_that_write_one_file_leave_one_of_theirs(tmp_path):
    path, errors = tmp_path / "x.safetensors", []

    def save(value):
        try:
            for _ in range(20):
                save_tensors(path, {"a": torch.full((50_000,), float(value))}, value)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    tensors, value = load_tensors(path)
    assert (tensors["a"] == value).all()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EROFS, "not yours to write to: choose another folder"),
        (errno.EACCES, "not yours to write to: choose another folder"),
        (errno.ENOSPC, "Free some disk space or choose another folder"),
    ],
)
def test_a_folder_that_cannot_be_tidied_up_either_still_gets_its_advice(
    tmp_path, monkeypatch, number, advice
):
    def refuse(*_args, **_named):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(storage, "save_file", refuse)
    with pytest.raises(OSError, match=advice):
        save_tensors(tmp_path / "x", TENSORS, {})


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    def write(error):
        with replacing(tmp_path / "new" / "folder") as temporary:
            temporary.mkdir()
            (temporary / "a").write_text("text")
            if error:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(error=True)
    assert list((tmp_path / "new").iterdir()) == []
    write(error=False)
    assert (tmp_path / "new" / "folder" / "a").read_text() == "text"


def test_the_home_folder_may_be_named_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_tensors("~/x.safetensors", TENSORS, 1)
    assert (tmp_path / "x.safetensors").is_file()
    assert load_tensors("~/x.safetensors")[1] == 1


def test_a_digest_is_of_names_shapes_types_and_values_and_not_of_the_layout(monkeypatch):
    a = torch.randn(5, 4)
    whole = digest({"a": a, "b": a[0]})
    assert whole == digest({"b": a[0].clone(), "a": a.mT.contiguous().mT})
    others = (
        {"a": a, "c": a[0]},
        {"a": a.view(torch.int32), "b": a[0]},
        {"a": a.view(4, 5), "b": a[0]},
    )
    assert whole not in [digest(other) for other in (*others, {"a": a + 1e-6, "b": a[0]})]
    monkeypatch.setattr(storage, "CHUNK", 12)
    assert whole == digest({"a": a, "b": a[0]})
    for odd in (torch.ones(()), torch.ones(0), torch.ones(2, dtype=torch.complex64), a > 0):
        digest({"odd": odd, "bfloat": a.bfloat16()})


@pytest.mark.parametrize("wrong", [torch.eye(2).to_sparse(), torch.empty(2, device="meta")])
def test_a_tensor_that_no_file_can_hold_is_refused_in_words(tmp_path, wrong):
    with pytest.raises(TypeError, match="must map names to dense tensors"):
        save_tensors(tmp_path / "a.safetensors", {"a": wrong}, {})


def test_a_pipe_or_a_device_is_never_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "a\0b", ""):
        with pytest.raises(ValueError, match="file or a folder, no device"):
            save_tensors(tmp_path / name if name else name, {}, {})
    assert (tmp_path / "pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_folder_where_a_file_is_asked_for_is_told_so(tmp_path):
    with pytest.raises(OSError, match="It is a folder: name a file in it"):
        save_tensors(tmp_path, {"a": torch.ones(2)}, {})


def test_a_home_folder_that_nobody_has_is_told_so():
    for call in (load_tensors, lambda path: save_tensors(path, {}, {})):
        with pytest.raises(ValueError, match="Write the path as a whole"):
            call("~nobody_of_this_name/a")
