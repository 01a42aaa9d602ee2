"""Images in a run: the processor of the model, the tokens that an image becomes, and batches with images."""
