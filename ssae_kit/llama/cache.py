"""Hidden states on disk: with their provenance, resumable, found again by fingerprint.

A cache is a folder of safetensors files, each with the states of some hundred texts, written
whole or not at all. What is missing, damaged or not what the fingerprint says is made anew.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.modules import module as every
from tqdm import tqdm

from ssae_kit import checks
from ssae_kit.llama.hidden import hidden_states
from ssae_kit.llama.load import Llama
from ssae_kit.llama.rows import Texts, token_rows
from ssae_kit.llama.sites import Part, Site
from ssae_kit.storage import at_home, digest, load_tensors, save_tensors
from ssae_kit.upstream import require

require("torch", every, "_global_forward_hooks", "_global_forward_pre_hooks")
require("torch", torch.nn.Module(), "_forward_hooks", "_forward_pre_hooks")

FORMAT = "ssae_kit.hidden_states/4"

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
class CachedStates:
    """Hidden states on disk, complete."""

    folder: Path
    """Where the files are."""
    provenance: dict[str, Any]
    """What they are the states of; see `describe`."""

    def files(self) -> Iterator[Float[Tensor, "layers texts d_model"]]:
        """Yield the states file by file, in the order of the texts; one is in memory at a time.

        Raises:
            ValueError: if a file has been damaged since.
        """
        for number in range(_n_files(self.provenance)):
            states = _read(self.folder, self.provenance, number)
            if states is None:
                raise ValueError(
                    f"{_path(self.folder, number)} is damaged or gone. Call `cache_hidden_states` "
                    "again: it makes anew what is missing."
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
        RuntimeError: while a hook sits on the model: the states would be served later as those of
            the model as it is; or if the model's first state differs from the one kept.
        OSError: if the disk is full; what is written stays and counts.
    """
    rows = token_rows(llama, texts)
    checks.whole("texts_per_file", texts_per_file)
    provenance = describe(llama, rows, layers, texts_per_file, part)
    _refuse_hooks(llama)
    inside, is_known = at_home(folder) / fingerprint(provenance), False
    for number in tqdm(range(_n_files(provenance)), disable=not progress, unit="file"):
        some = rows[number * texts_per_file :][:texts_per_file]
        kept = _read(inside, provenance, number)
        if kept is None:
            states = hidden_states(llama, some, layers, part=part)
            facts = {"provenance": provenance, "number": number}
            save_tensors(_path(inside, number), {"states": states}, facts)
        elif not is_known:
            now, is_known = hidden_states(llama, some[:1], layers, part=part), True
            _check_same(llama, now, kept[:, :1], inside)
    return CachedStates(inside, provenance)


def describe(
    llama: Llama, rows: list[list[int]], layers: Sequence[int], texts_per_file: int, part: Part
) -> dict[str, Any]:
    """Return everything that decides the hidden states; two equal ones have equal states.

    Raises:
        ValueError: if a layer or part does not exist, or some weights are on disk only.
    """
    sites = [Site(layer, part) for layer in layers]
    for site in sites:
        site.module(llama)
    weights, config = llama.model.state_dict(), llama.model.config.to_dict()
    on_disk = [name for name, weight in weights.items() if weight.is_meta]
    if on_disk:
        raise ValueError(
            f"every weight must be in memory to be hashed; {on_disk[0]} of {llama.name} was left on "
            "disk. Use `hidden_states`, which needs no hash, or a device with more memory."
        )
    return {
        "format": FORMAT,
        "model": llama.name,
        "revision": str(getattr(llama.model.config, "_commit_hash", None) or ""),
        # Renaming a model does not fool a hash of its weights.
        "weights": digest(weights),
        # What the weights do not tell, such as the base of RoPE.
        "config": _hash({name: v for name, v in config.items() if name not in NOT_SHAPING}),
        "layers": [site.layer for site in sites],
        "part": part,
        "position": "last",
        "dtype": str(llama.model.dtype).removeprefix("torch."),
        "n_texts": len(rows),
        # Of token ids: whatever the tokenizer makes of the texts counts.
        "texts": _hash(rows),
        "texts_per_file": texts_per_file,
    }


def fingerprint(provenance: dict[str, Any]) -> str:
    """Twenty hexadecimal digits that stand for a provenance, but for the model's name."""
    return _hash({name: fact for name, fact in provenance.items() if name != "model"})[:20]


def _check_same(llama: Llama, now: Tensor, kept: Tensor, folder: Path) -> None:
    """Refuse a model whose code or constants are others: no hash of weights shows them."""
    if (now - kept).norm() > torch.finfo(llama.model.dtype).eps ** 0.5 * now.norm():
        raise RuntimeError(
            f"{llama.name} computes other states than those kept in {folder}: code or constants of a "
            "module were changed, now or then. Load the model again, or delete that folder."
        )


def _refuse_hooks(llama: Llama) -> None:
    hooks = [*every._global_forward_hooks.values(), *every._global_forward_pre_hooks.values()]
    for module in llama.model.modules():
        hooks += [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
    here = threading.get_ident()  # a hook of the kit tells which thread's passes it feels
    mine = [hook for hook in hooks if getattr(hook, "thread", here) == here]
    own = [h for h in mine if not str(getattr(h, "__module__", "")).startswith("transformers.")]
    if own or torch.is_autocast_enabled(llama.model.device.type):
        raise RuntimeError(
            f"nothing must change the passes of {llama.name} while its states are kept on disk; "
            "hooks may, or `torch.autocast`. Leave the `with` block, or remove them."
        )


def _read(folder: Path, provenance: dict[str, Any], number: int) -> Tensor | None:
    """Return a file's states, or None if it is not there, damaged, or of something else."""
    try:
        tensors, facts = load_tensors(_path(folder, number))
        found = fingerprint(facts["provenance"]), facts["number"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return tensors["states"] if found == (fingerprint(provenance), number) else None


def _hash(facts: Any) -> str:
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _n_files(provenance: dict[str, Any]) -> int:
    return -(-int(provenance["n_texts"]) // int(provenance["texts_per_file"]))


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.safetensors"
