"""Training on rewards of the model's own answers: rollouts, advantages, and the procedure that runs them."""
