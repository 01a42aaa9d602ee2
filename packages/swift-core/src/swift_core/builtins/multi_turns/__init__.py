"""What answers the model between its turns."""
