"""Where trainings run: forked workers on this machine, or the calling process."""
