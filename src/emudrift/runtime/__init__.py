"""Process and machine: atomic file writes, JSON records, locks, GPUs, SLURM jobs, progress and terminal output."""
