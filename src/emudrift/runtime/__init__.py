"""The process and the machine: atomic files, JSON files, locks, GPUs, SLURM job, progress, terminal."""
