"""Hidden states on disk: with their provenance, resumable, found again by fingerprint.

A cache is a folder of safetensors files, each with the states of some hundred texts, written
whole or not at all. What is missing, damaged or not what the fingerprint says is made anew.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ssae_kit import checks
from ssae_kit.llama.hidden import hidden_states
from ssae_kit.llama.hooks import hooks_of
from ssae_kit.llama.load import Llama
from ssae_kit.llama.rows import Texts, token_rows
from ssae_kit.llama.sites import Part, Site, whole_number
from ssae_kit.storage import load_tensors, save_tensors

FORMAT = "ssae_kit.hidden_states/3"

NOT_SHAPING = {
    "_name_or_path",
    "_commit_hash",
    "architectures",
    "dtype",
    "torch_dtype",
    "transformers_version",
}
"""Entries of a configuration that leave the states as they are, or that the weights tell too."""


@dataclass(frozen=True)
class Provenance:
    """Everything that decides the hidden states; two equal ones have equal states."""

    model: str
    """What `load` was asked for."""
    revision: str
    """Commit of the checkpoint on the hub; empty for a folder."""
    weights: str
    """SHA-256 of all weights: names, dtypes and values. Renaming a model does not fool it."""
    config: str
    """SHA-256 of the configuration: what the weights do not tell, such as the base of RoPE."""
    layers: tuple[int, ...]
    """0 is the embedding, l the output of block l."""
    part: str
    """"block" for the residual stream after the block, "mlp" for what its MLP adds to it."""
    position: str
    """Token whose state is kept: "last"."""
    dtype: str
    """Type the model computes in; states are stored in float32."""
    n_texts: int
    """Number of texts."""
    texts: str
    """SHA-256 of the texts' token ids, in order: whatever the tokenizer makes of them counts."""
    texts_per_file: int
    """Number of texts in each file but the last."""
    format: str = FORMAT
    """Format of the files."""

    @property
    def fingerprint(self) -> str:
        """Twenty hexadecimal digits that stand for all of the above but the model's name."""
        facts = {name: value for name, value in asdict(self).items() if name != "model"}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class CachedStates:
    """Hidden states on disk, complete."""

    folder: Path
    """Where the files are."""
    provenance: Provenance
    """What they are the states of."""

    def files(self) -> Iterator[Float[Tensor, "layers texts d_model"]]:
        """Yield the states file by file, in the order of the texts; one is in memory at a time.

        Raises:
            ValueError: if a file has been damaged since.
        """
        for number in range(_n_files(self.provenance)):
            path = _path(self.folder, number)
            states = _read(path, self.provenance, number)
            if states is None:
                raise ValueError(
                    f"{path} is damaged or gone. Call `cache_hidden_states` again: it makes anew "
                    "what is missing."
                )
            yield states

    def load(self) -> Float[Tensor, "layers texts d_model"]:
        """Return all states at once, in memory.

        Raises:
            ValueError: if a file has been damaged since.
        """
        return torch.cat(list(self.files()), dim=1)


