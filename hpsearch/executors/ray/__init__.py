"""Trainings on a Ray cluster. Ray is imported where one is used, and nowhere else."""
