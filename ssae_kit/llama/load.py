"""Load a Llama: the bundled one, the fetched one, a local folder, or a checkpoint on the Hugging Face hub."""

import importlib.util
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import cached_file, logging

from ssae_kit import checks
from ssae_kit.llama.examine import examine
from ssae_kit.llama.fetch import SMOLLM2, fetched
from ssae_kit.llama.memory import as_dtype, check_memory
from ssae_kit.storage import DATA, at_home
from ssae_kit.upstream import gone, require

require("transformers", logging, "is_progress_bar_enabled", "disable_progress_bar")
require("transformers", logging, "enable_progress_bar")

BUNDLED = "llama_tiny"
"""Name of the model that comes with the course; `llama_tiny/seed1` names one seed of it."""

DEFAULT_SEED = "seed2"
"""The seed that `llama_tiny` alone stands for."""


@dataclass(frozen=True)
class Llama:
    """A loaded Llama. Layer 0 is the embedding; layer l is the output of block l."""

    name: str
    """What `load` was asked for."""
    model: Any
    """The transformers `LlamaForCausalLM`, in evaluation mode."""
    tokenizer: Any
    """Its tokenizer; pads on the left."""

    @property
    def n_layers(self) -> int:
        """Number of blocks; layers run from 0 to this."""
        return int(self.model.config.num_hidden_layers)

    @property
    def d_model(self) -> int:
        """Width of the hidden state."""
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.model.device
        return device


def load(
    name: str | Path = BUNDLED,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    device_map: str | dict[str, Any] | None = None,
    revision: str | None = None,
) -> Llama:
    """Load a Llama and its tokenizer.

    The network is used only for a name of the form `owner/model`. Weights must be safetensors.

    Args:
        name: The bundled model (`"llama_tiny"`), the real one (`"smollm2"`, fetched once by
            `python -m ssae_kit.llama fetch smollm2`), a folder, or a hub name such as
            `"meta-llama/Llama-3.1-8B"`.
        device: Where to put it; by default a CUDA GPU if there is one, else the CPU.
        dtype: Type to load it in, such as torch.bfloat16 or "bfloat16"; by default float32 for `"llama_tiny"` and `"smollm2"`, else the stored one
            (bfloat16 for Llama-3.1).
        device_map: Instead of `device`, spread the model over devices: "auto", or a dictionary as
            in transformers. Needs the extra `large`.
        revision: Commit, branch or tag of a model on the hub; by default its main branch.

    Returns:
        The model in evaluation mode.

    Raises:
        FileNotFoundError: if the name is not bundled, not a folder and not a hub name, if files
            are missing, or `"smollm2"` was not fetched yet.
        MemoryError: if it does not fit; says what would. Checked before the weights are read.
        ImportError: if `device_map` is given and accelerate is not installed.
        PermissionError: if the model is gated and this account has no access.
        ConnectionError: if a hub name cannot be reached.
        ValueError: if the folder holds another architecture, or weights that are corrupt,
            incomplete, not finite or of other shapes; a tokenizer that is damaged, appends a token
            behind every text or puts another than a begin token in front; a device or type that
            torch does not have here; or both `device` and `device_map`.

    Warns:
        UserWarning: of what the checkpoint brings and the kit sets aside: settings for generation,
            and a tokenizer that puts no begin token in front of a text, or two.
    """
    name = str(at_home(name) if str(name).startswith("~") else name)
    source, place, is_bundled = _source(name), _place(device, device_map), _is_bundled(name)
    wanted = as_dtype("float32" if dtype is None and is_bundled else dtype)
    with _explaining(name):
        config = AutoConfig.from_pretrained(source, revision=revision)
    _check_architecture(config, name)
    check_memory(name, config, wanted, place)
    with _explaining(name), _bars_hidden(is_bundled):
        model, report = AutoModelForCausalLM.from_pretrained(
            source,
            revision=revision,
            dtype=wanted or "auto",
            device_map=device_map,
            use_safetensors=True,
            output_loading_info=True,
        )
        model = model if device_map else model.to(place)
    _check_complete(report, name)
    tokenizer = _tokenizer(source, name, revision)
    examine(name, model, tokenizer)
    return Llama(name, model.eval().requires_grad_(False), tokenizer)


def _tokenizer(source: str, name: str, revision: str | None) -> Any:
    kind: Any = AutoTokenizer
    with suppress(OSError):  # no such file, or no network: what loads says so
        cached_file(source, "tokenizer.json", revision=revision)
        # The class that tokenizer_config.json names may rebuild it in another way than this file.
        kind = PreTrainedTokenizerFast
    try:
        return kind.from_pretrained(source, revision=revision, padding_side="left")
    except Exception as error:  # the Rust library raises bare ones
        if isinstance(error, OSError) and not Path(source).is_dir():
            raise _explained(error, name) from error
        raise ValueError(
            f"the tokenizer files of {name} are damaged or missing ({str(error)[:200]}). Copy "
            "tokenizer.json and tokenizer_config.json again, as whole files, beside the weights."
        ) from error


