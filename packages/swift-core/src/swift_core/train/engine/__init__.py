"""The engines that share a run out among processes: how they are asked for, asked back, and read out.

Nothing of an engine is made here: wrapping, sharding and their collectives are torch's, accelerate's and DeepSpeed's.
"""
