"""What the other rooms need of the machine: whole files, locks, devices, memory, progress, wording.

The files have nothing to do with each other; each is imported by its name.
"""
