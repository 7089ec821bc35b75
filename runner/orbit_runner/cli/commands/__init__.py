"""The commands as they are written: names, arguments, options. What they do is imported when they are called."""
