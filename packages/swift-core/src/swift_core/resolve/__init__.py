"""From a `RunConfig` to a `RunPlan`: the only folder that knows what names mean. Nothing here imports torch."""
