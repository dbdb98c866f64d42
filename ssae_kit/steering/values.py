"""What every method that turns a concept asks of the values it is given."""

from jaxtyping import Int
from torch import Tensor


def require_two_values(values: Int[Tensor, "*any"]) -> None:
    """Raise a ValueError unless every concept value is 0 or 1."""
    if ((values != 0) & (values != 1)).any():
        raise ValueError(
            f"concept values must be 0 or 1; got {values.unique().tolist()}. For a concept with "
            "more values, take the difference of two rows of `value_means`."
        )