def cache_hidden_states(
    llama: Llama,
    texts: Texts,
    layers: Sequence[int],
    folder: str | Path,
    *,
    part: Part = "block",
    texts_per_file: int = 512,
    progress: bool = False,
) -> CachedStates:
    """Compute hidden states at the last token and keep them on disk; compute nothing twice.

    After a kill, call it again: whole files are kept, the rest follows, and the result is the
    same as without the kill. At most one file's states are in memory.

    Args:
        llama: The model. All of its weights are hashed on every call, about a second per GB.
        texts: One or more texts, none empty.
        layers: 0 is the embedding, l the output of block l; all in one pass.
        folder: The cache. Each set of states gets a folder of its own inside, named by its
            fingerprint, so one cache serves many models and texts.
        part: "block" for the residual stream after block l, "mlp" for what its MLP adds to it.
        texts_per_file: Texts between two writes, at least 1. More is faster and takes more memory.
        progress: Show a progress bar.

    Returns:
        Where the states are, with their provenance.

    Raises:
        ValueError: as `hidden_states`, and if `texts_per_file` is below 1.
        RuntimeError: while anything edits the model's passes: the states would be served later as
            those of the model as it is.
        OSError: if the disk is full; what is written stays and counts.
    """
    checks.require_kind("llama", llama, Llama, "load()")
    checks.whole("texts_per_file", texts_per_file)
    if not len(layers):
        raise ValueError("at least one layer is required; got none.")
    if hooks_of(llama) or torch.is_autocast_enabled(llama.model.device.type):
        raise RuntimeError(
            f"nothing must change the passes of {llama.name} while its states are kept on disk; "
            "hooks do, or `torch.autocast`. Leave the `with` block, or remove them."
        )
    rows = token_rows(llama, texts)
    provenance = describe(llama, rows, layers, texts_per_file, part)
    inside = Path(folder).expanduser() / provenance.fingerprint
    for number in tqdm(range(_n_files(provenance)), disable=not progress, unit="file"):
        path = _path(inside, number)
        if _read(path, provenance, number) is not None:
            continue
        some = rows[number * texts_per_file :][:texts_per_file]
        states = hidden_states(llama, some, layers, part=part)
        facts = {"provenance": asdict(provenance), "number": number, "sha256": _digest(states)}
        save_tensors(path, {"states": states}, facts)
    return CachedStates(inside, provenance)


def describe(
    llama: Llama,
    texts: Texts,
    layers: Sequence[int],
    texts_per_file: int = 512,
    part: Part = "block",
) -> Provenance:
    """Return the provenance that these states would have; computes no state."""
    sites = [Site(whole_number(layer, "layer"), part) for layer in layers]
    for site in sites:
        site.module(llama)
    written = hashlib.sha256()
    for row in token_rows(llama, texts):
        written.update(json.dumps(row).encode() + b"\n")
    return Provenance(
        model=llama.name,
        revision=str(getattr(llama.model.config, "_commit_hash", None) or ""),
        weights=hash_weights(llama),
        config=_hash_config(llama),
        layers=tuple(site.layer for site in sites),
        part=part,
        position="last",
        dtype=str(llama.model.dtype).removeprefix("torch."),
        n_texts=len(texts),
        texts=written.hexdigest(),
        texts_per_file=texts_per_file,
    )


def hash_weights(llama: Llama) -> str:
    """SHA-256 of the weights' names, dtypes, shapes and values, wherever they are.

    Raises:
        ValueError: if some weights are on disk only.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(llama.model.state_dict().items()):
        if weight.is_meta:
            raise ValueError(
                f"every weight must be in memory to be hashed; {name} of {llama.name} was left on "
                "disk. Use `hidden_states`, which needs no hash, or a device with more memory."
            )
        digest.update(f"{name} {weight.dtype} {list(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


def _hash_config(llama: Llama) -> str:
    config = llama.model.config.to_dict()
    facts = {name: value for name, value in config.items() if name not in NOT_SHAPING}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _read(path: Path, provenance: Provenance, number: int) -> Tensor | None:
    """Return a file's states, or None if it is not there, damaged, or of something else."""
    try:
        tensors, facts = load_tensors(path)
        states = tensors["states"]
    except (FileNotFoundError, ValueError, KeyError):
        return None
    expected: dict[str, Any] = asdict(provenance) | {"layers": list(provenance.layers)}
    expected.pop("model")
    found = dict(facts.get("provenance", {})) if isinstance(facts, dict) else {}
    found.pop("model", None)
    if found != expected or facts.get("number") != number:
        return None
    return states if facts.get("sha256") == _digest(states) else None


def _digest(states: Tensor) -> str:
    shape = str(list(states.shape)).encode()
    return hashlib.sha256(
        shape + states.contiguous().view(torch.uint8).numpy().tobytes()
    ).hexdigest()


def _n_files(provenance: Provenance) -> int:
    return -(-provenance.n_texts // provenance.texts_per_file)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.safetensors"
