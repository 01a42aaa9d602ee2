"""The plugin border: what is installed, what a name means, what a plugin's source says. Imports no plugin to tell."""
