"""Simulated partners and the demonstration."""
