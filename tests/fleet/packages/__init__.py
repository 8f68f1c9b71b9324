"""The packages that the hosts have and get: what they are (recipes) and how they are made (build)."""
