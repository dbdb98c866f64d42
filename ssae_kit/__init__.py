"""SSAE Kit: learn and try sparse autoencoders and Sparse Shift Autoencoders.

Each room is imported by name, for example ``from ssae_kit import metrics``; nothing is loaded
before it is needed.
"""