def _check_architecture(config: Any, name: str) -> None:
    if config.model_type != "llama":
        raise ValueError(
            f"{name} must be a Llama; its config.json says {config.model_type!r}. "
            "Choose a Llama checkpoint."
        )
    checks.whole("max_position_embeddings", config.max_position_embeddings, 2, None, f" in {name}")


def _check_complete(report: Any, name: str) -> None:
    """Refuse a checkpoint of which some is left out, or would have been made up at random."""
    for kind in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if kind not in report:
            raise gone("transformers", [kind], AutoModelForCausalLM.from_pretrained)
        if report[kind]:
            first = sorted(str(key) for key in report[kind])[0]
            raise ValueError(
                f"the weights of {name} are incomplete, or config.json is of another model: "
                f"{len(report[kind])} {kind[:-5]}, first {first}. Copy or download the checkpoint again."
            )


@contextmanager
def _explaining(name: str) -> Iterator[None]:
    """Say in our words what the loading library raises, which has many kinds."""
    try:
        yield
    except Exception as error:
        raise _explained(error, name) from error


@contextmanager
def _bars_hidden(are_hidden: bool) -> Iterator[None]:
    """Hide the progress bar of a model so small that the bar would be gone before it is read."""
    were_shown = logging.is_progress_bar_enabled()
    if are_hidden:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_shown:
            logging.enable_progress_bar()


def _place(device: str | torch.device | None, device_map: str | dict[str, Any] | None) -> str:
    """Return the device to load to, "auto" for all of them together."""
    if device_map is None:
        usual = "cuda" if torch.cuda.is_available() else "cpu"
        return _usable(usual if device is None else device)
    if device is not None:
        raise ValueError(
            f"give `device` or `device_map`, not both; got {device!r} and {device_map!r}."
        )
    if importlib.util.find_spec("accelerate") is None:
        raise ImportError(
            "`device_map` needs the library accelerate, which is not installed. "
            "Install the extra: pip install -e '.[large]'"
        )
    return "auto"


def _usable(device: str | torch.device) -> str:
    try:
        torch.empty(1, device=torch.device(device)).cpu()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # each backend raises its own
        first_line = str(error).partition("\n")[0]
        raise ValueError(
            f"`device` must be one that this torch {torch.__version__} can use, such as 'cpu'; got "
            f"{str(device)!r} ({first_line:.150}). Leave it out, or install torch for that device."
        ) from error
    return str(device)


def _is_bundled(name: str) -> bool:
    """Whether the kit brings or fetches it."""
    return name in (BUNDLED, SMOLLM2) or name.startswith(f"{BUNDLED}/")


def _source(name: str) -> str:
    """Return the folder or hub name to load from."""
    if name == SMOLLM2:
        return str(fetched())
    if _is_bundled(name):
        _, _, seed = name.partition("/")
        folder = DATA / BUNDLED / (seed or DEFAULT_SEED)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"the bundled model is expected at {folder}. Install the kit again from its "
                "repository, or make the model with `python -m ssae_kit.organism train`."
            )
        return str(folder)
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise FileNotFoundError(
                f"the folder {name} must hold a Llama checkpoint; it has no config.json."
            )
        return name
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    raise FileNotFoundError(
        f"a model must be {BUNDLED!r}, {SMOLLM2!r}, an existing folder, or a hub name such as "
        f"'meta-llama/Llama-3.1-8B'; got {name!r}. Check the spelling."
    )


def _explained(error: Exception, name: str) -> Exception:
    """Turn what the loading library raised into an error that says what to do."""
    first_line = str(error).partition("\n")[0]
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return MemoryError(
            f"{name} does not fit on the device ({first_line}). Give dtype=torch.bfloat16, "
            f"device_map='auto', or choose a smaller model such as {BUNDLED!r}."
        )
    # The reason stands somewhere in the chain of causes; indented lines are source.
    told = "".join(line for line in traceback.format_exception(error) if line[:1] != " ")
    if "GatedRepoError" in told or "gated repo" in told:
        return PermissionError(
            f"{name} is gated. Ask for access on its page on huggingface.co, then log in here "
            "with `hf auth login`. The bundled model needs neither."
        )
    if "RepositoryNotFoundError" in told:
        return FileNotFoundError(f"there is no model {name!r} on the hub. Check the spelling.")
    if not isinstance(error, OSError):
        return ValueError(
            f"{name} cannot be read ({error}). A file is truncated, its settings are odd, or config "
            "and weights do not belong together: copy or download the checkpoint again."
        )
    if Path(name).is_dir() or _is_bundled(name):
        return FileNotFoundError(
            f"{name} must hold config.json, safetensors weights and tokenizer files; "
            f"loading them failed: {error}"
        )
    return ConnectionError(
        f"{name!r} could not be fetched from the hub. Check the network, or download the "
        f"checkpoint elsewhere and give its folder. ({first_line})"
    )
