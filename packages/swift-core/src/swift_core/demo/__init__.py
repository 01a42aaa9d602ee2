"""The demo: a world of questions, and a model small enough to be trained in seconds."""
