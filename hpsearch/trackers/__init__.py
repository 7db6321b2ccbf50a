"""Send rows and curves to other programs.

In: records of executions.
Out: TensorBoard's event files, MLflow's runs, W&B's runs.
Next: `results`, which offers it as a method.
"""
