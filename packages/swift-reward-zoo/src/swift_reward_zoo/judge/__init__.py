"""Rewards by what another model says of an answer."""
