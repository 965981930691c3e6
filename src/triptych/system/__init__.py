"""What the other rooms need of the machine: whole files, locks, devices, memory, progress, wording."""
