"""Rows and curves for other programs.

In: records of executions.
Out: TensorBoard's event files, MLflow's runs.
Next: `tuner`, which drives everything above.
"""
