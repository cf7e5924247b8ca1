"""Whether an attack works: leaks that are planted for it, worlds without any, and certificates."""
