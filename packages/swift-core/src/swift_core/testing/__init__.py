"""What tests of plugins need: outputs with given values, made-up distributions, tiny models."""
