"""The plugin border: what is installed, what a name means, and what a plugin's source says. Imports no plugin to find out."""
