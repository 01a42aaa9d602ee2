"""Losses on sampled completions, their advantages and the policy that sampled them."""
