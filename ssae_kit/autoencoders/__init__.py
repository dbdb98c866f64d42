"""Every autoencoder of the kit: one interface, and a leading run axis so that many train at once."""

from ssae_kit.autoencoders.base import FORMAT, Autoencoder, LossTerms, load
from ssae_kit.autoencoders.shift import ShiftAutoencoder

__all__ = ["FORMAT", "Autoencoder", "LossTerms", "ShiftAutoencoder", "load"]
